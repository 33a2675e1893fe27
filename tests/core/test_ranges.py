"""`ranges`: the same as sets of seconds, and always in one form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.core.ranges import (
    Range,
    Ranges,
    as_ranges,
    clip,
    complement,
    difference,
    intersection,
    seconds,
    union,
)

moments = st.integers(0, 40)
pairs = st.lists(st.tuples(moments, moments), max_size=8)


def as_set(ranges: Ranges) -> set[int]:
    """The seconds, one by one; asserts the form: sorted, disjoint, none empty, none touching the next."""
    assert all(start < end for start, end in ranges)
    assert all(ranges[n][1] < ranges[n + 1][0] for n in range(len(ranges) - 1))
    return {second for start, end in ranges for second in range(start, end)}


def model(pairs_: list[Range]) -> set[int]:
    """The seconds of any pairs."""
    return {second for start, end in pairs_ for second in range(start, end)}


@given(first=pairs, second=pairs, start=moments, end=moments)
def test_ranges_are_sets_of_seconds(first: list[Range], second: list[Range], start: int, end: int) -> None:
    """Every operation is the one on sets, in the one form."""
    a, b, window = as_ranges(first), as_ranges(second), set(range(start, end))
    assert as_set(a) == model(first)
    assert as_set(union(a, start, end)) == model(first) | window
    assert as_set(clip(a, start, end)) == model(first) & window
    assert as_set(complement(a, start, end)) == window - model(first)
    assert as_set(difference(a, b)) == model(first) - model(second)
    assert as_set(intersection(a, b)) == model(first) & model(second)
    assert seconds(a) == len(model(first))
