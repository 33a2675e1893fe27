"""How late sessions are committed, as measured: from a session's date to its commit in ThousandEyes.

Rule: the overlap of hot walks follows the measured lateness, between the floor and the ceiling that the operator set.
It covers 999 sessions of 1,000; what comes later still is found by the sweeps, and what they find counts here too.

The estimate is a histogram with buckets a fifth apart whose counts decay by half every `HALF_LIFE_S`: some hundred
numbers, and an answer that is never below the truth of the sessions it saw and at most a fifth above it.
It is not durable: the overlap in force is, and a new process does not shrink it before it saw enough sessions itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from math import ceil, exp2, log2

from collector.core.model import EpochS, Row

QUANTILE = 0.999
"""Which part of the sessions an overlap should reach; the sweeps are for the rest."""

BUCKETS_PER_OCTAVE = 4
"""A bucket is 19 % wide: enough to choose minutes by."""

BUCKETS = 1 + 22 * BUCKETS_PER_OCTAVE
"""From a second to 2^22 s, 48 days: beyond any retention."""

HALF_LIFE_S = 21_600.0
"""Six hours: a morning's laptops that woke up are half forgotten by noon, and one odd session by the next day."""

SESSIONS_MIN = 1_000
"""Fewer sessions do not show one in a thousand; until then the overlap may grow but not shrink."""

OVERLAP_STEP_S = 60
"""Overlaps are whole rounds: smaller steps would only make the durable state change more often."""

OFTEN_S = 60.0
"""The counts decay once a minute; more often would change nothing that can be seen."""

_SECONDS = {f"{second:02}": second for second in range(100)}
"""The last two digits of a time of the usual form. A look at each is cheaper than `int`, and each session asks."""

Counts = tuple[tuple[int, int], ...]
"""Latenesses of one page: (bucket, sessions)."""


def bucket_of(lateness_s: float) -> int:
    """The bucket of a lateness; what is negative (an agent's clock runs ahead) counts as none."""
    if lateness_s <= 1:
        return 0
    return min(BUCKETS - 1, ceil(log2(lateness_s) * BUCKETS_PER_OCTAVE))


def longest_s(bucket: int) -> float:
    """The longest lateness that belongs to a bucket, seconds."""
    return exp2(bucket / BUCKETS_PER_OCTAVE)


def latenesses(sessions: Iterable[Row], found_s: float | None = None) -> Counts:
    """The latenesses of fresh sessions, in the form of the schema.

    Args:
        sessions: valid ones.
        found_s: when they were found, server time, if an earlier walk had missed them: then that bounds the lateness of
            a session that does not say when it was committed. None: such sessions say nothing.
    """
    found: dict[float, int] = {}
    for session in sessions:
        date, committed = session["date"], session.get("committed")
        if committed is not None and date[:17] == committed[:17] and len(date) == len(committed) == 20:
            late_s: float | None = _SECONDS[committed[17:19]] - _SECONDS[date[17:19]]  # almost always: the same minute
        else:
            late_s = _lateness_s(date, committed, found_s)
        if late_s is not None:
            found[late_s] = found.get(late_s, 0) + 1
    counts: dict[int, int] = {}
    for late_s, count in found.items():
        bucket = bucket_of(late_s)
        counts[bucket] = counts.get(bucket, 0) + count
    return tuple(counts.items())


def _lateness_s(date: str, committed: str | None, found_s: float | None) -> float | None:
    try:
        if committed is None:
            return None if found_s is None else found_s - _seconds(date)
        return _seconds(committed) - _seconds(date)
    except ValueError:  # a time that no calendar has, such as a leap second
        return None


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


class Lateness:
    """The lateness of one account group, and the overlap that follows from it.

    Args:
        floor_s: shortest overlap, and the one to begin with.
        ceiling_s: longest overlap, >= floor_s.
        overlap_s: the overlap that was in force before; None: none was.
    """

    def __init__(self, floor_s: int, ceiling_s: int, overlap_s: int | None = None) -> None:
        self._floor_s = floor_s
        self._ceiling_s = ceiling_s
        # All mutable state: the decayed counts, when they decayed last, and the overlap in force.
        self._counts = [0.0] * BUCKETS
        self._decayed_at: EpochS | None = None
        self._overlap_s = self._within(floor_s if overlap_s is None else overlap_s)

    @property
    def overlap_s(self) -> int:
        """How far a hot walk reaches back behind the end of the one before, seconds."""
        return self._overlap_s

    @property
    def sessions(self) -> float:
        """How many sessions the estimate rests on, old ones counting less."""
        return sum(self._counts)

    @property
    def p999_s(self) -> float | None:
        """Lateness that 999 of 1,000 sessions do not exceed, seconds; None before the first session."""
        return self.quantile(QUANTILE)

    def quantile(self, share: float) -> float | None:
        """Lateness that this share of the sessions does not exceed, seconds; None before the first session."""
        total = self.sessions
        if total <= 0.0:
            return None
        left = total * (1 - share)
        for bucket in range(BUCKETS - 1, -1, -1):
            left -= self._counts[bucket]
            if left < -1e-9 * total:
                return longest_s(bucket)
        return longest_s(0)

    def observe(self, counts: Sequence[tuple[int, int]], now: EpochS) -> None:
        """Take the latenesses of a page that is durable, at server time ``now``."""
        if self._decayed_at is None or now < self._decayed_at:
            self._decayed_at = now
        elif now - self._decayed_at >= OFTEN_S:
            kept = 0.5 ** ((now - self._decayed_at) / HALF_LIFE_S)
            self._counts = [count * kept for count in self._counts]
            self._decayed_at = now
        for bucket, sessions in counts:
            self._counts[bucket] += sessions
        measured = self.p999_s
        if measured is None:
            return
        overlap_s = self._within(ceil(measured / OVERLAP_STEP_S) * OVERLAP_STEP_S)
        if overlap_s > self._overlap_s or self.sessions >= SESSIONS_MIN:
            self._overlap_s = overlap_s

    def _within(self, overlap_s: int) -> int:
        return min(max(overlap_s, self._floor_s), self._ceiling_s)
