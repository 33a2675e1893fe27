"""How often to poll each account group, so that a session waits as short as the request budget allows.

Rule: with arrivals at rate l and a poll that costs c pages, the mean delay of all sessions, sum(l T / 2) / sum(l),
under the budget sum(c / T) <= b is least at T = k sqrt(c / l), with one k for all. Intervals are clamped to a shortest
and a longest one; k is the smallest that fits the budget with the clamps, found exactly, not by iteration.

Invariants: every interval lies between the clamps; the cost is within the budget, or every interval is the longest.

Source: Sia, Cho, Cho, "Efficient Monitoring Algorithm for Fast News Alerts", IEEE TKDE 19(7), 2007.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Demand(NamedTuple):
    """What one account group asks for: sessions a second (> 0), and pages a poll (> 0)."""

    rate_per_s: float
    pages: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """The best intervals as a rule: ``k`` and the clamps, seconds between the starts of two polls."""

    k: float
    min_s: float
    max_s: float

    def of(self, demand: Demand) -> float:
        """The interval of an account group, seconds."""
        return min(self.max_s, max(self.min_s, self.k * math.sqrt(demand.pages / demand.rate_per_s)))


def best_intervals(demands: Sequence[Demand], pages_per_s: float, min_s: float, max_s: float) -> Intervals:
    """Return the intervals of least mean delay, in O(n log n).

    Args:
        demands: of all account groups.
        pages_per_s: the budget, > 0.
        min_s: shortest interval, > 0.
        max_s: longest interval, >= ``min_s``. When even that costs more than the budget, it is what everybody gets.
    """
    # As k grows an account group leaves the shortest interval, is free, and comes to the longest: two edges each.
    roots = [math.sqrt(pages / rate) for rate, pages in demands]
    edges = sorted(
        [(min_s / root, 1, index) for index, root in enumerate(roots)]
        + [(max_s / root, 0, index) for index, root in enumerate(roots)]
    )
    clamped = sum(pages for _, pages in demands) / min_s  # cost of those at a clamp, pages a second
    free = 0.0  # cost of those between the clamps, times k
    if clamped <= pages_per_s:
        return Intervals(0.0, min_s, max_s)
    before = 0.0
    for k, leaves_shortest, index in edges:
        if clamped + free / k <= pages_per_s:
            return Intervals(_between(before, k, demands, pages_per_s, min_s, max_s), min_s, max_s)
        before = k
        rate, pages = demands[index]
        if leaves_shortest:
            clamped -= pages / min_s
            free += math.sqrt(pages * rate)
        else:
            clamped += pages / max_s
            free -= math.sqrt(pages * rate)
    return Intervals(math.inf, min_s, max_s)


def _between(
    before: float, k: float, demands: Sequence[Demand], pages_per_s: float, min_s: float, max_s: float
) -> float:
    """The solution between two edges: summed up anew, because what was added and taken away above is not exact.

    Who is at a clamp is judged by the edges as they were computed: the product of an edge and its root is rounded.
    """
    clamped = free = 0.0
    for rate, pages in demands:
        root = math.sqrt(pages / rate)
        if min_s / root >= k:
            clamped += pages / min_s
        elif max_s / root <= before:
            clamped += pages / max_s
        else:
            free += math.sqrt(pages * rate)
    exact = free / (pages_per_s - clamped) if clamped < pages_per_s else before
    return min(k, max(before, exact))
