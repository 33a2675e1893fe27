"""`best_intervals`: the least mean delay that a budget allows, against the conditions that tell an optimum."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.core.intervals import Demand, Intervals, best_intervals

DEMANDS = st.lists(
    st.builds(Demand, st.floats(1e-5, 100.0), st.floats(1.0, 20.0)),
    min_size=1,
    max_size=40,
)
BUDGETS = st.floats(1e-3, 50.0)
CLAMPS = st.tuples(st.floats(1.0, 60.0), st.floats(1.0, 50.0)).map(lambda c: (c[0], c[0] * c[1]))


def cost(demands: list[Demand], intervals: Intervals) -> float:
    return sum(demand.pages / intervals.of(demand) for demand in demands)


def delay(demands: list[Demand], every: list[float]) -> float:
    return sum(demand.rate_per_s * interval / 2 for demand, interval in zip(demands, every, strict=True))


@given(DEMANDS, BUDGETS)
def test_without_clamps_it_is_the_closed_form(demands: list[Demand], budget: float) -> None:
    """T = k sqrt(c / l) with k = sum(sqrt(c l)) / b, and the delay is (sum sqrt(c l))^2 / 2 b."""
    intervals = best_intervals(demands, budget, 1e-9, 1e12)
    roots = sum(math.sqrt(pages * rate) for rate, pages in demands)
    for demand in demands:
        assert intervals.of(demand) == pytest.approx(roots / budget * math.sqrt(demand.pages / demand.rate_per_s))
    assert delay(demands, [intervals.of(demand) for demand in demands]) == pytest.approx(roots**2 / 2 / budget)


# Between two edges, where one of them times its root is a little less than the longest interval.
@example([Demand(1.0, pages) for pages in (1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 20.0)], 1.0, (2.0, 30.0))
@given(DEMANDS, BUDGETS, CLAMPS)
def test_the_budget_is_used_and_never_exceeded(
    demands: list[Demand], budget: float, clamps: tuple[float, float]
) -> None:
    """The cost is the budget; below it only when everybody has the shortest interval, above only with the longest."""
    shortest, longest = clamps
    intervals = best_intervals(demands, budget, shortest, longest)
    every = [intervals.of(demand) for demand in demands]
    assert all(shortest <= interval <= longest for interval in every)
    if all(interval == shortest for interval in every):
        assert cost(demands, intervals) <= budget * (1 + 1e-9) or shortest == longest
    elif all(interval == longest for interval in every):
        assert cost(demands, intervals) >= budget * (1 - 1e-9)
    else:
        assert cost(demands, intervals) == pytest.approx(budget)


@given(DEMANDS, BUDGETS, CLAMPS)
def test_the_conditions_of_an_optimum_hold_with_clamps(
    demands: list[Demand], budget: float, clamps: tuple[float, float]
) -> None:
    """One page more is worth the same everywhere between the clamps (l T^2 / c = k^2), less at the shortest interval,
    more at the longest: no page can be moved to where it is worth more."""
    shortest, longest = clamps
    intervals = best_intervals(demands, budget, shortest, longest)
    price = intervals.k**2
    for demand in demands:
        interval = intervals.of(demand)
        worth = demand.rate_per_s * interval**2 / demand.pages
        if interval == shortest:
            assert worth >= price * (1 - 1e-9) or shortest == longest
        elif interval == longest:
            assert worth <= price * (1 + 1e-9)
        else:
            assert worth == pytest.approx(price)


@given(DEMANDS, BUDGETS, CLAMPS, st.integers(0, 1_000_000))
def test_no_other_intervals_within_the_budget_are_better(
    demands: list[Demand], budget: float, clamps: tuple[float, float], seed: int
) -> None:
    """Any other choice that keeps to the clamps and costs no more makes sessions wait at least as long."""
    shortest, longest = clamps
    intervals = best_intervals(demands, budget, shortest, longest)
    best = delay(demands, [intervals.of(demand) for demand in demands])
    rng = Random(seed)
    spread = rng.choice([0.01, 0.2, 2.0])
    other = [min(longest, max(shortest, intervals.of(demand) * math.exp(rng.gauss(0.0, spread)))) for demand in demands]
    if sum(demand.pages / interval for demand, interval in zip(demands, other, strict=True)) <= cost(
        demands, intervals
    ):
        assert delay(demands, other) >= best * (1 - 1e-9)


def test_the_gain_over_polling_alike_is_known() -> None:
    """Rates as 1/rank: 0.72 of the uniform delay with 50 account groups, 0.55 with 500; equal rates gain nothing."""
    for count, expected in ((50, 0.72), (500, 0.55)):
        demands = [Demand(1.0 / rank, 1.0) for rank in range(1, count + 1)]
        intervals = best_intervals(demands, 3.2, 1e-3, 1e9)
        uniform = delay(demands, [count / 3.2] * count)
        assert delay(demands, [intervals.of(demand) for demand in demands]) / uniform == pytest.approx(
            expected, abs=0.005
        )
    alike = [Demand(0.3, 1.0)] * 7
    assert best_intervals(alike, 2.0, 1e-3, 1e9).of(alike[0]) == pytest.approx(3.5)
