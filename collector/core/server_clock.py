"""The API server's time, from the ``Date`` headers of its answers.

Rule: every time that goes to the API or into the ledger is server time, so a wrong local clock harms nothing. Between
answers server time goes on with the local monotonic clock; the local wall clock counts only before the first answer.

``Date`` has whole seconds, so the estimate is up to a second, and the answer's way, behind: never ahead.

A jump must be told twice: one wild ``Date`` (a proxy's, a broken node's) would move windows and what is kept for good.
"""

from __future__ import annotations

from collector.core.model import EpochS, MonoS

JUMP_S = 120.0
"""A `Date` this far from the estimate counts only when the next one agrees; clocks drift by seconds, not minutes."""

FIRST_JUMP_S = 43_200.0
"""The first `Date` may differ this much from the local clock, which may well be wrong by hours."""


class ServerClock:
    """Estimates the server's time.

    Args:
        wall_s: local wall clock, seconds since 1970, read at ``mono``.
        mono: local monotonic clock at the same moment.
    """

    def __init__(self, wall_s: float, mono: MonoS) -> None:
        self._offset = wall_s - mono
        self._wall_offset = self._offset
        self._observed = False
        self._doubtful: float | None = None

    @property
    def observed(self) -> bool:
        """Whether the server ever told its time."""
        return self._observed

    @property
    def skew_s(self) -> float:
        """How far the server's clock is ahead of the local one, seconds; 0 before the first answer."""
        return self._offset - self._wall_offset

    def observe(self, date: EpochS | None, mono: MonoS) -> None:
        """Take the ``Date`` of an answer that arrived at ``mono``."""
        if date is None:
            return
        offset = date - mono
        agrees = abs(offset - (self._offset if self._doubtful is None else self._doubtful)) <= JUMP_S
        if agrees or (not self._observed and abs(offset - self._offset) <= FIRST_JUMP_S):
            self._offset, self._observed, self._doubtful = offset, True, None
        elif abs(offset - self._offset) <= JUMP_S:
            self._doubtful = None  # the one before was wild
        else:
            self._doubtful = offset

    def now(self, mono: MonoS) -> EpochS:
        """Server time at ``mono``."""
        return EpochS(self._offset + mono)
