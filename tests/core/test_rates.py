"""`ArrivalRate` and `DayPattern`: fast up, slow down, sensible when nothing is known, and the hours of the day."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.model import EpochS
from collector.core.rates import (
    DAY_HOURS,
    HOUR_S,
    MEMORY_MAX_S,
    RATE_UNKNOWN_PER_S,
    ArrivalRate,
    DayPattern,
    average_rate,
)
from tests.core.pages import EPOCH

ASSUMED = RATE_UNKNOWN_PER_S
MIDNIGHT = EPOCH // 86_400 * 86_400


def poisson(rng: Random, mean: float) -> int:
    """A Poisson number, by counting exponential gaps."""
    count, at = 0, rng.expovariate(1.0)
    while at < mean:
        count += 1
        at += rng.expovariate(1.0)
    return count


def settled(rate: float, every_s: float, seed: int = 0) -> ArrivalRate:
    """An account group that was polled for long at a constant rate."""
    estimate, rng = ArrivalRate(), Random(seed)
    for _ in range(max(50, int(60 / rate / every_s))):
        estimate.observe(poisson(rng, rate * every_s), every_s, ASSUMED)
    return estimate


@given(st.floats(0.001, 50.0), st.floats(15.0, 600.0), st.integers(0, 1_000))
def test_a_constant_rate_is_found(rate: float, every_s: float, seed: int) -> None:
    """Within a factor of three, which 20 arrivals leave room for at five standard deviations."""
    assert 1 / 3 < settled(rate, every_s, seed).per_s(ASSUMED) / rate < 3


def test_the_error_of_a_constant_rate_costs_little() -> None:
    """Over many account groups the mean squared error of the logarithm is small: it costs a quarter of that."""
    errors = [
        math.log(settled(rate, every_s, seed).per_s(ASSUMED) / rate) ** 2
        for seed in range(20)
        for rate, every_s in ((0.005, 300.0), (0.05, 100.0), (0.5, 30.0), (5.0, 15.0))
    ]
    assert sum(errors) / len(errors) < 0.12


@given(
    st.floats(0.001, 1.0),
    st.floats(20.0, 300.0),
    st.floats(8.0, 100.0),
    st.floats(0.0, 0.9),
    st.integers(0, 1_000),
)
def test_a_burst_counts_within_two_polls(rate: float, every_s: float, times: float, into: float, seed: int) -> None:
    """Wherever in an interval it begins: two polls later the rate is at least 0.4 of the burst's, as long as the burst
    brings enough for anybody to see it."""
    estimate, burst = settled(rate, every_s, seed), rate * times
    if burst * every_s < 40.0:
        burst = 40.0 / every_s + 8.0 * rate
    mixed_s = every_s * (1.0 - into)
    estimate.observe(round(rate * (every_s - mixed_s) + burst * mixed_s), every_s, ASSUMED)
    estimate.observe(round(burst * every_s), every_s, ASSUMED)
    assert estimate.per_s(ASSUMED) >= 0.4 * burst


@given(st.floats(0.01, 50.0), st.floats(15.0, 300.0), st.integers(0, 1_000))
def test_one_quiet_poll_changes_little(rate: float, every_s: float, seed: int) -> None:
    """A poll that finds nothing lowers the rate by less than a third, and by something; right behind a surprise, which
    had no time to prove itself, by less than two thirds."""
    estimate = ArrivalRate()
    for _ in range(30):
        estimate.observe(rate * every_s, every_s, ASSUMED)
    before = estimate.per_s(ASSUMED)
    estimate.observe(0, every_s, ASSUMED)
    assert 0.66 * before < estimate.per_s(ASSUMED) < before
    estimate.observe(40 * (1.0 + rate * every_s), every_s, ASSUMED)
    before = estimate.per_s(ASSUMED)
    estimate.observe(0, every_s, ASSUMED)
    assert 0.34 * before < estimate.per_s(ASSUMED) < before


@given(st.floats(0.01, 10.0), st.floats(15.0, 300.0))
def test_without_arrivals_the_rate_goes_on_falling(rate: float, every_s: float) -> None:
    """Poll after poll, until a day later it is that of an account group as good as silent."""
    estimate = settled(rate, every_s)
    for _ in range(int(6 * MEMORY_MAX_S / every_s)):
        before = estimate.per_s(ASSUMED)
        estimate.observe(0, every_s, ASSUMED)
        assert 0 < estimate.per_s(ASSUMED) < before
    assert estimate.per_s(ASSUMED) < 1.0 / 3_600


def test_a_new_account_group_is_an_average_one() -> None:
    """Nothing known: a session a minute. Others known: as they are on average. Its first poll decides soon."""
    assert average_rate([ArrivalRate()]) == RATE_UNKNOWN_PER_S
    known = [settled(0.5, 30.0), settled(0.1, 30.0)]
    assumed = average_rate(known)
    assert 0.1 < assumed < 0.5
    new = ArrivalRate()
    assert new.per_s(assumed) == pytest.approx(assumed)
    new.observe(0, 3_600.0, assumed)
    assert new.per_s(assumed) < assumed / 50
    busy = ArrivalRate()
    busy.observe(3_600, 3_600.0, assumed)
    assert busy.per_s(assumed) == pytest.approx(1.0, rel=0.01)


def test_no_time_tells_nothing() -> None:
    """Two walks that began at the same moment: nothing is divided by zero."""
    estimate = ArrivalRate()
    estimate.observe(5, 0.0, ASSUMED)
    assert estimate.per_s(ASSUMED) == pytest.approx(ASSUMED)


def days(pattern: DayPattern, count: float, busy_from: int = 8, busy_to: int = 18, per_hour: float = 40.0) -> None:
    """Let days pass in which ten hours are nine times as busy as the others, polled every ten minutes."""
    for step in range(int(count * DAY_HOURS * 6)):
        start = EpochS(MIDNIGHT + step * 600.0)
        hour = int(start // HOUR_S) % DAY_HOURS
        arrivals = per_hour / 6 * (9.0 if busy_from <= hour < busy_to else 1.0)
        pattern.observe(arrivals, start, EpochS(start + 600.0))


def test_the_day_is_used_once_it_is_learnt() -> None:
    """Not after a day; after three it knows the busy hours; and a group with few sessions is never guessed at."""
    pattern = DayPattern()
    days(pattern, 1.0)
    assert not pattern.learnt
    assert pattern.factor(EpochS(MIDNIGHT + 12 * HOUR_S)) == 1.0
    days(pattern, 3.0)
    assert pattern.learnt
    noon, night = (pattern.factor(EpochS(MIDNIGHT + (hour + 0.5) * HOUR_S)) for hour in (12, 3))
    assert noon / night == pytest.approx(9.0, rel=0.2)
    quiet = DayPattern()
    days(quiet, 3.0, per_hour=0.2)
    assert not quiet.learnt


def test_a_morning_that_is_known_is_not_waited_for() -> None:
    """At the hour's turn the rate follows the learnt day; an estimate without it is still that of the night."""
    knows, plain = ArrivalRate(), ArrivalRate()
    rng = Random(1)
    at = float(MIDNIGHT)
    while at < MIDNIGHT + (6 * DAY_HOURS + 8) * HOUR_S:
        rate = 0.2 if 8 <= int(at // HOUR_S) % DAY_HOURS < 18 else 0.01
        at += 300.0
        found = poisson(rng, rate * 300.0)
        knows.observe(found, 300.0, ASSUMED, EpochS(at))
        plain.observe(found, 300.0, ASSUMED)
    assert knows.pattern.learnt
    later = EpochS(at + 0.5 * HOUR_S)
    assert plain.per_s(ASSUMED, later) < 0.05
    assert knows.per_s(ASSUMED, later) > 0.1


def test_learning_the_day_does_not_move_todays_rate() -> None:
    """What is learnt at an hour's turn changes what other hours are expected to bring, not what was just measured."""
    estimate = ArrivalRate()
    at = float(MIDNIGHT)
    while at < MIDNIGHT + 4 * DAY_HOURS * HOUR_S:
        rate = 0.04 if 8 <= int(at // HOUR_S) % DAY_HOURS < 18 else 0.4
        at += 300.0
        before = estimate.per_s(ASSUMED, EpochS(at))
        estimate.observe(rate * 300.0, 300.0, ASSUMED, EpochS(at))
        if at > MIDNIGHT + HOUR_S and int(at // HOUR_S) % DAY_HOURS not in (8, 18):  # then the rate really changed
            assert 0.8 < estimate.per_s(ASSUMED, EpochS(at)) / before < 1.25
    assert estimate.pattern.learnt
