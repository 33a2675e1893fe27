"""`OtherTenants`: how much is left alone, by what others did."""

from __future__ import annotations

import math

import pytest

from collector.core.tenants import MARGIN_PART, WINDOWS_KEPT, OtherTenants, by_chance


def test_nobody_was_seen() -> None:
    """Others that never spent anything cost nothing."""
    others = OtherTenants()
    for _ in range(5):
        others.window_ended(0)
    assert others.margin(240, 0, 0.0) == 0


def test_a_burst_may_come_again() -> None:
    """What was spent at once, and a quarter; and what they may take by chance in the time that nobody sees."""
    others = OtherTenants()
    others.surprised(8)
    others.surprised(3)
    assert others.margin(240, 0, 0.0) == 8 + 2
    assert others.margin(240, 0, 4.0) == 8 + 2 + by_chance(4.0)


@pytest.mark.parametrize(
    ("mean", "most"), [(0.0, 0), (0.01, 1), (0.08, 2), (0.14, 2), (0.6, 5), (4.0, 15), (100.0, 257)]
)
def test_by_chance_others_take_more_than_on_average(mean: float, most: int) -> None:
    """The mean and 4.5 deviations: of independent requests more come less than once in a thousand times."""
    assert by_chance(mean) == most
    term, within = math.exp(-mean), 0.0
    for count in range(most + 1):
        within += term
        term *= mean / (count + 1)
    assert 1.0 - within < 1e-3


@pytest.mark.parametrize("margin", range(2, 25))
@pytest.mark.parametrize("burst", [0, 3])
def test_how_long_a_margin_is_enough(margin: int, burst: int) -> None:
    """A little before the mean at which one more would be left alone: whoever sleeps until then wakes up late."""
    others = OtherTenants()
    others.surprised(burst)
    mean = others.mean_within(240, 0, margin)
    if margin < burst + 1:
        assert mean == 0.0
    else:
        assert others.margin(240, 0, mean) <= margin
        assert others.margin(240, 0, 1.01 * mean) <= margin
        assert others.margin(240, 0, 2 * mean + 0.1) > margin


def test_a_margin_of_all_that_is_to_come_is_enough_for_ever() -> None:
    """Others had in this window what they have in every one: the age of what is known does not matter."""
    others = OtherTenants()
    others.surprised(3)
    for _ in range(WINDOWS_KEPT):
        others.window_ended(20)
    assert others.mean_within(240, 20, 0) == math.inf
    assert others.per_window() == 20.0


@pytest.mark.parametrize(("limit", "margin"), [(240, 24), (40, 4), (5, 1)])
def test_the_margin_for_a_burst_is_a_tenth_at_most(limit: int, margin: int) -> None:
    """However large the burst was: nine tenths of what is left are for use."""
    others = OtherTenants()
    others.surprised(200)
    assert margin == max(1, limit // MARGIN_PART)
    assert others.margin(limit, 0, 0.0) == margin


def test_a_burst_is_forgotten_by_and_by() -> None:
    """Half of it after some half an hour."""
    others = OtherTenants()
    others.surprised(16)
    for _ in range(35):
        others.window_ended(None)
    assert others.margin(240, 0, 0.0) == 8 + 2


def test_who_spends_the_same_in_every_window_has_spent_it_then() -> None:
    """Others took their 48 in each of the last windows: once they have them, nothing is kept back."""
    others = OtherTenants()
    others.surprised(48)
    for _ in range(WINDOWS_KEPT):
        others.window_ended(48)
    assert [others.margin(240, spent, 0.0) for spent in (0, 24, 46, 48)] == [24, 24, 2, 0]


def test_who_spends_now_more_now_less_may_spend_still_more() -> None:
    """Totals differ by 20: half of that on top of the most, and however much was spent already."""
    others = OtherTenants()
    others.surprised(30)
    for total in (28, 48, 38, *[38] * (WINDOWS_KEPT - 3)):
        others.window_ended(total)
    assert [others.margin(240, spent, 0.0) for spent in (40, 48, 60)] == [18, 10, 10]


def test_a_window_that_was_not_watched_promises_nothing() -> None:
    """One of the last ten windows is not known: others may do anything again."""
    others = OtherTenants()
    others.surprised(10)
    others.window_ended(None)
    for _ in range(WINDOWS_KEPT - 1):
        others.window_ended(5)
    assert others.margin(240, 5, 0.0) > 5
    others.window_ended(5)
    assert others.margin(240, 5, 0.0) == 0
