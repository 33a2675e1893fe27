"""Sets of whole seconds as a few ranges, and their arithmetic.

Rule: every function takes and returns `Ranges`: half-open, sorted, disjoint, none empty and none touching the next. So
the same set is always the same value, and a ledger that knows much stays small.
"""

from __future__ import annotations

Range = tuple[int, int]
"""From the first second to the one behind the last: ``(start, end)``, start < end."""

Ranges = tuple[Range, ...]


def union(ranges: Ranges, start: int, end: int) -> Ranges:
    """The set with the seconds from ``start`` on and before ``end``; none are added when ``end <= start``."""
    if end <= start:
        return ranges
    before = [one for one in ranges if one[1] < start]
    after = [one for one in ranges if one[0] > end]
    joined = ranges[len(before) : len(ranges) - len(after)]
    if joined:
        start, end = min(start, joined[0][0]), max(end, joined[-1][1])
    return (*before, (start, end), *after)


def clip(ranges: Ranges, start: int, end: int) -> Ranges:
    """What of the set lies from ``start`` on and before ``end``."""
    cut = ((max(a, start), min(b, end)) for a, b in ranges)
    return tuple((a, b) for a, b in cut if a < b)


def complement(ranges: Ranges, start: int, end: int) -> Ranges:
    """What the set lacks from ``start`` on and before ``end``."""
    missing, at = [], start
    for a, b in clip(ranges, start, end):
        if a > at:
            missing.append((at, a))
        at = b
    if at < end:
        missing.append((at, end))
    return tuple(missing)


def difference(ranges: Ranges, without: Ranges) -> Ranges:
    """What the first set has and the second has not."""
    return tuple(part for a, b in ranges for part in complement(without, a, b))


def intersection(ranges: Ranges, others: Ranges) -> Ranges:
    """What both sets have."""
    return tuple(part for a, b in others for part in clip(ranges, a, b))


def seconds(ranges: Ranges) -> int:
    """How many seconds the set has."""
    return sum(b - a for a, b in ranges)


def as_ranges(pairs: list[Range]) -> Ranges:
    """Any pairs, in any order, as a set."""
    result: Ranges = ()
    for start, end in pairs:
        result = union(result, start, end)
    return result
