"""`OtherTenants`: how much is left alone, by what others did."""

from __future__ import annotations

import pytest

from collector.core.tenants import MARGIN_PART, WINDOWS_KEPT, OtherTenants


def test_nobody_was_seen() -> None:
    """Others that never spent anything cost nothing."""
    others = OtherTenants()
    for _ in range(5):
        others.window_ended(0)
    assert others.margin(240, 0, 0.0) == 0


def test_a_burst_may_come_again() -> None:
    """What was spent at once, one more and a quarter; and what went since the last answer at the usual rate."""
    others = OtherTenants()
    others.surprised(8)
    others.surprised(3)
    assert others.margin(240, 0, 0.0) == 8 + 1 + 2
    assert others.margin(240, 0, 4.0) == 8 + 1 + 2 + 4 + 2


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
    assert others.margin(240, 0, 0.0) == 8 + 1 + 2


def test_who_spends_the_same_in_every_window_has_spent_it_then() -> None:
    """Others took their 48 in each of the last windows: once they have them, nothing is kept back."""
    others = OtherTenants()
    others.surprised(48)
    for _ in range(3):
        others.window_ended(48)
    assert [others.margin(240, spent, 0.0) for spent in (0, 24, 46, 48)] == [24, 24, 2, 0]


def test_who_spends_now_more_now_less_may_spend_still_more() -> None:
    """Totals differ by 20: half of that on top of the most, and however much was spent already."""
    others = OtherTenants()
    others.surprised(30)
    for total in (28, 48, 38):
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
