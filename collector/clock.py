"""The only place that reads this machine's clocks; everything else takes the time as an argument."""

from __future__ import annotations

import time
from typing import Protocol

from collector.core.model import MonoS


class Clock(Protocol):
    """Two clocks with two types, see `collector.core.model`."""

    def monotonic(self) -> MonoS:
        """Seconds on the monotonic clock."""

    def wall(self) -> float:
        """Seconds since 1970 on the local wall clock."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> MonoS:
        """Seconds on the monotonic clock."""
        return MonoS(time.monotonic())

    def wall(self) -> float:
        """Seconds since 1970 on the local wall clock."""
        return time.time()
