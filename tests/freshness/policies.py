"""What is compared: polling all alike, ours, and what could be had by whoever knows the true rates."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from random import Random

from collector.core.intervals import Demand, best_intervals
from collector.core.model import Lane, MonoS
from collector.core.polling_plan import PollingPlan
from collector.core.schedule import PollSchedule, Turn
from tests.freshness.driver import CAPACITY_PER_S, FIXED_S, ROWS_A_PAGE
from tests.freshness.traces import MINUTE_S, Trace

POLL_INTERVAL_MIN_S = 1.0
POLL_INTERVAL_MAX_S = 900.0

COST_ROUNDS = 4
"""Pages follow from intervals and intervals from pages; after four rounds neither moves."""


class Uniform:
    """One account group after the other, as fast as the budget allows: what pollers do."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, str]] = deque()

    def account_groups(self, aids: list[str], now: MonoS) -> None:
        """Begin with these."""
        self._waiting.extend((now, aid) for aid in aids)

    def capacity(self, requests_per_s: float) -> None:
        """Not needed."""

    def next(self, now: MonoS) -> Turn | MonoS | None:
        """The one that waits longest."""
        if not self._waiting:
            return None
        if self._waiting[0][0] > now:
            return MonoS(self._waiting[0][0])
        return Turn(self._waiting.popleft()[1], Lane.HOT)

    def page(self, turn: Turn, now: MonoS) -> None:
        """Not needed."""

    def finished(self, turn: Turn, started: MonoS, now: MonoS, **what: object) -> None:
        """Again, behind the others."""
        self._waiting.append((max(now, started + POLL_INTERVAL_MIN_S), turn.aid))


def ours() -> PollSchedule:
    """The collector's."""
    return PollSchedule(POLL_INTERVAL_MIN_S, POLL_INTERVAL_MAX_S, Random(1))


class _TruePlan(PollingPlan):
    """A plan that is told the true rates instead of measuring them."""

    def __init__(self, true_rate: Callable[[str, float], float]) -> None:
        super().__init__(POLL_INTERVAL_MIN_S, POLL_INTERVAL_MAX_S)
        self._true_rate = true_rate
        self._aids = {}  # type: ignore[var-annotated]

    def add(self, aid: str) -> None:
        super().add(aid)
        self._aids[id(self._habits[aid])] = aid

    def _demand(self, habits, now):  # type: ignore[no-untyped-def]
        return Demand(self._true_rate(self._aids[id(habits)], now), habits.pages or 1.0)


def informed(trace: Trace) -> PollSchedule:
    """Ours, but told the true rates: what the measuring costs is the difference."""
    schedule = ours()
    minutes = trace.duration_s // MINUTE_S

    def true_rate(aid: str, now: float) -> float:
        return trace.rates_per_s[int(aid)][min(minutes - 1, int(now // MINUTE_S))]

    schedule._plan = _TruePlan(true_rate)
    return schedule


def optimum_s(trace: Trace, *, overlap_s: float, begin_s: float, end_s: float) -> float:
    """The least mean delay of all sessions between two times, computed: every minute the best intervals for its rates.

    As if polls could be spread without a grain, and with not one request lost: no schedule can do better without
    knowing the sessions themselves. What no schedule can change, half of an answer's way and the commit, is added.
    """
    delay = sessions = 0.0
    for minute in range(int(begin_s) // MINUTE_S, int(end_s) // MINUTE_S):
        rates = [rate[minute] for rate in trace.rates_per_s]
        for rate, interval_s, pages in zip(rates, *_best_intervals(rates, overlap_s), strict=True):
            # The new rows stand on the last page, and the pages before it left one after the other.
            delay += rate * (interval_s / 2 + (pages - 1) / CAPACITY_PER_S)
        sessions += sum(rates)
    return delay / sessions + FIXED_S


def _best_intervals(rates: list[float], overlap_s: float) -> tuple[list[float], list[float]]:
    """The best interval of each account group, and its pages: they come whole, and follow from the interval."""
    every_s = [0.0] * len(rates)
    pages = [1.0] * len(rates)
    for _ in range(COST_ROUNDS):
        pages = [
            float(max(1, math.ceil(rate * (overlap_s + interval_s) / ROWS_A_PAGE)))
            for rate, interval_s in zip(rates, every_s, strict=True)
        ]
        demands = [Demand(*each) for each in zip(rates, pages, strict=True)]
        intervals = best_intervals(demands, CAPACITY_PER_S, POLL_INTERVAL_MIN_S, POLL_INTERVAL_MAX_S)
        every_s = [intervals.of(demand) for demand in demands]
        if max(pages) == 1.0:
            break
    return every_s, pages


def closed_form(account_groups: int) -> float:
    """(sum sqrt l)^2 / (n sum l) for rates 1 / rank: the optimum compared with polling all alike."""
    ranks = range(1, account_groups + 1)
    return sum(math.sqrt(1.0 / rank) for rank in ranks) ** 2 / (account_groups * sum(1.0 / rank for rank in ranks))
