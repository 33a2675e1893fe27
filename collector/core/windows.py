"""Chooses windows: for each lane the next range to walk, from what the ledger knows.

Rule: pure functions of a ledger, the settings and the time; `Progress` owns what changes.

Who walks what:
    - hot: from where it settled, or the overlap before now, to now; when that is more than a slice behind, only the
      overlap, so that what is new stays fresh;
    - catch-up: what is not settled and lies before the next hot window, oldest first, in slices;
    - sweep: what was walked already, again, for sessions that were committed later than the overlap reaches;
    - backfill: what an operator asked for, oldest first, in slices (`Progress.asked`).

Windows begin at a round's start, because the API may select on ``roundId``: a session that is younger than a window's
start may belong to a round that is older.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from collector.core.ledger import Ledger
from collector.core.ledger_entries import SweepRun
from collector.core.model import EpochS, Window
from collector.core.ranges import Ranges, as_ranges, clip, difference

ROUND_S = 60
"""Length of a round (inferred from published samples)."""

PIECE_MIN_S = ROUND_S
"""What is walked but not settled yet waits until there is a round of it: walks of seconds would be many."""

SWEEP_AGAIN_S = 60
"""When a sweep finds nothing to walk again, it looks again after a minute."""


class Sweep(NamedTuple):
    """Walks again, ``every_s`` seconds, what is not older than ``reach_s``; None: whatever is not final."""

    reach_s: int | None
    every_s: int


class SweepChoice(NamedTuple):
    """The sweep whose turn it is (its place in the settings), its run, and the next window of it."""

    place: int
    run: SweepRun
    window: Window


def hot_start(ledger: Ledger, now: EpochS, jump_s: int, bound_s: int) -> int:
    """Where the next hot window begins.

    Args:
        ledger: see there; taken `Ledger.on_clock`.
        now: server time.
        jump_s: further behind than this before the overlap, hot leaves the gap to catch-up.
        bound_s: longest window that trouble left.
    """
    today = int(now)
    overlapped = today - ledger.overlap_s
    start = min(ledger.begins if ledger.hot_from is None else ledger.hot_from, overlapped)
    if start < overlapped - jump_s:
        start = overlapped
    start = max(start, today - bound_s) // ROUND_S * ROUND_S
    return min(max(start, _first(ledger)), today)


def catch_up_work(ledger: Ledger, hot_from: int, now: EpochS) -> Ranges:
    """What is left to catch-up: everything before the hot window that was not walked, or not late enough.

    Args:
        ledger: see there.
        hot_from: where the hot window that runs, or the next one, begins.
        now: server time.
    """
    until = min(hot_from, int(now) - ledger.overlap_s)
    unsettled = list(ledger.unsettled(until))
    if unsettled and unsettled[-1][1] == until < hot_from and until - unsettled[-1][0] < PIECE_MIN_S:
        unsettled.pop()
    return difference(as_ranges([*ledger.unwalked(hot_from), *unsettled]), ledger.unreadable_ranges)


def catch_up_due(ledger: Ledger, hot_from: int, now: EpochS) -> EpochS | None:
    """When catch-up has work, server time; None: none as long as nothing happens."""
    if catch_up_work(ledger, hot_from, now):
        return now
    due = [one.retry_at for one in ledger.unreadable]
    young = difference(ledger.unsettled(hot_from), ledger.unreadable_ranges)
    due += [start + ledger.overlap_s + PIECE_MIN_S for start, _ in young[:1]]
    return EpochS(max(float(min(due)), now)) if due else None


def catch_up_window(
    ledger: Ledger, hot_from: int, now: EpochS, slice_s: int, *, from_newest: bool = False
) -> Window | None:
    """The next slice of what is left, oldest first; then what could not be read and is due again.

    ``from_newest``: the newest slice instead, because the oldest could not be read: more of the kind may follow it.
    """
    work = catch_up_work(ledger, hot_from, now)
    if work and from_newest:
        start, end = work[-1]
        begin = max(start, end - slice_s) // ROUND_S * ROUND_S
        return Window(max(begin, ledger.kept_from), end)
    for start, end in work:
        begin = max(start // ROUND_S * ROUND_S, ledger.kept_from)
        return Window(begin, max(begin, min(begin + slice_s, end)))
    for one in ledger.unreadable:
        if one.retry_at <= now:
            begin = max(one.start // ROUND_S * ROUND_S, ledger.kept_from)
            return Window(begin, max(begin, min(begin + slice_s, one.end)))
    return None


def sweep_choice(ledger: Ledger, sweeps: Sequence[Sweep], now: EpochS, slice_s: int) -> SweepChoice | None:
    """The next window of the first sweep that is due and finds something to walk again; shorter sweeps stand first."""
    for place, (sweep, run) in enumerate(zip(sweeps, ledger.sweeps, strict=True)):
        for candidate in _runs(ledger, sweep, run, now):
            readable = difference(ledger.walked, ledger.unreadable_ranges)
            for start, end in clip(readable, candidate.position, candidate.end):
                begin = max(start // ROUND_S * ROUND_S, _first(ledger))
                return SweepChoice(place, candidate, Window(begin, max(begin, min(begin + slice_s, end))))
    return None


def sweep_due(ledger: Ledger, sweeps: Sequence[Sweep], now: EpochS) -> EpochS | None:
    """When a sweep has something to walk, server time; None: there are no sweeps."""
    if sweep_choice(ledger, sweeps, now, ROUND_S) is not None:
        return now
    due = [run.began + sweep.every_s for sweep, run in zip(sweeps, ledger.sweeps, strict=True)]
    later = [time for time in due if time > now]
    return EpochS(float(min(later)) if later else now + SWEEP_AGAIN_S) if due else None


def _runs(ledger: Ledger, sweep: Sweep, run: SweepRun, now: EpochS) -> list[SweepRun]:
    """The run that is under way, and the one that is due: the first of them that has something to walk counts."""
    oldest = max(ledger.final_until, _first(ledger))
    if sweep.reach_s is not None:
        oldest = max(oldest, int(now) - sweep.reach_s)  # what fell out of reach is not waited for
    under_way = run._replace(position=max(run.position, oldest))
    runs = [under_way] if under_way.position < under_way.end else []
    if run.began + sweep.every_s <= now:
        runs.append(SweepRun(int(now), oldest, int(now) - ledger.overlap_s))
    return runs


def _first(ledger: Ledger) -> int:
    """The first second that a window may ask for: ids of what is older are gone, or it was never promised."""
    return max(ledger.begins, ledger.kept_from)
