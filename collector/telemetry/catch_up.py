"""How long catching up will take, as seen so far.

Rule: what is left divided by how fast it went since it was at its most; no guess before something was done.
"""

from __future__ import annotations

from collector.core.model import MonoS

GROWN_S = 120
"""What is left may grow by this much (a bounded hot walk leaves a little behind it) before the estimate starts anew."""


class CatchUpPace:
    """The pace of one account group's catch-up."""

    def __init__(self) -> None:
        # All mutable state: what was left when it began, and what is left now; seconds of sessions.
        self._began: tuple[MonoS, int] | None = None
        self._seen: tuple[MonoS, int] | None = None

    def observe(self, left_s: int, now: MonoS) -> None:
        """Take what is left at ``now``."""
        if left_s == 0:
            self._began = self._seen = None
            return
        if self._seen is None or left_s > self._seen[1] + GROWN_S:
            self._began = (now, left_s)
        self._seen = (now, left_s)

    @property
    def left_s(self) -> int:
        """How much is left, seconds of sessions."""
        return 0 if self._seen is None else self._seen[1]

    def time_left_s(self, now: MonoS) -> float | None:
        """How long it will take, seconds; None when nothing is left or nothing was done yet."""
        if self._began is None or self._seen is None or self._seen[1] >= self._began[1]:
            return None
        (began, left_then), (seen, left) = self._began, self._seen
        return max(0.0, (seen - began) * left / (left_then - left) - (now - seen))
