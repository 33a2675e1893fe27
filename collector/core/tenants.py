"""What the others who share the quota spend: how much may be gone before we hear of it.

Rule: others are known by what they did. Between the last answer and the arrival of our next request they may spend as
much at once as they lately did, and in one window hardly more than in the last ones; that much is left alone.

Invariants: for what is sudden the margin is a tenth of the limit at most; it is 0 while nobody else was ever seen.
"""

from __future__ import annotations

import math
from collections import deque

WINDOWS_KEPT = 10
"""Windows whose totals are remembered: ten minutes, in which a tool that runs every five minutes shows itself twice."""

WINDOWS_ENOUGH = 3
"""So many windows must have been watched to their end before their totals limit what is expected of the next one."""

BURST_FADES = 0.98
"""A burst is half forgotten after 34 windows: what happens once in a while costs a 429 once in a longer while."""

MARGIN_PART = 10
"""The margin is the limit's tenth part at most: it takes from our share whatever happens to be left at the end."""


class OtherTenants:
    """What other users of the organization's quota spend, as far as our answers showed it."""

    def __init__(self) -> None:
        # All mutable state: the largest surprise, fading; others' totals of the last windows (None: not watched).
        self._burst = 0.0
        self._totals: deque[int | None] = deque(maxlen=WINDOWS_KEPT)

    def surprised(self, count: int) -> None:
        """An answer showed ``count`` requests of others that its request had not known of when it left."""
        self._burst = max(self._burst, float(count))

    def window_ended(self, total: int | None) -> None:
        """A quota window is over, in which others spent ``total``; None when its end was not watched."""
        self._burst *= BURST_FADES
        self._totals.append(total)

    def margin(self, limit: int, spent: int, since: float) -> int:
        """How many requests to leave alone beyond what the answers say.

        Args:
            limit: requests a window allows, >= 0.
            spent: what others spent in this window at least, >= 0.
            since: what they spent since the last answer at their usual rate, >= 0.
        """
        burst = round(self._burst)
        # One more than was seen, and a quarter: the largest of a thousand is not the largest of ten thousand.
        sudden = min(burst + 1 + burst // 4, max(1, limit // MARGIN_PART)) if burst > 0 else 0
        gone = round(since + math.sqrt(since))  # the mean and its deviation
        return min(sudden + gone, self._still_to_come(limit, spent))

    def _still_to_come(self, limit: int, spent: int) -> int:
        """What others may still spend in this window, judged by their totals in the last ones and how these differ."""
        totals = [total for total in self._totals if total is not None]
        if len(totals) < max(WINDOWS_ENOUGH, len(self._totals)):
            return limit
        most = max(totals)
        return max(0, most - spent) + math.ceil((most - min(totals)) / 2)
