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
        cuts: whether the Reset of an anchored window has its fraction of a second cut instead of rounded up.
        tells_reset: whether answers carry Reset.
        date_skew_s: how far ``Date`` and Reset are from the true time, seconds.
    """

    limit: int
    anchored: bool = False
    cuts: bool = False
    tells_reset: bool = True
    date_skew_s: float = 0.0
    window_start: float = -math.inf
    spent: int = 0
    ours: Counter[float] = field(default_factory=Counter)
    others: Counter[float] = field(default_factory=Counter)
    limits: dict[float, int] = field(default_factory=dict)
    rejected_ours: int = 0
    rejected_others: int = 0

    def request(self, now: float, *, ours: bool = True) -> tuple[int, Quota, EpochS]:
        """Handle one request at ``now``, seconds of server time: status, quota headers and ``Date``."""
        self._roll(now)
        accepted = self.spent < self.limit
        if accepted:
            self.spent += 1
            (self.ours if ours else self.others)[self.window_start] += 1
        elif ours:
            self.rejected_ours += 1
        else:
            self.rejected_others += 1
        self.limits[self.window_start] = self.limit
        end = self.window_start + WINDOW_S + self.date_skew_s
        reset = EpochS(float(math.floor(end) if self.cuts else math.ceil(end))) if self.tells_reset else None
        quota = Quota(self.limit, max(0, self.limit - self.spent), reset)
        return 200 if accepted else 429, quota, EpochS(float(int(now + self.date_skew_s)))

    def others_in_window(self, now: float) -> int:
        """What others spent in the window of ``now``."""
        self._roll(now)
        return self.others[self.window_start]

    def _roll(self, now: float) -> None:
        if now >= self.window_start + WINDOW_S:
            self.window_start = now if self.anchored else now // WINDOW_S * WINDOW_S
            self.spent = 0
