"""The organization's request quota, and other tenants that spend it too."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_S = 60


@dataclass(slots=True)
class Window:
    """What happened in one minute."""

    ours: int = 0
    others: int = 0
    refused: int = 0


@dataclass
class Quota:
    """Counts requests in UTC minutes of the server's clock.

    Args:
        clock: server epoch seconds.
        limit: requests per minute, at a server time.
        others_per_s: mean requests per second of the other tenants.
        refused_count: whether a refused request spends quota too.
    """

    clock: Callable[[], float]
    limit: Callable[[float], int]
    others_per_s: float = 0.0
    refused_count: bool = False
    windows: dict[int, Window] = field(default_factory=lambda: defaultdict(Window))
    _rng: random.Random = field(default_factory=lambda: random.Random(7))
    _others_until: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self) -> tuple[bool, dict[str, str]]:
        """Count one request of ours; returns whether it is granted, and the headers."""
        with self._lock:
            now = self.clock()
            self._let_others_spend(now)
            index = int(now // WINDOW_S)
            window, limit = self.windows[index], self.limit(now)
            granted = window.ours + window.others < limit
            if granted:
                window.ours += 1
            else:
                window.refused += 1
                window.ours += self.refused_count
            left = max(0, limit - window.ours - window.others)
            prefix = "X-Organization-Rate-Limit-"
            reset = (index + 1) * WINDOW_S
            return granted, {
                prefix + "Limit": str(limit),
                prefix + "Remaining": str(left),
                prefix + "Reset": str(reset),
            }

    def _let_others_spend(self, now: float) -> None:
        since = now if self._others_until is None else self._others_until
        self._others_until = now
        while self.others_per_s:
            since += self._rng.expovariate(self.others_per_s)
            if since > now:
                break
            window = self.windows[int(since // WINDOW_S)]
            if window.ours + window.others < self.limit(since):
                window.others += 1
