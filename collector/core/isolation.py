"""Decides which publications may share a transaction, so that records that Kafka refuses stop one account group only.

Rule: after a refusal everybody publishes alone until the one that is refused alone is known. From then on that one
publishes alone, until it succeeds, and the others share transactions again.

Why alone: Kafka refuses a batch, and with it a whole transaction; it does not say whose record it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collector.core.model import MonoS, Owner

ALONE_S = 900.0
"""How long everybody publishes alone when nobody is refused alone: longer than an account group waits for its next page
(its poll interval, or five minutes after failures). The page may also have come back in another form, and be fine."""


class Isolation:
    """One shard's memory of what Kafka refused. It survives the shard's restores."""

    def __init__(self) -> None:
        self._all_alone_until = MonoS(float("-inf"))
        self._refused: set[Owner] = set()  # bounded by the number of account groups

    def may_share(self, owner: Owner | None, now: MonoS) -> bool:
        """Whether a publication of this account group may go in one transaction with those of others."""
        return now >= self._all_alone_until and owner not in self._refused

    def committed(self, owners: Iterable[Owner | None]) -> None:
        """A transaction with publications of these account groups is durable: nothing of them is refused any more."""
        self._refused.difference_update(owner for owner in owners if owner is not None)

    def rejected(self, owners: Sequence[Owner | None], now: MonoS) -> Owner | None:
        """Kafka refused a transaction with publications of these account groups.

        Returns:
            The account group whose publication was refused alone; None as long as it is not known.
        """
        if len(owners) > 1 or owners[0] is None:
            self._all_alone_until = MonoS(now + ALONE_S)
            return None
        self._refused.add(owners[0])
        self._all_alone_until = now
        return owners[0]
