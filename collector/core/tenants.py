"""What the others who share the quota spend: how much may be gone before we hear of it.

Rule: others are known by what they did. What they may take unseen has two parts, and in one window they hardly take
more than in the last ones; that much is left alone.

    by chance   the time that nobody sees x their rate is what they take on average; who asks now and then takes more by
                chance, hence the deviations. It shrinks with the age of what is known, and grows with it
    sudden      the most that they lately took beyond that at once, and a quarter: its size does not depend on the time

Invariants: for what is sudden the margin is a tenth of the limit at most; it is 0 while nobody else was ever seen.
"""

from __future__ import annotations

import math
from collections import deque

WINDOWS_KEPT = 10
"""Windows whose totals are remembered: ten minutes, in which a tool that runs every five minutes shows itself twice."""

WINDOWS_ENOUGH = 6
"""So many windows must have been watched to their end before their totals limit what is expected of the next one."""

BURST_FADES = 0.98
"""A burst is half forgotten after 34 windows: what happens once in a while costs a 429 once in a longer while."""

MARGIN_PART = 10
"""What is sudden counts as the limit's tenth part at most: it takes from our share whatever is left at the end."""

DEVIATIONS = 4.5
"""Who asks independently (Poisson) goes beyond the mean and 4.5 deviations once in a thousand to a million times."""

TIME_DIFFERS = 1 / 3
"""Deviation of the time that nobody sees, as a part of it: no two requests and answers travel alike."""

WAKES_LATE = 0.25
"""Part of a request that is not waited for: who sleeps until the last moment wakes up a little after it."""


class OtherTenants:
    """What other users of the organization's quota spend, as far as our answers showed it."""

    def __init__(self) -> None:
        # All mutable state: the largest surprise, fading; others' totals of the last windows (None: not watched).
        self._burst = 0.0
        self._totals: deque[int | None] = deque(maxlen=WINDOWS_KEPT)

    def surprised(self, count: int) -> None:
        """An answer showed ``count`` requests of others beyond what chance explains."""
        self._burst = max(self._burst, float(count))

    def window_ended(self, total: int | None) -> None:
        """A quota window is over, in which others spent ``total``; None when its end was not watched."""
        self._burst *= BURST_FADES
        self._totals.append(total)

    def per_window(self) -> float:
        """Requests that others spent in a window on average, in the last ones."""
        totals = self._watched
        return sum(totals) / len(totals) if totals else 0.0

    def margin(self, limit: int, spent: int, mean: float) -> int:
        """How many requests to leave alone beyond what the answers say.

        Args:
            limit: requests a window allows, >= 0.
            spent: what others spent in this window at least, >= 0.
            mean: what they spend on average in the time that nobody sees, >= 0.
        """
        return min(self._sudden(limit) + by_chance(mean), self._still_to_come(limit, spent))

    def mean_within(self, limit: int, spent: int, margin: int) -> float:
        """Up to which ``mean`` a margin is enough, a little less; 0 when it never is, infinite when it always is."""
        if self._still_to_come(limit, spent) <= margin:
            return math.inf
        beyond = margin - self._sudden(limit) - WAKES_LATE
        if beyond <= 0:
            return 0.0
        squared = DEVIATIONS**2  # `by_chance` turned round: the root of (beyond - mean)^2 = squared x variance
        linear = 2 * beyond + squared
        return 2 * beyond**2 / (linear + math.sqrt(linear**2 - 4 * (1 - squared * TIME_DIFFERS**2) * beyond**2))

    @property
    def _watched(self) -> list[int]:
        """Others' totals of those of the last windows that were watched to their end."""
        return [total for total in self._totals if total is not None]

    def _sudden(self, limit: int) -> int:
        """The largest burst and a quarter: the largest of a thousand is not the largest of ten thousand."""
        burst = round(self._burst)
        return min(burst + burst // 4, max(1, limit // MARGIN_PART))

    def _still_to_come(self, limit: int, spent: int) -> int:
        """What others may still spend in this window, judged by their totals in the last ones and how these differ."""
        totals = self._watched
        if len(totals) < max(WINDOWS_ENOUGH, len(self._totals)):
            return limit
        most = max(totals)
        return max(0, most - spent) + math.ceil((most - min(totals)) / 2)


def by_chance(mean: float) -> int:
    """What others may take by chance when they take ``mean`` on average, whole requests; 0 when that is 0."""
    variance = mean + (mean * TIME_DIFFERS) ** 2
    return math.ceil(mean + DEVIATIONS * math.sqrt(variance)) if mean > 0 else 0
