"""The API's request quota, as `collector.core.budget` has to live with it: the truth that tests compare with.

Two kinds of window: the UTC minute (what published samples show) and 60 s from the first request (what the
documentation says). ``Date`` has whole seconds. Refused requests do not count.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from collector.core.model import EpochS, Quota

WINDOW_S = 60.0


@dataclass(slots=True)
class QuotaServer:
    """Counts the requests of everybody.

    Args:
        limit: requests a window allows.
        anchored: whether a window begins with its first request instead of with the UTC minute.
    """

    limit: int
    anchored: bool = False
    window_start: float = -math.inf
    spent: int = 0
    ours: Counter[float] = field(default_factory=Counter)
    others: Counter[float] = field(default_factory=Counter)
    rejected_ours: int = 0

    def request(self, now: float, *, ours: bool = True) -> tuple[int, Quota, EpochS]:
        """Handle one request at ``now``, seconds of server time: status, quota headers and ``Date``."""
        self._roll(now)
        accepted = self.spent < self.limit
        if accepted:
            self.spent += 1
            (self.ours if ours else self.others)[self.window_start] += 1
        elif ours:
            self.rejected_ours += 1
        reset = EpochS(float(math.ceil(self.window_start + WINDOW_S)))
        return 200 if accepted else 429, Quota(self.limit, self.limit - self.spent, reset), EpochS(float(int(now)))

    def others_in_window(self, now: float) -> int:
        """What others spent in the window of ``now``."""
        self._roll(now)
        return self.others[self.window_start]

    def _roll(self, now: float) -> None:
        if now >= self.window_start + WINDOW_S:
            self.window_start = now if self.anchored else now // WINDOW_S * WINDOW_S
            self.spent = 0
