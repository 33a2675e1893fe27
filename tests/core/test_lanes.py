"""`LaneShares`: pages as the weights say, nothing saved up, nobody starved."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.lanes import DEBT_PAGES_MAX, WEIGHTS, LaneShares
from collector.core.model import Lane

LANES = list(Lane)


@given(st.sets(st.sampled_from(LANES), min_size=1), st.lists(st.sampled_from(LANES), max_size=300))
def test_lanes_with_work_get_pages_as_their_weights(with_work: set[Lane], before: list[Lane]) -> None:
    """Over 1,000 pages each lane with work gets its part to within two pages and its debt, whatever went before."""
    shares = LaneShares()
    for lane in before:
        shares.choose({lane})
    took = Counter(shares.choose(with_work) for _ in range(1_000))
    total = sum(WEIGHTS[lane] for lane in with_work)
    for lane in with_work:
        assert took[lane] == pytest.approx(1_000 * WEIGHTS[lane] / total, abs=2.0 + WEIGHTS[lane] / 10.0)
    assert set(took) == with_work


@given(st.lists(st.tuples(st.sampled_from(LANES), st.integers(0, 200)), max_size=100))
def test_a_lane_with_work_waits_for_a_bounded_number_of_pages(history: list[tuple[Lane, int]]) -> None:
    """After any walks of any length the lane with the smallest weight goes within its debt's worth of pages."""
    shares = LaneShares()
    for lane, pages in history:
        shares.choose({lane})
        for _ in range(pages):
            shares.took_page(lane)
    bound = int((DEBT_PAGES_MAX + 1) * sum(WEIGHTS.values()) / WEIGHTS[Lane.SWEEP]) + len(LANES)
    assert any(shares.choose(LANES) is Lane.SWEEP for _ in range(bound))


def test_a_lane_without_work_saves_nothing_up() -> None:
    """A sweep that begins after an hour of hot pages gets its share from then on, not the hour's."""
    shares = LaneShares()
    for _ in range(10_000):
        shares.choose({Lane.HOT})
    took = Counter(shares.choose({Lane.HOT, Lane.SWEEP}) for _ in range(80))
    assert took[Lane.SWEEP] == pytest.approx(10, abs=1)


def test_a_long_walk_is_paid_back() -> None:
    """A catch-up walk of 20 pages in one turn: hot gets the pages that it is behind before catch-up goes again."""
    shares = LaneShares()
    assert shares.choose({Lane.CATCH_UP}) is Lane.CATCH_UP
    for _ in range(19):
        shares.took_page(Lane.CATCH_UP)
    order = [shares.choose({Lane.HOT, Lane.CATCH_UP}) for _ in range(100)]
    assert order.index(Lane.CATCH_UP) == pytest.approx(70, abs=2)


def test_an_asked_share_is_given() -> None:
    """A backfill with another weight gets another part."""
    shares = LaneShares()
    shares.weigh(Lane.BACKFILL, 70.0)
    took = Counter(shares.choose({Lane.HOT, Lane.BACKFILL}) for _ in range(100))
    assert took[Lane.BACKFILL] == pytest.approx(50, abs=1)
    assert shares.share(Lane.HOT, {Lane.BACKFILL}) == pytest.approx(0.5)
    assert shares.share(Lane.HOT, ()) == 1.0
