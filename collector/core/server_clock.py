"""The API server's time, from the ``Date`` headers of its answers.

Rule: every time that goes to the API or into the ledger is server time, so a wrong local clock harms nothing. Between
answers server time goes on with the local monotonic clock; the local wall clock counts only before the first answer.

``Date`` has whole seconds, so the estimate is up to a second, and the answer's way, behind: never ahead.
"""

from __future__ import annotations

from collector.core.model import EpochS, MonoS


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

    @property
    def observed(self) -> bool:
        """Whether the server ever told its time."""
        return self._observed

    @property
    def skew_s(self) -> float:
        """How far the server's clock is ahead of the local one, seconds; 0 before the first answer."""
        return self._offset - self._wall_offset

    def observe(self, date: EpochS | None, mono: MonoS) -> None:
        """Take the ``Date`` of an answer that arrived at ``mono``. A clock that jumps is followed at once."""
        if date is not None:
            self._offset = date - mono
            self._observed = True

    def now(self, mono: MonoS) -> EpochS:
        """Server time at ``mono``."""
        return EpochS(self._offset + mono)
