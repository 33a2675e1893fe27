"""`Ledger`: single decisions that the machine of `Progress` reaches too rarely to rely on."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.ledger import LOST_MAX, RANGES_MAX, RETRIES_S, UNREADABLE_MAX, Ledger
from collector.core.ledger_entries import Gap, Lost, SweepRun, Trouble, Unreadable, Why
from collector.core.ledger_record import decode, encode
from collector.core.model import EpochS, Lane, Window
from collector.core.ranges import clip, complement, difference, intersection
from tests.core.pages import EPOCH

OVERLAP_S, HORIZON_S, DAY_S = 600, 7_200, 86_400


def new(begins: int = EPOCH) -> Ledger:
    """A ledger of which nothing was walked."""
    return Ledger(begins, begins, OVERLAP_S)


def walk(ledger: Ledger, start: int, end: int, at: float | None = None, lane: Lane = Lane.HOT) -> Ledger:
    """A walk that came to its end and began at ``at``, by default at the end of its window."""
    began = EpochS(float(end) if at is None else at)
    return ledger.on_clock(began, OVERLAP_S, HORIZON_S).walk(
        lane, Window(start, end), began, end, horizon_s=HORIZON_S, finished=True
    )


def test_one_walk_after_the_other_is_one_range() -> None:
    """A thousand polls with their overlap: three ranges, and a few hundred bytes."""
    ledger = new()
    for turn in range(1, 1_000):
        at = EPOCH + 60 * turn
        ledger = walk(ledger, max(EPOCH, at - OVERLAP_S - 60), at)
    assert ledger.walked == ((EPOCH, EPOCH + 59_940),)
    assert ledger.settled == ((EPOCH, EPOCH + 59_940 - OVERLAP_S),)
    assert ledger.final == ()
    assert ledger.covered_until == EPOCH + 59_940
    assert len(encode(ledger)) < 500


def test_final_is_what_was_walked_after_the_late_horizon() -> None:
    """A sweep of everything, five hours later: all but the last two hours are final."""
    ledger = walk(new(), EPOCH, EPOCH + 3_600)
    swept = walk(ledger, EPOCH, EPOCH + 14_000, EPOCH + 18_000.0, Lane.SWEEP)
    assert swept.final == ((EPOCH, EPOCH + 18_000 - HORIZON_S),)
    assert swept.final_until == EPOCH + 18_000 - HORIZON_S
    assert swept.hot_from == ledger.hot_from, "only hot walks move where hot goes on"


def test_what_was_walked_too_early_is_never_final() -> None:
    """A hot walk of a minute ago says nothing about late sessions, however long ago it is by now."""
    ledger = walk(new(), EPOCH, EPOCH + 3_600, lane=Lane.HOT)
    assert ledger.final == ()
    assert ledger.on_clock(EpochS(EPOCH + 10.0 * DAY_S), OVERLAP_S, HORIZON_S).final == ()
    later = walk(ledger, EPOCH, EPOCH + 3_600, EPOCH + HORIZON_S + 1_800.0, Lane.SWEEP)
    assert later.final == ((EPOCH, EPOCH + 1_800),)


def test_nothing_is_final_before_its_walk_has_ended() -> None:
    """Nobody looks again at what is final, so the order of a walk's rows is not relied upon; what was walked counts."""
    at = EpochS(EPOCH + 18_000.0)
    half = new().walk(
        Lane.CATCH_UP, Window(EPOCH, EPOCH + 3_600), at, EPOCH + 1_800, horizon_s=HORIZON_S, finished=False
    )
    assert half.walked == half.settled == ((EPOCH, EPOCH + 1_800),)
    assert half.final == ()
    assert walk(half, EPOCH, EPOCH + 3_600, at, Lane.SWEEP).final == ((EPOCH, EPOCH + 3_600),)


def test_gaps_and_why() -> None:
    """Lost, unreadable, passed over, missed, and what is not walked yet: oldest first, each with its reason."""
    ledger = walk(new(), EPOCH, EPOCH + 1_000)
    ledger = walk(ledger, EPOCH + 2_000, EPOCH + 3_000)
    ledger = walk(ledger, EPOCH + 4_000, EPOCH + 5_000).passed_over(EPOCH + 3_000, EPOCH + 4_000, Why.BEHIND)
    now = EpochS(EPOCH + 5_100.0)
    ledger = ledger.not_readable(Window(EPOCH + 1_200, EPOCH + 1_260), Trouble.CIRCLE, now)
    assert ledger.gaps(now) == (
        Gap(EPOCH + 1_000, EPOCH + 1_200, Why.MISSED),
        Gap(EPOCH + 1_200, EPOCH + 1_260, Why.UNREADABLE, "next links in a circle"),
        Gap(EPOCH + 1_260, EPOCH + 2_000, Why.MISSED),
        Gap(EPOCH + 3_000, EPOCH + 4_000, Why.BEHIND),
        Gap(EPOCH + 5_000, EPOCH + 5_100, Why.NOT_YET),
    )
    assert ledger.covered_until == EPOCH + 1_000
    refused = ledger.refused("forbidden", now)
    assert refused.gaps(now)[-1] == Gap(EPOCH + 5_000, EPOCH + 5_100, Why.PARKED, "forbidden")
    assert refused.refused("bad_request", EpochS(now + 9)).parked == (int(now), "bad_request")


def test_what_is_older_than_the_retention_is_lost_and_stays_told() -> None:
    """A gap that the API does not keep: lost, no work any more, and the watermark goes over it."""
    ledger = walk(walk(new(), EPOCH, EPOCH + DAY_S), EPOCH + 3 * DAY_S, EPOCH + 4 * DAY_S)
    now = EpochS(EPOCH + 9.0 * DAY_S)
    told = ledger.forget(EPOCH + 2 * DAY_S, now)
    assert told.lost == (Lost(EPOCH + DAY_S, EPOCH + 2 * DAY_S, Why.RETENTION, "", int(now)),)
    assert told.unwalked(EPOCH + 4 * DAY_S) == ((EPOCH + 2 * DAY_S, EPOCH + 3 * DAY_S),)
    all_of_it = told.forget(EPOCH + 3 * DAY_S, now)
    assert [(one.start, one.end) for one in all_of_it.lost] == [(EPOCH + DAY_S, EPOCH + 3 * DAY_S)]
    assert all_of_it.covered_until == EPOCH + 4 * DAY_S
    assert all_of_it.forget(EPOCH + 2 * DAY_S, now) == all_of_it


def test_an_unreadable_round_is_given_up_after_its_tries() -> None:
    """Tried again later each time, then lost, with the reason; a walk that reads it after all takes it back."""
    ledger, now = walk(new(), EPOCH + 60, EPOCH + 9_000), EPOCH + 9_000.0
    window = Window(EPOCH, EPOCH + 60)
    for number, pause_s in enumerate(RETRIES_S, 1):
        ledger = ledger.not_readable(window, Trouble.NO_END, EpochS(now))
        (entry,) = ledger.unreadable
        assert (entry.tries, entry.retry_at) == (number, now + pause_s)
        assert ledger.covered_until == EPOCH
        now = entry.retry_at
    given_up = ledger.not_readable(window, Trouble.NO_END, EpochS(now))
    assert given_up.unreadable == ()
    assert [(one.start, one.end, one.why) for one in given_up.lost] == [(EPOCH, EPOCH + 60, Why.GIVEN_UP)]
    assert given_up.covered_until == EPOCH + 9_000
    read = walk(given_up, EPOCH, EPOCH + 60, now + 1.0, Lane.BACKFILL)
    assert read.lost == ()


def test_a_round_that_only_sweeps_cannot_read_is_no_gap() -> None:
    """It was walked, only not late enough: when it is given up nothing is lost, and its ids are not kept for ever."""
    ledger, now = walk(new(), EPOCH, EPOCH + 3_600), EPOCH + 20_000.0
    for _ in range(len(RETRIES_S) + 1):
        ledger = ledger.not_readable(Window(EPOCH + 600, EPOCH + 660), Trouble.CIRCLE, EpochS(now))
    assert ledger.lost == ledger.unreadable == ()
    assert ledger.final == ((EPOCH + 600, EPOCH + 660),)
    assert ledger.covered_until == EPOCH + 3_600


def test_a_clock_that_ran_ahead_is_taken_back() -> None:
    """The clock was six hours ahead and came back: what lies ahead of it was not walked, what is young not settled."""
    ahead = walk(walk(new(), EPOCH, EPOCH + 3_600), EPOCH, EPOCH + 25_200)
    back = ahead.on_clock(EpochS(EPOCH + 3_700.0), OVERLAP_S, HORIZON_S)
    assert back.walked == ((EPOCH, EPOCH + 3_700),)
    assert back.settled == ((EPOCH, EPOCH + 3_100),)
    assert back.hot_from == EPOCH + 3_100
    assert back.final == ()


def test_a_sweep_of_the_future_ends_today() -> None:
    """What a clock that ran ahead let begin neither sweeps every new second until then, nor waits until then."""
    ahead = replace(new(), sweeps=(SweepRun(EPOCH + 9_000, EPOCH + 5_000, EPOCH + 8_400),))
    (run,) = ahead.on_clock(EpochS(EPOCH + 5_100.0), OVERLAP_S, HORIZON_S).sweeps
    assert run == SweepRun(EPOCH + 5_100, EPOCH + 4_500, EPOCH + 4_500)


def test_a_date_from_before_the_window_proves_nothing() -> None:
    """One answer says 1970: the walk is not counted."""
    ledger = walk(new(), EPOCH, EPOCH + 600)
    window = Window(EPOCH + 540, EPOCH + 660)
    assert ledger.walk(Lane.HOT, window, EpochS(0.0), 0, horizon_s=HORIZON_S, finished=True) == ledger


@given(seed=st.integers(0, 2**16), steps=st.integers(1, 150))
def test_the_ledger_stays_small_whatever_happens(seed: int, steps: int) -> None:
    """Scattered walks, unreadable rounds, refusals, retention: a few KB, read back as the same value, never a lie."""
    rng, ledger, now = Random(seed), new(), EPOCH + 100_000
    walked: list[tuple[int, int]] = []
    for _ in range(steps):
        now += rng.randrange(0, 5_000)
        start = rng.randrange(max(ledger.floor, now - 200_000), now)
        match rng.randrange(5):
            case 0:
                window = Window(start, start + 60)
                ledger = ledger.not_readable(window, rng.choice(list(Trouble)), EpochS(now))
            case 1:
                ledger = ledger.passed_over(start, now, rng.choice([Why.PARKED, Why.BEHIND]))
            case 2:
                ledger = ledger.forget(now - rng.choice([150_000, 300_000]), EpochS(now))
            case _:
                end = min(now, start + rng.choice([10, 60, 3_000]))
                lane = rng.choice(list(Lane))
                ledger = walk(ledger, start, end, float(now), lane)
                walked.append((start, end))
        assert decode(encode(ledger)) == ledger
        assert len(encode(ledger)) < 6_000
        assert len(ledger.walked) <= RANGES_MAX
        assert len(ledger.lost) <= 2 * LOST_MAX
        assert intersection(ledger.settled, ledger.walked) == ledger.settled
        assert intersection(ledger.final, ledger.settled) == ledger.final
        assert not difference(ledger.walked, _set(walked)), "walked what was not"
        gaps = [(gap.start, gap.end) for gap in ledger.gaps(EpochS(now)) if not gap.is_lost]
        open_ones = difference(complement(ledger.walked, ledger.floor, now), ledger.lost_ranges)
        assert _set(gaps) == open_ones
        assert clip(ledger.walked, ledger.begins, ledger.floor) == ()


def test_ranges_are_bounded_and_what_is_dropped_is_walked_again() -> None:
    """A walk every four minutes: the shortest ranges in the middle are gaps again, never claimed."""
    ledger = new()
    for turn in range(2 * RANGES_MAX):
        ledger = walk(ledger, EPOCH + 240 * turn, EPOCH + 240 * turn + 30 + turn, lane=Lane.CATCH_UP)
    last = 2 * RANGES_MAX - 1
    assert len(ledger.walked) == RANGES_MAX
    assert (ledger.walked[0], ledger.walked[-1]) == (
        (EPOCH, EPOCH + 30),
        (EPOCH + 240 * last, EPOCH + 240 * last + 30 + last),
    )
    assert all(end - start > 30 + RANGES_MAX for start, end in ledger.walked[1:])


def test_rounds_that_are_told_as_one_put_nothing_off() -> None:
    """One more than are told apart: they are tried with the sooner of them."""
    first = EPOCH + 10_000
    entries = [Unreadable(EPOCH + 600 * n, EPOCH + 600 * n + 60, "", 3, first + 60 * n) for n in range(UNREADABLE_MAX)]
    ledger, late = replace(new(), unreadable=tuple(entries)), EPOCH + 600 * UNREADABLE_MAX
    ledger = ledger.not_readable(Window(late, late + 60), Trouble.CIRCLE, EpochS(float(late)))
    assert len(ledger.unreadable) == UNREADABLE_MAX
    assert ledger.unreadable[0] == Unreadable(EPOCH, EPOCH + 660, "", 3, first)


def test_a_round_that_was_tried_just_now_is_not_tried_again_at_once() -> None:
    """Not even where it is told as one with what is due."""
    now = EPOCH + 50_000
    entries = [Unreadable(EPOCH + 600 * n, EPOCH + 600 * n + 120, "", 10 * n + 1, now) for n in range(UNREADABLE_MAX)]
    ledger = replace(new(), unreadable=tuple(entries))
    ledger = ledger.not_readable(Window(EPOCH, EPOCH + 60), Trouble.CIRCLE, EpochS(float(now)))
    assert len(ledger.unreadable) == UNREADABLE_MAX
    assert ledger.unreadable[0] == Unreadable(EPOCH, EPOCH + 120, "", 1, now + RETRIES_S[1])


def test_what_is_dropped_waits_for_the_next_try_or_is_still_to_be_asked_for() -> None:
    """Dropped is what an unreadable range surrounds, else what a window may still ask for: never what was forgotten."""
    ledger = new()
    for turn in range(RANGES_MAX):
        ledger = walk(ledger, EPOCH + 240 * turn, EPOCH + 240 * turn + 60, lane=Lane.CATCH_UP)
    waits, start = ledger.walked[20], EPOCH + 240 * RANGES_MAX
    unreadable = Unreadable(waits[0] - 60, waits[1] + 60, Trouble.CIRCLE, 1, start)
    before = ledger.walked
    ledger = walk(replace(ledger, unreadable=(unreadable,)), start, start + 60, lane=Lane.CATCH_UP)
    assert set(before) - set(ledger.walked) == {waits}
    before, known = ledger.walked, replace(ledger, unreadable=(), kept_from=ledger.walked[30][0])
    ledger = walk(known, start + 240, start + 300, lane=Lane.CATCH_UP)
    assert set(before) - set(ledger.walked) == {before[30]}


def test_a_backfill_leaves_room_for_what_is_walked_by_itself() -> None:
    """A lost range of which it could read some rounds stays told as lost, once there is no room to say which."""
    lost = Lost(EPOCH, EPOCH + 240 * RANGES_MAX, Why.GIVEN_UP, Trouble.CIRCLE, EPOCH)
    ledger = replace(new(), lost=(lost,))
    for turn in range(RANGES_MAX):
        ledger = walk(ledger, EPOCH + 240 * turn + 60, EPOCH + 240 * turn + 120, lane=Lane.BACKFILL)
    assert len(ledger.walked) == RANGES_MAX // 2
    assert not ledger.unwalked(lost.end), "nobody walks it again"


def test_lost_ranges_are_told_together_only_over_what_is_final() -> None:
    """More lost rounds than are told apart: what lies between two of them and is still to be walked stays a gap."""
    ledger, now = new(), float(EPOCH + 2 * DAY_S)
    rounds = [EPOCH + 600 * turn for turn in range(LOST_MAX + 4)]
    for start in rounds:
        for _ in range(len(RETRIES_S) + 1):
            ledger = ledger.not_readable(Window(start, start + 60), Trouble.CIRCLE, EpochS(now))
    assert len(ledger.lost) == LOST_MAX, "no room: the others are tried again, rarely"
    assert len(ledger.unreadable) == len(rounds) - LOST_MAX
    between = [(start + 60, start + 600) for start in rounds]
    assert not intersection(ledger.lost_ranges, _set(between))
    for start, end in between:
        ledger = walk(ledger, start, end, start + HORIZON_S - 1.0, lane=Lane.CATCH_UP)
    again = ledger.not_readable(Window(rounds[-1], rounds[-1] + 60), Trouble.CIRCLE, EpochS(now))
    assert len(again.unreadable) == len(rounds) - LOST_MAX, "sweeps have still to look between"
    for start, end in between:
        ledger = walk(ledger, start, end, start + 2.0 * DAY_S, lane=Lane.SWEEP)
    for start in rounds[LOST_MAX:]:
        ledger = ledger.not_readable(Window(start, start + 60), Trouble.CIRCLE, EpochS(now))
    assert len(ledger.lost) == LOST_MAX
    assert not ledger.unreadable
    assert not intersection(ledger.lost_ranges, ledger.walked)
    assert len(ledger.walked) <= LOST_MAX, "it parts them no more"
    assert ledger.final_until == between[-1][1], "nor is anything of it to be walked again"


def _set(pairs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sorted pairs, joined where they touch."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(pairs):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif start < end:
            result.append((start, end))
    return tuple(result)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b'{"version":1,"covered_until":1,"settled_until":1,"kept_from":0}',
        b'{"version":3}',
        orjson.dumps({**orjson.loads(encode(new())), "walked": [1]}),
        orjson.dumps({**orjson.loads(encode(new())), "lost": [[1, 2, "for no reason", "", 3]]}),
    ],
)
def test_a_foreign_state_is_refused(value: bytes) -> None:
    """What this version cannot read is an error, not a fresh start; neither is the state of another version."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(value)
