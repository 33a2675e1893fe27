"""`Progress`: single decisions that the state machine reaches too rarely to rely on."""

from __future__ import annotations

import pytest

from collector.core.model import EpochS, Window
from collector.core.progress import Position, Progress, ProgressSettings
from tests.core.pages import EPOCH

KEY = "progress/example/7625"
OVERLAP_S, DAY_S = 600, 86_400
SETTINGS = ProgressSettings(initial_lookback_s=1_800, overlap_s=OVERLAP_S, late_horizon_s=DAY_S)


def progress_at(covered: int, settled: int, kept_from: int = 0) -> Progress:
    """Progress with this position."""
    return Progress(KEY, SETTINGS, Position(covered, settled, kept_from))


def walk(progress: Progress, now: float, until: int | None = None) -> Window:
    """One walk that comes to its end, or is walked ``until`` there; takes no time."""
    window = progress.next_window(EpochS(now))
    progress.apply(progress.advance(window, EpochS(now), window.end if until is None else until, EpochS(now)))
    if until is None:
        progress.walk_finished(window, EpochS(now))
    return window


def test_the_first_window_reaches_back_and_its_start_is_where_coverage_begins() -> None:
    """Never walked: the initial lookback; a first page that proves nothing makes the start durable."""
    progress = Progress(KEY, SETTINGS)
    window = progress.next_window(EpochS(EPOCH + 30.7))
    assert window == Window(EPOCH - 1_800, EPOCH + 30)
    advance = progress.advance(window, EpochS(EPOCH + 30.7), None, EpochS(EPOCH + 31.0))
    assert (advance.position.covered_until, advance.position.settled_until) == (window.start, window.start)
    restored = Progress.restore(KEY, SETTINGS, advance.changes[0].value)
    assert restored.position == advance.position


def test_nothing_new_is_not_written() -> None:
    """A page that moves nothing costs no change."""
    progress = progress_at(EPOCH, EPOCH - OVERLAP_S, EPOCH - DAY_S // 24 * 3)
    window = progress.next_window(EpochS(EPOCH + 1.0))
    position = progress.advance(window, EpochS(EPOCH + 1.0), None, EpochS(EPOCH + 1.0))
    progress.apply(position)
    assert progress.advance(window, EpochS(EPOCH + 1.0), None, EpochS(EPOCH + 1.0)).changes == ()


def test_a_walk_that_breaks_off_goes_on_behind_what_it_settled() -> None:
    """A bounded window ended, the next was settled half and lost its cursor: the settled half is not asked for again.

    Its ids may be forgotten already, and its sessions would all become dead letters.
    """
    now = EPOCH + 30 * DAY_S
    progress = progress_at(EPOCH, EPOCH)
    progress.walk_failed(Window(EPOCH, EPOCH + 2 * DAY_S))
    first = walk(progress, now)
    second = progress.next_window(EpochS(now))
    assert second.start == first.end
    walk(progress, now, until=first.end + DAY_S)
    progress.walk_failed(second)
    third = progress.next_window(EpochS(now))
    assert third.start == first.end + DAY_S
    assert third.start >= progress.kept_from


def test_windows_that_can_only_be_walked_by_the_minute_reach_now() -> None:
    """Each window of more than a minute breaks off: coverage still reaches now, within and beyond the overlap."""
    progress, now, walks = progress_at(EPOCH, EPOCH), EPOCH + 1_800, 0
    while not progress.caught_up(EpochS(now)):
        window = progress.next_window(EpochS(now))
        if window.end - window.start > 60:
            progress.walk_failed(window)
        else:
            walk(progress, now)
        walks += 1
        assert walks <= 70


def test_slow_walks_end_the_bound_too() -> None:
    """After trouble, walks that take half a minute each: the bound goes, and the overlap is walked again."""
    progress, now = progress_at(EPOCH, EPOCH - OVERLAP_S), EPOCH + 60.0
    progress.walk_failed(Window(EPOCH - OVERLAP_S, EPOCH + 60))
    starts = []
    for _ in range(12):
        starts.append(now - walk(progress, now).start)
        now += 30.0
    assert min(starts[-2:]) >= OVERLAP_S
    assert progress.position is not None
    assert progress.position.settled_until >= now - 30.0 - OVERLAP_S - 60


def test_a_window_behind_a_gap_settles_nothing() -> None:
    """What lies between the settled time and a window's start was not walked by it."""
    progress = progress_at(EPOCH + 3_000, EPOCH)
    window = Window(EPOCH + 2_400, EPOCH + 3_600)
    advance = progress.advance(window, EpochS(EPOCH + 9_000.0), EPOCH + 3_600, EpochS(EPOCH + 9_000.0))
    assert advance.position.settled_until == EPOCH
    assert advance.position.covered_until == EPOCH + 3_600


def test_a_clock_that_ran_ahead_settles_nothing_for_good() -> None:
    """The clock was six hours ahead and came back: what is younger than the overlap is asked for again."""
    progress = progress_at(EPOCH, EPOCH - OVERLAP_S)
    walk(progress, EPOCH + 6 * 3_600.0)
    walk(progress, EPOCH + 60.0)
    assert progress.position is not None
    assert progress.position.settled_until <= EPOCH + 60 - OVERLAP_S
    assert progress.next_window(EpochS(EPOCH + 10_800.0)).start <= EPOCH + 60 - OVERLAP_S


@pytest.mark.parametrize("covered", [EPOCH, EPOCH + 100_000])
def test_a_date_from_before_the_window_proves_nothing(covered: int) -> None:
    """One answer says 1970: the walk is not counted, and nothing is asked for from 1970 on."""
    progress = progress_at(covered, EPOCH - OVERLAP_S)
    window = progress.next_window(EpochS(EPOCH + 60.0))
    progress.apply(progress.advance(window, EpochS(0.0), 0, EpochS(EPOCH + 61.0)))
    assert progress.position is not None
    assert progress.position.settled_until == EPOCH - OVERLAP_S
    assert progress.next_window(EpochS(EPOCH + 120.0)).start >= EPOCH - OVERLAP_S - 60


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"version":2}', b'{"version":1,"covered_until":1}'])
def test_a_foreign_state_is_refused(value: bytes) -> None:
    """What this version cannot read is an error, not a fresh start."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        Progress.restore(KEY, SETTINGS, value)
