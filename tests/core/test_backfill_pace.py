"""How fast a backfill job goes, and when it will be done."""

from __future__ import annotations

import pytest

from collector.core.backfill import BackfillJob, BackfillRequest, Counts, JobState
from collector.core.backfill_pace import PACE_OVER_S, JobPace
from collector.core.model import MonoS

START, END = 1_790_000_000, 1_790_010_000
REQUEST = BackfillRequest("one", "acme", START, END, ("1",), 0.2, END)
RUNNING = BackfillJob(REQUEST, END, END).begun(("1",), END)


def after(pages: int, share: float) -> BackfillJob:
    """The job with so many pages, walked so far."""
    return RUNNING.walked("1", START + round(share * (END - START)), Counts(pages), END)


def test_pace_and_time_left_follow_from_what_was_done() -> None:
    """Nothing is guessed at once; then it is a rule of three."""
    pace = JobPace()
    pace.observe(after(10, 0.1), MonoS(100.0))
    assert (pace.pages_per_min(MonoS(100.0)), pace.time_left_s(MonoS(100.0))) == (None, None)
    pace.observe(after(40, 0.2), MonoS(130.0))
    assert pace.pages_per_min(MonoS(130.0)) == 60.0
    assert pace.time_left_s(MonoS(130.0)) == pytest.approx(240.0)


def test_a_job_that_stands_still_becomes_slower() -> None:
    """Without news the time left grows, and in the end nothing is claimed any more."""
    pace = JobPace()
    pace.observe(after(0, 0.0), MonoS(0.0))
    pace.observe(after(60, 0.5), MonoS(60.0))
    assert pace.time_left_s(MonoS(60.0)) == pytest.approx(60.0)
    assert pace.time_left_s(MonoS(120.0)) == pytest.approx(120.0)
    long_after = MonoS(60.0 + PACE_OVER_S)
    assert (pace.pages_per_min(long_after), pace.time_left_s(long_after)) == (0.0, None)


def test_it_follows_the_last_minutes_and_stays_small() -> None:
    """A slow beginning is forgotten, and so is every look that is too old, whoever asks."""
    pace = JobPace()
    for second in range(4_000):
        pages = second // 10 if second < 3_000 else 300 + (second - 3_000)
        pace.observe(after(pages, second / 10_000), MonoS(float(second)))
        pace.observe(after(pages, second / 10_000), MonoS(second + 0.5))
    assert pace.pages_per_min(MonoS(4_000.0)) == pytest.approx(60.0, rel=0.02)
    assert len(pace._seen) <= PACE_OVER_S + 2


def test_nothing_is_known_of_a_job_that_does_not_run() -> None:
    """Before it begins, and once it is over."""
    pace = JobPace()
    pace.observe(BackfillJob(REQUEST, END, END), MonoS(0.0))
    assert pace.pages_per_min(MonoS(100.0)) is None
    pace.observe(after(1, 0.1), MonoS(200.0))
    pace.observe(after(2, 0.2).ended(JobState.CANCELLED, END), MonoS(230.0))
    assert (pace.pages_per_min(MonoS(260.0)), pace.time_left_s(MonoS(260.0))) == (None, None)
