"""`Progress`: which window each lane walks, and when; single decisions that the machine reaches too rarely."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from collector.core.chunks import KEEP_MARGIN_S
from collector.core.lateness import bucket_of
from collector.core.ledger import LOST_MAX, RETRIES_S, Ledger
from collector.core.ledger_entries import Lost, Trouble, Unreadable, Why
from collector.core.model import EpochS, Lane, Window
from collector.core.progress import Progress, ProgressSettings
from collector.core.ranges import as_ranges, complement
from collector.core.seen import hour_of
from collector.core.windows import Sweep
from tests.core.pages import EPOCH

KEY = "progress/example/7625"
OVERLAP_S, DAY_S = 600, 86_400
SETTINGS = ProgressSettings(
    1_800, OVERLAP_S, DAY_S, overlap_max_s=3_600, sweeps=(Sweep(3_600, 900), Sweep(None, 3_600))
)


def opened(now: float = EPOCH, settings: ProgressSettings = SETTINGS) -> Progress:
    """Progress of an account group whose coverage begins now."""
    progress = Progress(KEY, settings)
    opening = progress.opening(EpochS(now))
    assert opening is not None
    progress.apply(opening)
    return progress


def walk(progress: Progress, now: float, lane: Lane = Lane.HOT, until: int | None = None, pages: int = 1) -> Window:
    """One walk that comes to its end, or is walked ``until`` there and breaks off; takes no time."""
    opening = progress.opening(EpochS(now))
    if opening is not None:
        progress.apply(opening)
    window = progress.begin(lane, EpochS(now))
    assert window is not None
    reached = min(window.end, int(now)) if until is None else until
    progress.apply(progress.advance(lane, window, EpochS(now), reached, EpochS(now), finished=until is None))
    progress.ended(lane)
    if until is None:
        progress.finished(lane, window, pages)
    return window


def fail(progress: Progress, now: float, lane: Lane, trouble: Trouble = Trouble.CIRCLE) -> Window:
    """One walk that cannot be finished as it is."""
    window = progress.begin(lane, EpochS(now))
    assert window is not None
    progress.apply(progress.failed(lane, window, trouble, EpochS(now)))
    progress.ended(lane)
    return window


def work_off(progress: Progress, now: float, lane: Lane) -> list[Window]:
    """Walks of one lane until nothing is due; they take a second each."""
    windows = []
    while (due := progress.due(lane, EpochS(now))) is not None and due <= now:
        windows.append(walk(progress, now, lane))
        now += 1.0
        assert len(windows) <= 200
    return windows


def test_the_first_window_reaches_back_to_where_coverage_begins() -> None:
    """Never walked: the initial lookback, cut to a round's start; that is durable before anything is asked."""
    progress = Progress(KEY, SETTINGS)
    opening = progress.opening(EpochS(EPOCH + 30.7))
    assert opening is not None
    restored = Progress.restore(KEY, SETTINGS, opening.changes[0].value)
    assert restored.ledger == opening.ledger
    assert restored.opening(EpochS(EPOCH + 40.0)) is None
    assert restored.window(Lane.HOT, EpochS(EPOCH + 40.9)) == Window(EPOCH - 1_800, EPOCH + 40)


def test_no_window_begins_before_coverage_does() -> None:
    """Without a lookback, nothing older than the first run is asked for, whatever the overlap is."""
    progress = opened(EPOCH, replace(SETTINGS, initial_lookback_s=0))
    assert walk(progress, EPOCH + 20.0) == Window(EPOCH, EPOCH + 20)
    assert walk(progress, EPOCH + 900.0).start == EPOCH


def test_hot_walks_overlap() -> None:
    """Each begins where the one before settled: the overlap before its end."""
    progress = opened()
    walk(progress, EPOCH + 1.0)
    assert walk(progress, EPOCH + 61.0) == Window((EPOCH + 1 - OVERLAP_S) // 60 * 60, EPOCH + 61)
    assert progress.due(Lane.CATCH_UP, EpochS(EPOCH + 61.0)) is None


def test_a_long_first_lookback_is_caught_up_behind_the_newest() -> None:
    """A day of lookback: hot takes the overlap, catch-up the rest from the oldest on, in slices that grow."""
    progress = opened(EPOCH, replace(SETTINGS, initial_lookback_s=DAY_S))
    assert walk(progress, EPOCH + 1.0) == Window(EPOCH - OVERLAP_S, EPOCH + 1)
    assert progress.left_s(EpochS(EPOCH + 1.0)) == DAY_S - OVERLAP_S
    assert progress.ledger is not None
    assert {gap.why for gap in progress.ledger.gaps(EpochS(EPOCH + 1.0))} == {Why.BEHIND}
    windows = work_off(progress, EPOCH + 2.0, Lane.CATCH_UP)
    assert windows[0].start == EPOCH - DAY_S
    assert all(first.end == second.start for first, second in pairwise(windows))
    assert [w.end - w.start for w in windows[:3]] == [3_600, 7_200, 14_400]
    assert progress.left_s(EpochS(EPOCH + 10.0)) == 0
    assert progress.ledger.covered_until == EPOCH + 1


def test_slices_follow_their_pages() -> None:
    """A slice of 200 pages: the next covers a tenth of it."""
    progress = opened(EPOCH, replace(SETTINGS, initial_lookback_s=DAY_S))
    walk(progress, EPOCH + 1.0)
    first = walk(progress, EPOCH + 2.0, Lane.CATCH_UP, pages=200)
    second = walk(progress, EPOCH + 3.0, Lane.CATCH_UP)
    assert (first.end - first.start, second.end - second.start) == (3_600, 360)


def test_a_short_pause_is_no_gap() -> None:
    """Ten minutes down: the hot window takes them along."""
    progress = opened()
    walk(progress, EPOCH + 1.0)
    assert walk(progress, EPOCH + 601.0).start <= EPOCH + 1 - OVERLAP_S
    assert progress.due(Lane.CATCH_UP, EpochS(EPOCH + 601.0)) is None


def test_after_an_outage_the_overlap_before_it_is_walked_again_too() -> None:
    """Hours down: what was walked less than the overlap before is not settled, so catch-up begins there."""
    progress = opened()
    walk(progress, EPOCH + 1.0)
    now = EPOCH + 20_000.0
    assert walk(progress, now) == Window((int(now) - OVERLAP_S) // 60 * 60, int(now))
    windows = work_off(progress, now + 1.0, Lane.CATCH_UP)
    assert windows[0].start <= EPOCH + 1 - OVERLAP_S
    assert windows[-1].end == (int(now) - OVERLAP_S) // 60 * 60
    assert progress.ledger is not None
    assert progress.ledger.settled_until >= int(now) - OVERLAP_S - 60


def test_a_walk_that_breaks_off_goes_on_behind_what_it_proved() -> None:
    """Half of a slice is proven, then its cursor is lost: the proven half is not asked for again, after a crash either.

    Its ids may be forgotten already, and its sessions would all become dead letters.
    """
    progress = opened(EPOCH, replace(SETTINGS, initial_lookback_s=DAY_S))
    walk(progress, EPOCH + 1.0)
    first = walk(progress, EPOCH + 2.0, Lane.CATCH_UP, until=EPOCH - DAY_S + 1_800)
    assert progress.window(Lane.CATCH_UP, EpochS(EPOCH + 3.0)) == Window(first.start + 1_800, first.start + 5_400)


def test_trouble_makes_windows_shorter_and_success_longer() -> None:
    """A hot walk in a circle: the newest half of its window is next; catch-up takes the other, and the bound goes."""
    progress, now = opened(), EPOCH + 60.0
    walk(progress, EPOCH + 1.0)
    whole = fail(progress, now, Lane.HOT)
    half = walk(progress, now + 1.0)
    assert half.end - half.start <= (whole.end - whole.start) // 2 + 60
    assert half.end == now + 1
    spans = []
    for turn in range(1, 8):
        now += 15.0
        window = walk(progress, now)
        spans.append(window.end - window.start)
        work_off(progress, now, Lane.CATCH_UP)
        assert turn < 8
    assert spans[-1] >= OVERLAP_S
    now += OVERLAP_S + 120.0
    walk(progress, now)
    work_off(progress, now, Lane.CATCH_UP)
    assert progress.ledger is not None
    assert progress.ledger.settled_until >= now - OVERLAP_S - 60


def test_a_round_that_cannot_be_read_is_left_out_and_tried_rarely() -> None:
    """Everything that touches one minute fails: the rest is caught up, the minute comes back after a while."""
    progress, now = opened(EPOCH, replace(SETTINGS, initial_lookback_s=20_000)), EPOCH + 1.0
    walk(progress, now)
    bad, tried = (EPOCH - 10_000) // 60 * 60, 0
    while (due := progress.due(Lane.CATCH_UP, EpochS(now))) is not None and due <= now:
        window = progress.window(Lane.CATCH_UP, EpochS(now))
        assert window is not None
        if window.start < bad + 60 and window.end >= bad:
            fail(progress, now, Lane.CATCH_UP)
            tried += 1
        else:
            walk(progress, now, Lane.CATCH_UP)
        now += 1.0
        assert tried <= 20
    assert progress.ledger is not None
    gaps = progress.ledger.gaps(EpochS(EPOCH))
    assert {gap.why for gap in gaps} == {Why.UNREADABLE}
    assert sum(gap.end - gap.start for gap in gaps) <= 180
    assert due is not None
    assert now < due <= now + 900.0
    assert progress.has_reached(EpochS(EPOCH)), "nobody waits for it"
    windows = work_off(progress, due + 1_000.0, Lane.CATCH_UP)
    assert len(windows) >= 1
    assert progress.ledger.gaps(EpochS(EPOCH)) == ()


def test_sweeps_are_due_in_turn_and_reach_where_they_should() -> None:
    """The last hour every 15 minutes, everything up to the late horizon every hour; never what a hot walk takes."""
    progress, now, sweeps = opened(), float(EPOCH), []
    for _ in range(4 * 60):
        now += 60.0
        walk(progress, now)
        due = progress.due(Lane.SWEEP, EpochS(now))
        if due is not None and due <= now:
            windows = work_off(progress, now, Lane.SWEEP)
            sweeps.append((now - EPOCH, min(w.start for w in windows) - EPOCH, max(w.end for w in windows) - EPOCH))
    assert [at for at, _, _ in sweeps][:4] == [900.0, 1_800.0, 2_700.0, 3_600.0]
    assert len(sweeps) == 16
    assert [at for at, start, _ in sweeps if start == -1_800 and at > 1_800] == [3_600.0, 7_200.0, 10_800.0, 14_400.0]
    assert all(at - OVERLAP_S - 60 <= end <= at - OVERLAP_S + 60 for at, _, end in sweeps)


def test_a_late_sweep_begins_where_nothing_is_final() -> None:
    """After two days every sweep reaches back by the late horizon and its interval, and ids by an hour more."""
    progress, now = opened(), float(EPOCH)
    for _ in range(2 * 24):
        now += 3_600.0
        walk(progress, now)
        work_off(progress, now, Lane.CATCH_UP)
        windows = work_off(progress, now, Lane.SWEEP)
    assert DAY_S <= now - min(window.start for window in windows) <= DAY_S + 2 * 3_600
    assert progress.ledger is not None
    assert progress.ledger.final_until >= now - DAY_S - 3_600
    assert progress.kept_from == hour_of(progress.ledger.final_until - KEEP_MARGIN_S)


def test_without_sweeps_ids_are_not_kept_for_ever() -> None:
    """Sweeps switched off: what is settled counts as final at the late horizon."""
    progress, now = opened(EPOCH, replace(SETTINGS, sweeps=())), float(EPOCH)
    for _ in range(48):
        now += 3_600.0
        walk(progress, now)
        work_off(progress, now, Lane.CATCH_UP)
    assert progress.due(Lane.SWEEP, EpochS(now)) is None
    assert progress.kept_from >= now - DAY_S - 3 * 3_600


def test_a_longer_late_horizon_reaches_back_no_further_than_ids_are_kept() -> None:
    """It grows with time, as if it had just begun; sweeps and ids do not stay for ever where the old one ended."""
    progress, now = opened(), float(EPOCH)
    for day in range(8):
        if day == 3:
            progress = Progress(KEY, replace(SETTINGS, late_horizon_s=2 * DAY_S), progress.ledger)
        kept_from = progress.kept_from
        for _ in range(24):
            now += 3_600.0
            walk(progress, now)
            work_off(progress, now, Lane.CATCH_UP)
            windows = work_off(progress, now, Lane.SWEEP)
        assert all(window.start >= kept_from for window in windows)
    assert progress.ledger is not None
    assert progress.ledger.final_until >= now - 2 * DAY_S - 3_600
    assert progress.kept_from >= now - 2 * DAY_S - 3 * 3_600


def test_a_longer_overlap_asks_for_nothing_that_was_forgotten() -> None:
    """What was settled stays so where its ids are gone; catch-up comes to an end."""
    progress, now = opened(settings=replace(SETTINGS, late_horizon_s=3_600)), float(EPOCH)
    for _ in range(8):
        now += 3_600.0
        walk(progress, now)
        work_off(progress, now, Lane.CATCH_UP)
        work_off(progress, now, Lane.SWEEP)
    longer = replace(SETTINGS, late_horizon_s=6 * 3_600, overlap_s=6 * 3_600, overlap_max_s=6 * 3_600)
    progress = Progress(KEY, longer, progress.ledger)
    for _ in range(8):
        now += 3_600.0
        walk(progress, now)
        assert all(window.start < window.end for window in work_off(progress, now, Lane.CATCH_UP))


def test_a_walk_under_way_keeps_its_ids() -> None:
    """A sweep of the oldest hour takes four hours: hot commits do not drop the ids that its pages can show."""
    progress, now = opened(EPOCH, replace(SETTINGS, sweeps=(Sweep(None, 3_600),))), float(EPOCH)
    for _ in range(30):
        now += 3_660.0
        walk(progress, now)
        work_off(progress, now, Lane.CATCH_UP)
        work_off(progress, now, Lane.SWEEP)
    now += 3_660.0
    window = progress.begin(Lane.SWEEP, EpochS(now))
    assert window is not None
    for _ in range(4):
        now += 3_600.0
        walk(progress, now)
        assert progress.kept_from <= window.start - KEEP_MARGIN_S + 3_600


def test_a_backfill_under_way_keeps_its_ids() -> None:
    """A backfill of the oldest hour that is known takes four: what its pages can show is known until it ends."""
    progress, now = opened(EPOCH, replace(SETTINGS, sweeps=(Sweep(None, 3_600),))), float(EPOCH)
    for _ in range(30):
        now += 3_660.0
        for lane in (Lane.CATCH_UP, Lane.SWEEP):
            walk(progress, now)
            work_off(progress, now, lane)
    known_from = progress.kept_from
    progress.asked = (known_from + KEEP_MARGIN_S, known_from + 2 * KEEP_MARGIN_S)
    assert progress.begin(Lane.BACKFILL, EpochS(now)) is not None
    for _ in range(4):
        now += 3_660.0
        for lane in (Lane.CATCH_UP, Lane.SWEEP):
            walk(progress, now)
            work_off(progress, now, lane)
    assert progress.kept_from == known_from
    progress.ended(Lane.BACKFILL)
    walk(progress, now + 60.0)
    assert progress.kept_from > known_from


def test_what_was_due_is_reached_after_its_sweep() -> None:
    """``--once`` waits for the sweeps that are due as well: late sessions of before are part of it."""
    progress, now = opened(), EPOCH + 4_000.0
    walk(progress, now)
    work_off(progress, now, Lane.CATCH_UP)
    assert progress.due(Lane.SWEEP, EpochS(now)) == now
    assert not progress.has_reached(EpochS(now))
    work_off(progress, now, Lane.SWEEP)
    walk(progress, now + 60.0)
    work_off(progress, now + 60.0, Lane.CATCH_UP)
    assert progress.has_reached(EpochS(now))


def test_what_cannot_be_read_does_not_hold_up_what_can() -> None:
    """Everything older than an hour fails: catch-up goes on at the newest end, and takes turns after that."""
    progress, now = opened(EPOCH, replace(SETTINGS, initial_lookback_s=DAY_S)), EPOCH + 1.0
    walk(progress, now)
    newest = progress.window(Lane.HOT, EpochS(now))
    assert newest is not None
    while (window := fail(progress, now, Lane.CATCH_UP)).end - window.start > 60:
        assert window.start == EPOCH - DAY_S, "the oldest end, in ever smaller windows"
        now += 1.0
    window = walk(progress, now, Lane.CATCH_UP)
    assert window.end > EPOCH - 7_200, "one round cannot be read: the newest end comes next"
    after = progress.window(Lane.CATCH_UP, EpochS(now))
    assert after is not None
    assert after.start == EPOCH - DAY_S + 60, "and then the oldest again"


def test_a_round_an_hour_that_is_never_read_holds_nothing_up() -> None:
    """Each is lost after its tries, all else is walked, final soon after a day, and not walked over and over."""
    progress, now = opened(), float(EPOCH)
    walked: list[Window] = []

    def turn(lane: Lane) -> None:
        window = progress.window(lane, EpochS(now))
        assert window is not None
        if any(at % 3_600 < 60 for at in range(window.start, window.end + 1, 60)):
            fail(progress, now, lane)
        else:
            walked.append(walk(progress, now, lane))

    for _ in range(2 * 24 * 3):
        now += 1_200.0
        turn(Lane.HOT)
        for lane in (Lane.CATCH_UP, Lane.SWEEP):
            walks = 0
            while (due := progress.due(lane, EpochS(now))) is not None and due <= now:
                turn(lane)
                now, walks = now + 0.1, walks + 1
                assert walks < 400, f"{lane} does not come to an end"
    assert progress.ledger is not None
    assert len(progress.ledger.lost) == LOST_MAX
    assert progress.ledger.final_until >= now - 1.5 * DAY_S
    assert progress.kept_from >= now - 1.5 * DAY_S - 2 * 3_600
    read = as_ranges([(window.start, window.end) for window in walked])
    unread = complement(read, progress.ledger.begins, progress.ledger.final_until)
    assert unread
    for start, end in unread:  # a window has both of its ends
        assert end - start <= 120
        assert -(-start // 3_600) * 3_600 < end


def test_what_was_read_between_two_lost_rounds_is_never_said_to_be_lost() -> None:
    """Not even when they are told as one: said is only the round that is given up now."""
    now, rounds = float(EPOCH + 2 * DAY_S), [EPOCH + 600 * turn for turn in range(LOST_MAX + 1)]
    read = complement(as_ranges([(start, start + 60) for start in rounds]), EPOCH, rounds[-1] + 600)
    lost = tuple(Lost(start, start + 60, Why.GIVEN_UP, "", EPOCH) for start in rounds[:-1])
    last = Unreadable(rounds[-1], rounds[-1] + 60, Trouble.CIRCLE, len(RETRIES_S), int(now))
    ledger = Ledger(EPOCH, EPOCH, OVERLAP_S, read, read, read, lost=lost, unreadable=(last,))
    advance = Progress(KEY, SETTINGS, ledger).failed(
        Lane.CATCH_UP, Window(last.start, last.end), Trouble.CIRCLE, EpochS(now)
    )
    assert len(advance.ledger.lost) == LOST_MAX
    assert [(one.start, one.end) for one in advance.lost] == [(last.start, last.end)]


def test_a_gap_is_lost_to_the_minute() -> None:
    """Down for longer than the API keeps sessions: what it has forgotten is lost, not what it had an hour ago.

    Where nothing is missing the floor moves by the hour.
    """
    progress = opened(EPOCH, replace(SETTINGS, api_retention_s=2 * DAY_S))
    walk(progress, EPOCH + 600.0)
    now = EPOCH + 600.0 + 2 * DAY_S + 3_000.5
    opening = progress.opening(EpochS(now))
    assert opening is not None
    assert [(one.start, one.end) for one in opening.lost] == [(EPOCH + 600, EPOCH + 3_600)]
    now += 40.0
    progress.apply(opening)
    opening = progress.opening(EpochS(now))
    assert opening is not None
    assert [(one.start, one.end) for one in opening.lost] == [(EPOCH + 3_600, EPOCH + 3_660)]
    progress.apply(opening)
    walk(progress, now)
    work_off(progress, now, Lane.CATCH_UP)
    assert progress.opening(EpochS(now + 1_800.0)) is None


def test_the_overlap_in_force_is_durable() -> None:
    """A restart begins with what was measured before, not with the floor."""
    progress = opened()
    progress.observe([(bucket_of(1_500.0), 50), (bucket_of(2.0), 5_000)], EpochS(EPOCH + 1.0))
    window = progress.begin(Lane.HOT, EpochS(EPOCH + 2.0))
    assert window is not None
    advance = progress.advance(Lane.HOT, window, EpochS(EPOCH + 2.0), EPOCH + 2, EpochS(EPOCH + 2.0), finished=True)
    restored = Progress.restore(KEY, SETTINGS, advance.changes[0].value)
    assert restored.lateness.overlap_s == progress.lateness.overlap_s >= 1_500


def test_another_number_of_sweeps_is_no_other_state() -> None:
    """A sweep that the configuration has lost is forgotten, a new one is due at once."""
    progress = opened(EPOCH, replace(SETTINGS, sweeps=()))
    walk(progress, EPOCH + 1.0)
    now = EPOCH + 3_000.0
    walk(progress, now)
    assert progress.ledger is not None
    more = Progress(KEY, SETTINGS, progress.ledger)
    assert more.due(Lane.SWEEP, EpochS(now)) == now
    assert Progress(KEY, replace(SETTINGS, sweeps=()), more.ledger).due(Lane.SWEEP, EpochS(now)) is None


def test_nothing_new_is_not_written() -> None:
    """A page that moves nothing costs no change."""
    progress = opened()
    walk(progress, EPOCH + 1.0)
    window = progress.begin(Lane.HOT, EpochS(EPOCH + 1.0))
    assert window is not None
    progress.apply(progress.advance(Lane.HOT, window, EpochS(EPOCH + 1.0), None, EpochS(EPOCH + 1.0)))
    assert progress.advance(Lane.HOT, window, EpochS(EPOCH + 1.0), None, EpochS(EPOCH + 1.0)).changes == ()


@pytest.mark.parametrize("jump_s", [6 * 3_600.0, -6 * 3_600.0])
def test_a_clock_that_jumps_loses_nothing_for_good(jump_s: float) -> None:
    """Hours ahead or back and right again: coverage says what was walked, and no window asks for what was forgotten."""
    progress, now = opened(), float(EPOCH)
    for _ in range(30):
        now += 600.0
        walk(progress, now)
    walk(progress, now + jump_s)
    for _ in range(3):
        now += 600.0
        window = walk(progress, now)
        assert window.start >= progress.kept_from
        work_off(progress, now, Lane.CATCH_UP)
    assert progress.ledger is not None
    assert progress.ledger.walked[-1][1] == int(now)
    assert progress.ledger.settled_until <= now - OVERLAP_S


def test_the_backfill_lane_has_nothing_to_do_yet() -> None:
    """Its place is kept: no window, never due."""
    progress = opened()
    assert progress.window(Lane.BACKFILL, EpochS(EPOCH)) is None
    assert progress.due(Lane.BACKFILL, EpochS(EPOCH)) is None
