"""What is known of one account group's time: which ranges were walked to their end, which were not, and why.

Rule: a value. Every change returns a new ledger; its durable form (`ledger_record`) is some hundred bytes as a rule and
never more than a few kilobytes, however long the history.

Times are whole seconds of server time; ranges are half-open. Three sets tell everything:
    - ``walked``: walked to the end at least once;
    - ``settled``: walked at least once when it was older than the overlap then in force, so that sessions committed
      that late were found too. What is not settled is walked again by hot or catch-up;
    - ``final``: walked at least once, by a walk that came to its end, when it was older than the late horizon. What is
      not final is walked again by sweeps, and its ids are kept.
Nobody walks again what was given up, nor what is older than the ids that are kept: what was walked of it before counts
as settled and final. And without a sweep that has no bound, `Progress` takes what is settled for final once it is older
than the late horizon.

Invariants: final is part of settled, settled of walked; nothing is walked that lies ahead of the clock; from ``floor``
on every second is walked, lost, or a gap that is still to be walked; lost is what never will be walked by itself, and
told as lost is also what lies between two lost ranges that are told as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

from collector.core.ledger_entries import Cause, Gap, LastWalk, Lost, Parked, SweepRun, Trouble, Unreadable, Why
from collector.core.model import EpochS, Lane, Window
from collector.core.ranges import Range, Ranges, as_ranges, clip, complement, difference, intersection, union

RANGES_MAX = 48
"""Ranges that are kept of each set: as many as lost and unreadable ones part, and half as many again. Of more, those go
first that wait for the next try of what surrounds them, then the shortest: they are walked again."""

LOST_MAX = 16
"""Lost ranges that are told apart; of more, the oldest two are told as one, as soon as all between them is final."""

UNREADABLE_MAX = 16
"""Ranges that could not be read to their end and are told apart; when there are more, what lies between two of them
waits for their next try too."""

CAUSES_MAX = 8
"""Gaps whose reason is kept; without it a gap counts as missed."""

RETRIES_S = (60, 300, 900, 3_600, 14_400, 43_200)
"""An unreadable round is tried again after 1, 5 and 15 min, 1, 4 and 12 h, then given up: its ids need not be kept for
ever. 17 hours outlast a bad day of an API."""


Entry = TypeVar("Entry", Lost, Unreadable, Cause)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one account group.

    Args:
        begins: where coverage begins; nothing before it was ever promised.
        floor: what lies before is not told apart any more, because the API does not keep it; >= begins.
        overlap_s: how far hot walks reach back behind their last end, as last measured; seconds.
        walked: see the module.
        settled: see the module.
        final: see the module.
        hot_from: where the next hot walk begins, unless the overlap reaches back further; None: none was finished.
        kept_from: ids of sessions older than this were dropped.
        lost: ranges that were given up, oldest first.
        unreadable: rounds that are tried again rarely, oldest first.
        causes: why ranges were passed over, oldest first.
        parked: set while the API refuses the account group.
        sweeps: the last run of each sweep, in the order of the settings.
        last: the last finished walk of each lane.
    """

    begins: int
    floor: int
    overlap_s: int
    walked: Ranges = ()
    settled: Ranges = ()
    final: Ranges = ()
    hot_from: int | None = None
    kept_from: int = 0
    lost: tuple[Lost, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    causes: tuple[Cause, ...] = ()
    parked: Parked | None = None
    sweeps: tuple[SweepRun, ...] = ()
    last: tuple[LastWalk, ...] = ()

    # --- what it says ---

    @property
    def lost_ranges(self) -> Ranges:
        """The lost ranges as a set."""
        return as_ranges([(one.start, one.end) for one in self.lost])

    @property
    def unreadable_ranges(self) -> Ranges:
        """The unreadable ranges as a set."""
        return as_ranges([(one.start, one.end) for one in self.unreadable])

    @property
    def newest(self) -> int:
        """Up to where anything was walked, whatever lies before."""
        return self.walked[-1][1] if self.walked else self.floor

    @property
    def covered_until(self) -> int:
        """The watermark: everything from where coverage begins up to here was walked, or is recorded as lost."""
        return self._first_missing(self.walked)

    @property
    def settled_until(self) -> int:
        """Everything up to here was walked after the overlap, or is recorded as lost."""
        return self._first_missing(self.settled)

    @property
    def final_until(self) -> int:
        """Everything up to here was walked after the late horizon, or is recorded as lost."""
        return self._first_missing(self.final)

    def unwalked(self, until: int) -> Ranges:
        """What was not walked before ``until`` and is not lost."""
        return difference(complement(self.walked, self.floor, until), self.lost_ranges)

    def unsettled(self, until: int) -> Ranges:
        """What was not settled before ``until`` and is not lost."""
        return difference(complement(self.settled, self.floor, until), self.lost_ranges)

    def _not_final(self, until: int) -> Ranges:
        """What is not final before ``until`` and is not lost."""
        return difference(complement(self.final, self.floor, until), self.lost_ranges)

    def gaps(self, now: EpochS) -> tuple[Gap, ...]:
        """Everything that is not covered up to ``now``, server time, oldest first: lost, and still to be walked."""
        reasons = [
            *(Gap(one.start, one.end, Why.UNREADABLE, one.detail) for one in self.unreadable),
            *(Gap(one.start, one.end, one.why) for one in self.causes),
            self._since_the_last_walk(now),
            Gap(self.floor, int(now), Why.MISSED),
        ]
        found = [Gap(one.start, one.end, one.why, one.detail) for one in self.lost]
        left = self.unwalked(int(now))
        for start, end, why, detail in reasons:
            found.extend(Gap(a, b, why, detail) for a, b in clip(left, start, end))
            left = difference(left, ((start, end),)) if start < end else left
        return tuple(sorted(found))

    def _since_the_last_walk(self, now: EpochS) -> Gap:
        if self.parked is not None:
            return Gap(self.newest, int(now), Why.PARKED, self.parked.detail)
        return Gap(self.newest, int(now), Why.NOT_YET)

    def _first_missing(self, ranges: Ranges) -> int:
        newest = max([self.floor, *(end for _, end in (*ranges, *self.lost_ranges))])
        return difference(complement(ranges, self.floor, newest + 1), self.lost_ranges)[0][0]

    # --- how it changes ---

    def on_clock(self, now: EpochS, overlap_s: int, horizon_s: int) -> Ledger:
        """As it is at ``now``: what a clock that ran ahead said is taken back; nothing young is settled or final.

        But for what is older than the ids that are kept: after a longer overlap or horizon was chosen it may be young
        again, and yet no window can ask for it. Were it not final, sweeps would begin there, and ids be kept, for ever.
        """
        today, young = int(now), int(now) - overlap_s
        walked = _before(self.walked, today)
        forgotten = clip(walked, self.floor, self.kept_from)
        return replace(
            self,
            overlap_s=overlap_s,
            hot_from=None if self.hot_from is None else min(self.hot_from, young),
            walked=walked,
            settled=as_ranges([*_before(self.settled, young), *forgotten]),
            final=as_ranges([*_before(self.final, today - horizon_s), *forgotten]),
            sweeps=tuple(
                SweepRun(min(run.began, today), min(run.position, young), min(run.end, young)) for run in self.sweeps
            ),
        )

    def walk(
        self, lane: Lane, window: Window, started_at: EpochS, until: int, *, horizon_s: int, finished: bool
    ) -> Ledger:
        """With ``window`` walked up to ``until`` by a walk that began at ``started_at``; server time."""
        if until < window.start:
            return self  # a `Date` from before the window proves nothing
        settled_end = min(until, int(started_at) - self.overlap_s)
        walked = union(self.walked, window.start, until)
        if lane is Lane.BACKFILL and len(self.walked) < len(walked) > RANGES_MAX // 2:
            return self  # no room to say so: it stays told as lost, and leaves room for what is walked by itself
        unreadable = tuple(_without(self.unreadable, as_ranges([(window.start, until)])))
        waiting = as_ranges([(one.start, one.end) for one in unreadable])
        walked = _bounded(walked, waiting, self.kept_from)
        settled = _bounded(union(self.settled, window.start, settled_end), waiting, self.kept_from)
        settled = intersection(settled, walked)
        final = self.final
        if finished:  # never sooner: nobody looks again, so the order of the rows is not relied upon
            final = union(final, window.start, min(until, int(started_at) - horizon_s))
            final = _bounded(final, waiting, self.kept_from)
        hot_from, parked, last = self.hot_from, self.parked, self.last
        if lane is Lane.HOT:
            hot_from = max(window.start, settled_end, window.start if hot_from is None else hot_from)
            parked = None
        if finished:
            done = LastWalk(lane, window.start, until, int(started_at))
            last = (*(one for one in last if one.lane is not lane), done)
        return replace(
            self,
            walked=walked,
            settled=settled,
            final=intersection(final, settled),
            hot_from=hot_from,
            parked=parked,
            lost=tuple(_without(self.lost, walked)),
            unreadable=unreadable,
            causes=tuple(_without(self.causes, walked))[-CAUSES_MAX:],
            last=last,
        )

    def passed_over(self, start: int, end: int, why: Why) -> Ledger:
        """With the reason why the gaps between ``start`` and ``end`` were not walked in their turn."""
        new = [Cause(a, b, why) for a, b in self.unwalked(end) if a >= start]
        return replace(self, causes=tuple(sorted([*self.causes, *new])[-CAUSES_MAX:])) if new else self

    def refused(self, detail: str, now: EpochS) -> Ledger:
        """With the account group parked since ``now``, or since it was parked before."""
        return replace(self, parked=Parked(self.parked.since if self.parked else int(now), detail))

    def not_readable(self, window: Window, trouble: Trouble, now: EpochS) -> Ledger:
        """With a window that cannot be made smaller and was not read to its end: tried again later, at last given up.

        It is lost when it was tried as often as `RETRIES_S` says, unless there is no room to say so.
        """
        start, end = window.start, window.end
        known = [one.tries for one in self.unreadable if one.start < end and one.end > start]
        others = tuple(_without(self.unreadable, as_ranges([(start, end)])))
        tries = 1 + max(known, default=0)
        if tries > len(RETRIES_S):
            lost = tuple(Lost(a, b, Why.GIVEN_UP, trouble, int(now)) for a, b in clip(self.unwalked(end), start, end))
            # What was walked before, only not late enough, is no gap: nothing to tell.
            settled = intersection(union(self.settled, start, end), self.walked)
            final = intersection(union(self.final, start, end), self.walked)
            told = replace(self, unreadable=others, settled=settled, final=final)._losing(lost)
            if len(told.lost) <= LOST_MAX:
                return told
        retry_at = int(now) + RETRIES_S[min(tries, len(RETRIES_S)) - 1]
        entries = [*others, Unreadable(start, end, trouble, tries, retry_at)]
        return replace(self, unreadable=_told_together(entries, int(now)))

    def forget(self, edge: int, now: EpochS) -> Ledger:
        """Without what is older than ``edge``, where the API's retention ends: gaps there are lost."""
        if edge <= self.floor:
            return self
        gone = tuple(Lost(a, b, Why.RETENTION, "", int(now)) for a, b in self.unwalked(edge))
        moved = replace(
            self,
            floor=edge,
            walked=_from(self.walked, edge),
            settled=_from(self.settled, edge),
            final=_from(self.final, edge),
            unreadable=tuple(one._replace(start=max(one.start, edge)) for one in self.unreadable if one.end > edge),
            causes=tuple(one._replace(start=max(one.start, edge)) for one in self.causes if one.end > edge),
        )
        return moved._losing(gone)

    def _losing(self, new: tuple[Lost, ...]) -> Ledger:
        """With more lost ranges, told as one where they touch or are too many; more than `LOST_MAX`: there is no room.

        What lies between two that are told as one was walked, for good, and is not told apart from them any more: else
        every one that is lost parts the other sets for as long as the API keeps sessions.
        """
        result: list[Lost] = []
        for one in sorted([*self.lost, *new]):
            if result and result[-1].end >= one.start and result[-1].why is one.why:
                one = _joined(result.pop(), one)
            result.append(one)
        while len(result) > LOST_MAX:
            # What lies between two that are told as one must not be a gap that is still to be walked.
            for index in range(len(result) - 1):
                between = clip(self._not_final(result[index + 1].start), result[index].end, result[index + 1].start)
                if not difference(between, as_ranges([(one.start, one.end) for one in result])):
                    result[index : index + 2] = [_joined(result[index], result[index + 1])]
                    break
            else:
                break
        told = as_ranges([(one.start, one.end) for one in result])
        return replace(
            self,
            lost=tuple(result),
            walked=difference(self.walked, told),
            settled=difference(self.settled, told),
            final=difference(self.final, told),
        )


def _joined(first: Lost, second: Lost) -> Lost:
    return Lost(first.start, max(first.end, second.end), second.why, second.detail, max(first.at, second.at))


def _told_together(entries: list[Unreadable], now: int) -> tuple[Unreadable, ...]:
    """Unreadable ranges, oldest first: one where they touch and were tried as often, and not too many."""
    result: list[Unreadable] = []
    for one in sorted(entries):
        if result and (result[-1].end, result[-1].detail, result[-1].tries) == (one.start, one.detail, one.tries):
            one = _both(result.pop(), one, now)
        result.append(one)
    while len(result) > UNREADABLE_MAX:  # neighbours that were tried as often, and are tried again at about one time
        alike = [(abs(a.tries - b.tries), abs(a.retry_at - b.retry_at)) for a, b in pairwise(result)]
        first = alike.index(min(alike))
        result[first : first + 2] = [_both(result[first], result[first + 1], now)]
    return tuple(result)


def _both(first: Unreadable, second: Unreadable, now: int) -> Unreadable:
    """Two as one. It is tried with the sooner of them, else one after the other would put it off for ever; but what was
    tried just now waits, and who is due as well with it."""
    times = (first.retry_at, second.retry_at)
    retry_at = min(times) if min(times) > now else max(times)
    return Unreadable(first.start, second.end, second.detail, min(first.tries, second.tries), retry_at)


def _before(ranges: Ranges, end: int) -> Ranges:
    return clip(ranges, ranges[0][0], end) if ranges and ranges[-1][1] > end else ranges


def _from(ranges: Ranges, start: int) -> Ranges:
    return clip(ranges, start, ranges[-1][1]) if ranges and ranges[0][0] < start else ranges


def _bounded(ranges: Ranges, waiting: Ranges, kept_from: int) -> Ranges:
    """At most `RANGES_MAX`: some in the middle are dropped, to be walked again; none whose ids are gone."""
    while len(ranges) > RANGES_MAX:
        middle = [one for one in ranges[1:-1] if one[0] >= kept_from] or ranges[1:-1]
        chosen = [one for one in middle if not difference((one,), waiting)] or middle
        shortest = min(chosen, key=lambda one: one[1] - one[0])
        ranges = tuple(one for one in ranges if one is not shortest)
    return ranges


def _without(entries: Iterable[Entry], walked: Ranges) -> Iterable[Entry]:
    """Entries without what was walked; one that is walked in its middle becomes two."""
    for entry in entries:
        whole: Range = (entry.start, entry.end)
        left = complement(walked, *whole)
        if left == (whole,):
            yield entry
        else:
            yield from (entry._replace(start=a, end=b) for a, b in left)
