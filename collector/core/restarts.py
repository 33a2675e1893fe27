"""Decides how long an organization that failed rests before it starts over, alone.

Rule: what fails again soon rests longer. Each start reads the shard's state anew, and the neighbours' transactions wait
for that, so the pauses grow further than those of a shard.
"""

from __future__ import annotations

from collector.core.model import MonoS

REST_FIRST_S = 0.5
REST_MAX_S = 300.0
"""1/2, 1, 2, ... seconds to 5 minutes: a restore of some tenths of a second then costs the neighbours a thousandth."""

STEADY_S = 300.0
"""An organization that ran for so long fails for the first time again, whatever it published: one that publishes a
page and then fails, for ever, must not read the state twice a second."""


class Restarts:
    """One organization's memory of its failures. It survives its restarts."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self._started_at = MonoS(float("-inf"))

    def started(self, now: MonoS) -> None:
        """It runs from now on."""
        self._started_at = now

    def failed(self, now: MonoS, jitter: float) -> float:
        """It failed.

        Args:
            now: local monotonic time.
            jitter: 0 to 1.

        Returns:
            Seconds to rest.
        """
        self.in_a_row = 1 if now - self._started_at >= STEADY_S else self.in_a_row + 1
        longest = min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(self.in_a_row - 1, 20))
        return longest * (0.5 + 0.5 * jitter)
