"""What the freshness benchmark runs, and what it demands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.freshness.driver import CAPACITY_PER_S, FIXED_S, Driver, Outcome
from tests.freshness.policies import Uniform, closed_form, informed, optimum_s, ours
from tests.freshness.report import Row, table
from tests.freshness.traces import Trace, make_trace

RATIO_MAX = 1.10
"""The mean delay may be this many times the optimum of whoever knows the true rates."""

CLOSED_FORM_TOLERANCE = 0.005
"""Constant rates: how far optimum / uniform may be from (sum sqrt l)^2 / (n sum l), relatively."""

WARM_UP_S = 3_600.0
"""A run begins without any knowledge; the first hour is not measured."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One organization.

    Args:
        name: for people.
        account_groups: how many.
        hours: how long, the hour of warm-up included.
        busiest_per_s: sessions a second of the busiest account group; the one of rank r has a part 1 / r of it.
        overlap_s: how far each window reaches back.
        days: whether rates follow the hours of the day.
        bursts: how many times as many sessions a burst brings, at least and at most; None: no bursts.
    """

    name: str
    account_groups: int
    hours: int
    busiest_per_s: float = 2.0
    overlap_s: float = 60.0
    days: bool = True
    bursts: tuple[float, float] | None = (5.0, 20.0)

    @property
    def constant(self) -> bool:
        """Whether rates never change."""
        return not self.days and self.bursts is None

    def trace(self) -> Trace:
        """Its sessions; the same each time."""
        return make_trace(
            self.account_groups, self.hours * 3_600, self.busiest_per_s, days=self.days, bursts=self.bursts
        )


SCENARIOS = (
    Scenario("constant rates, 50 account groups", 50, 6, days=False, bursts=None),
    Scenario("constant rates, 500 account groups", 500, 6, days=False, bursts=None),
    Scenario("days and bursts, 50 account groups", 50, 24),
    Scenario("days and bursts, 500 account groups", 500, 24),
    Scenario(
        "costly polls (10 min overlap), 50 account groups",
        50,
        12,
        busiest_per_s=5.0,
        overlap_s=600.0,
        bursts=(2.0, 4.0),
    ),
)


@dataclass(slots=True)
class Result:
    """What came of one scenario."""

    scenario: Scenario
    uniform: Outcome
    ours: Outcome
    optimum_s: float
    optimum_hourly_s: list[float]
    informed: Outcome | None = None
    misses: list[str] = field(default_factory=list)

    def against_closed_form(self) -> str:
        """Constant rates: optimum / uniform as computed, as theory has it, and as run."""
        theory, computed = closed_form(self.scenario.account_groups), self._of_uniform
        as_run = self.ours.delays.mean_s / self.uniform.delays.mean_s
        return f"  optimum / uniform: {theory:.3f} in theory, {computed:.3f} computed; (b) / (a) as run: {as_run:.3f}"

    @property
    def _of_uniform(self) -> float:
        return (self.optimum_s - FIXED_S) / (self.scenario.account_groups / CAPACITY_PER_S / 2)

    def judge(self) -> None:
        """Note what was missed."""
        name, ratio = self.scenario.name, self.ours.delays.mean_s / self.optimum_s
        if ratio > RATIO_MAX:
            self.misses.append(f"{name}: the mean is {ratio:.3f} times the optimum, at most {RATIO_MAX} is aimed at")
        if self.ours.rejected:
            self.misses.append(f"{name}: {self.ours.rejected} answers 429, none is aimed at")
        theory = closed_form(self.scenario.account_groups)
        if self.scenario.constant and abs(self._of_uniform / theory - 1) > CLOSED_FORM_TOLERANCE:
            self.misses.append(f"{name}: optimum / uniform is {self._of_uniform:.3f}, theory says {theory:.3f}")

    def table(self) -> str:
        """For people."""
        rows = [_row("(a) polling all alike", self.uniform), _row("(b) te-collector", self.ours)]
        if self.informed is not None:
            rows.append(_row("    told the true rates", self.informed))
        rows.append(Row("(c) optimum, computed", self.optimum_s))
        return table(self.scenario.name, rows, self.optimum_s)


def run(scenario: Scenario, *, with_informed: bool = False, warm_up_s: float = WARM_UP_S) -> Result:
    """Run one scenario, and say what it misses."""
    trace = scenario.trace()
    hours = range(int(warm_up_s // 3_600), scenario.hours)

    def outcome(schedule: object) -> Outcome:
        driver = Driver(trace, schedule, overlap_s=scenario.overlap_s, measured_from_s=warm_up_s)  # type: ignore[arg-type]
        return driver.run()

    best_s = optimum_s(trace, overlap_s=scenario.overlap_s, begin_s=warm_up_s, end_s=trace.duration_s)
    hourly_s = [
        optimum_s(trace, overlap_s=scenario.overlap_s, begin_s=hour * 3_600, end_s=(hour + 1) * 3_600) for hour in hours
    ]
    result = Result(scenario, outcome(Uniform()), outcome(ours()), best_s, hourly_s)
    if with_informed:
        result.informed = outcome(informed(trace))
    result.judge()
    return result


def all_misses(results: Sequence[Result]) -> list[str]:
    """Everything that was missed."""
    return [miss for result in results for miss in result.misses]


def _row(name: str, outcome: Outcome) -> Row:
    delays = outcome.delays
    return Row(
        name,
        delays.mean_s,
        delays.percentile_s(0.5),
        delays.percentile_s(0.99),
        60.0 * outcome.requests / outcome.duration_s,
        outcome.rejected,
    )
