"""How long a member of a consumer group may believe that it owns the shards it was given.

The one rule: a pure decision. Times are passed in, seconds of one monotonic clock; it neither waits nor knows a client.

Two bounds, so that a worker stops when others may own its shards:

- Without a rebalance the assignment holds for a session timeout after the last request that the broker took as a sign
  of life, counted from its sending, because the broker's own count began later.
- Once a rebalance has begun the assignment holds until the next one is known, because most shards stay where they are;
  but no longer than rebalance timeout + session timeout, by when the broker has surely decided without us.

Neither bound makes anything safe: two owners of a shard fence each other. They spare both the quarrel.
"""

from __future__ import annotations

from collections.abc import Iterable

_NEVER_S = float("-inf")


class Tenure:
    """What one member was given, and when it last heard that this still holds.

    Mutable state, all of it: the assignment and whether there is one (it may be of nothing), the last sign of life, and
    since when a rebalance is under way.

    Args:
        session_timeout_s: after this long without a sign of life the broker gives the shards away.
        rebalance_timeout_s: how long the broker waits for members to join again.
    """

    def __init__(self, *, session_timeout_s: float, rebalance_timeout_s: float) -> None:
        self._session_timeout_s = session_timeout_s
        self._rebalance_timeout_s = rebalance_timeout_s
        self._assigned: frozenset[int] = frozenset()
        self._is_settled = False
        self._alive_s = _NEVER_S
        self._rebalancing_since_s: float | None = None

    @property
    def alive_s(self) -> float:
        """Time of the last sign of life; minus infinity before the first one."""
        return self._alive_s

    @property
    def rebalancing(self) -> bool:
        """Whether a new assignment is awaited."""
        return self._rebalancing_since_s is not None

    @property
    def expires_s(self) -> float:
        """When `owned` becomes empty if nothing more is heard."""
        if self._rebalancing_since_s is not None:
            return self._rebalancing_since_s + self._rebalance_timeout_s + self._session_timeout_s
        return self._alive_s + self._session_timeout_s

    def assigned(self, shards: Iterable[int], now_s: float) -> None:
        """The group has settled, and these are ours."""
        self._assigned = frozenset(shards)
        self._is_settled = True
        self._rebalancing_since_s = None
        self.alive(now_s)

    def rebalance_began(self, now_s: float) -> None:
        """The group settles anew. Repeated attempts to join do not prolong the bound."""
        if self._rebalancing_since_s is None:
            self._rebalancing_since_s = now_s

    def alive(self, at_s: float) -> None:
        """The broker knows us as a member; its session timeout began at ``at_s`` or later."""
        self._alive_s = max(self._alive_s, at_s)

    def ended(self) -> None:
        """We are no member any more; what was assigned is for others."""
        self._assigned = frozenset()
        self._is_settled = False
        self._rebalancing_since_s = None

    def is_member(self, now_s: float) -> bool:
        """Whether the group has told us our share, be it nothing, and that still holds."""
        return self._is_settled and now_s < self.expires_s

    def owned(self, now_s: float) -> frozenset[int]:
        """The shards to work on now."""
        return self._assigned if now_s < self.expires_s else frozenset()

    def changes_in_s(self, now_s: float) -> float | None:
        """Seconds until `owned` becomes empty by itself; None: it is empty."""
        return self.expires_s - now_s if self.owned(now_s) else None
