"""Plans how often each account group of an organization is polled for new sessions, from what its polls found.

Rule: what a walk told about its own account group counts at once; the one factor that all share (`Intervals.k`) is
planned anew at most every ``PLAN_EVERY_S``.

Invariants: an interval lies between the shortest and the longest one; the longest one grows only when the requests do
not suffice for it, and then to at most ``LONGEST_OF_UNIFORM`` times what polling all alike would take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from collector.core.intervals import Demand, Intervals, best_intervals
from collector.core.model import EpochS, MonoS
from collector.core.rates import RATE_UNKNOWN_PER_S, ArrivalRate, average_rate

PLAN_EVERY_S = 10.0
"""1,000 account groups take some tens of milliseconds to plan, so this is a few thousandths of one core."""

LONGEST_OF_UNIFORM = 2.0
"""With too few requests for the longest interval, half of them keep everybody in sight, half go where sessions are."""

PAGES_LEARNT = 0.3
"""Weight of the newest walk in the pages that a poll is expected to take: some three walks are remembered."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of an account group, for people.

    Args:
        interval_s: planned time from the start of one poll to the start of the next, seconds.
        arrivals_per_s: sessions a second.
        pages: pages a poll.
        day_learnt: whether its busy hours are known.
    """

    interval_s: float
    arrivals_per_s: float
    pages: float
    day_learnt: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What one walk of the newest sessions found.

    Args:
        started: when it began.
        pages: how many it had, >= 1.
        arrivals: sessions that it was the first to find, >= 0.
        caught_up: it reached the time at which it began; otherwise what it found is counted with the next one.
        duration_s: time in which the arrivals became visible, for the first walk; later ones know it themselves.
        server_now: server time at its end, for the hours of the day; None when unknown.
    """

    started: MonoS
    pages: int
    arrivals: int
    caught_up: bool
    duration_s: float | None = None
    server_now: EpochS | None = None


@dataclass(slots=True)
class _Habits:
    """What is known of one account group: its rate, pages a poll, and what was not counted yet."""

    rate: ArrivalRate = field(default_factory=ArrivalRate)
    pages: float | None = None
    counted_until: MonoS | None = None  # start of the last walk that had caught up
    uncounted: int = 0
    demand: Demand = field(default_factory=lambda: Demand(RATE_UNKNOWN_PER_S, 1.0))


class PollingPlan:
    """The plan of one organization.

    Args:
        min_s: shortest interval, seconds, > 0.
        max_s: longest interval while the requests suffice, seconds.
    """

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max(min_s, max_s)
        # All mutable state: the account groups, what an average one is like, server time, and the plan.
        self._habits: dict[str, _Habits] = {}
        self._assumed_per_s = RATE_UNKNOWN_PER_S
        self._server_offset: float | None = None
        self._intervals = Intervals(math.inf, self._min_s, self._max_s)
        self._planned_at = MonoS(-math.inf)

    def add(self, aid: str) -> None:
        """Begin with an account group."""
        self._habits[aid] = _Habits(demand=Demand(self._assumed_per_s, 1.0))
        self._planned_at = MonoS(-math.inf)

    def remove(self, aid: str) -> None:
        """Forget an account group."""
        del self._habits[aid]

    def interval_s(self, aid: str) -> float:
        """Planned time from the start of one poll to the start of the next, seconds."""
        return self._intervals.of(self._habits[aid].demand)

    def outlook(self, aid: str) -> Outlook:
        """What is expected of an account group."""
        habits = self._habits[aid]
        return Outlook(self.interval_s(aid), habits.demand.rate_per_s, habits.demand.pages, habits.rate.pattern.learnt)

    def learn(self, aid: str, found: Found, now: MonoS) -> None:
        """Take what a walk found."""
        habits = self._habits[aid]
        pages = float(max(1, found.pages))
        habits.pages = pages if habits.pages is None else habits.pages + PAGES_LEARNT * (pages - habits.pages)
        habits.uncounted += found.arrivals
        if found.server_now is not None:
            self._server_offset = found.server_now - now
        if not found.caught_up:
            return
        duration_s = found.duration_s
        if habits.counted_until is not None:
            duration_s = found.started - habits.counted_until
        if duration_s is not None:
            habits.rate.observe(habits.uncounted, duration_s, self._assumed_per_s, found.server_now)
        habits.counted_until, habits.uncounted = found.started, 0
        habits.demand = self._demand(habits, now)

    def is_outdated(self, now: MonoS) -> bool:
        """Whether it is time to `replan`."""
        return now >= self._planned_at + PLAN_EVERY_S

    def replan(self, aids: Sequence[str], pages_per_s: float, now: MonoS) -> None:
        """Plan the intervals of all account groups anew.

        Args:
            aids: account groups that are polled regularly; the others cost nothing.
            pages_per_s: pages a second that polling may take, > 0.
            now: the time.
        """
        self._planned_at = now
        if not aids:
            return
        planned = [self._habits[aid] for aid in aids]
        self._assumed_per_s = average_rate(habits.rate for habits in planned)
        for habits in planned:
            habits.demand = self._demand(habits, now)
        demands = [habits.demand for habits in planned]
        uniform_s = sum(demand.pages for demand in demands) / pages_per_s
        longest_s = max(self._max_s, LONGEST_OF_UNIFORM * uniform_s)
        self._intervals = best_intervals(demands, pages_per_s, self._min_s, longest_s)

    def _demand(self, habits: _Habits, now: MonoS) -> Demand:
        at = None if self._server_offset is None else EpochS(self._server_offset + now)
        return Demand(habits.rate.per_s(self._assumed_per_s, at), habits.pages or 1.0)
