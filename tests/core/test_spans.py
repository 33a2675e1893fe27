"""`SpanBound`: shorter after trouble, longer again by itself, never below a round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.core.spans import SLICE_FIRST_S, SLICE_MAX_S, SLICE_PAGES, SPAN_MIN_S, SpanBound, slices


def test_trouble_halves_down_to_a_round_and_success_doubles() -> None:
    """From an hour to a minute in six failures, and back; then longer, to the longest."""
    bound, spans = slices(), []
    while bound.span_s > SPAN_MIN_S:
        bound.failed(bound.span_s)
        spans.append(bound.span_s)
    assert spans == [1_800, 900, 450, 225, 112, 60]
    bound.failed(SPAN_MIN_S)
    assert bound.span_s == SPAN_MIN_S
    for _ in range(20):
        bound.finished(bound.span_s, 1)
    assert bound.span_s == SLICE_MAX_S


def test_slices_take_about_as_many_pages_as_they_should() -> None:
    """80 pages an hour: the next slice is a quarter; 15 pages in a slice leave it as it is."""
    bound = slices()
    bound.finished(SLICE_FIRST_S, 80)
    assert bound.span_s == SLICE_FIRST_S * SLICE_PAGES // 80
    bound.finished(bound.span_s, 15)
    assert bound.span_s == 900


def test_a_short_window_says_nothing_about_a_long_one() -> None:
    """The rest of a gap, a few seconds and a page: no reason to take longer slices."""
    bound = slices()
    bound.finished(10, 1)
    assert bound.span_s == SLICE_FIRST_S


@given(walks=st.lists(st.tuples(st.booleans(), st.integers(0, 100_000), st.integers(0, 20_000)), max_size=30))
def test_a_bound_is_a_round_at_least_and_never_more_than_the_longest(walks: list[tuple[bool, int, int]]) -> None:
    """Whatever walks took."""
    bound = SpanBound(SLICE_FIRST_S, SLICE_MAX_S, SLICE_PAGES)
    for works, span_s, taken in walks:
        if works:
            bound.finished(span_s, taken)
        else:
            bound.failed(span_s)
        assert SPAN_MIN_S <= bound.span_s <= SLICE_MAX_S
