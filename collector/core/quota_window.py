"""What is known about the quota window that runs: who spent how much of it, and when it ends.

Rule: an answer speaks for the window that its Reset names, and for the moment at which the server counted its request;
it may arrive late, in any order, or not at all. So every count is the one that can only be too high.

    spent    by everybody: the most that an answer of this window told
    ours     requests that this window's answers counted, plus all on their way, plus all whose answer told no quota.
             What was spent before our first answer counts as ours: a process that just started, or took the
             organization over from another worker, cannot know whose it was
    end      Reset minus `Date` of the same answer is a duration, so no local clock takes part. ``Date`` is cut to whole
             seconds, Reset may be rounded up to them, and answers travel, so each says a time up to that much late; the
             earliest one is taken. Where Reset is not told, the window may end at any time

Invariants: what others spent is never overestimated; the end is never believed more than a window away.

Sources: quota headers and window, https://developer.cisco.com/docs/thousandeyes/rate-limits (2026-08).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from collector.core.model import EpochS, MonoS, Quota

WINDOW_S = 60.0
"""Length of a quota window (documented: one minute)."""

STALE_S = 2.0
"""Resets that differ by no more than this are one: whole seconds, rounded here and cut there."""

WATCHED_S = 30.0
"""What others spent in less than half of a window says nothing about the whole."""

RATE_OVER_S = 10.0
"""A rate of spending is taken over ten seconds at least, so that a first burst is not one."""

ROUNDED_S = 2.0
"""So much longer than it is a window's rest may seem: a second that `Date` is cut by, and one that Reset is rounded up
by where a window begins in mid-second."""

LOST_FOR_S = 2 * WINDOW_S
"""A window may have begun up to one before its first answer, and lasts one: what was lost earlier is no part of it."""

PAST = MonoS(-math.inf)


class Told(Enum):
    """Which window an answer speaks for."""

    THIS = "the window that is known"
    NEXT = "one that just began"
    GONE = "one that is over"


@dataclass(slots=True, eq=False)
class SentRequest:
    """A request on its way; each is handed back once, with what came of it.

    Args:
        at: when it left.
        window: how many windows were known to have begun then.
        expected: what everybody may have spent once it is counted, if others go on as before; None: not known.
        overtaken: how many requests that left later may have been counted earlier.
    """

    at: MonoS
    window: int
    expected: int | None
    overtaken: int = 0


class QuotaWindow:
    """The counts of one organization's quota window, and what is on its way."""

    def __init__(self) -> None:
        # All mutable state: what this window's answers told; what is on its way or came back without quota; when each
        # was told; bounds on when the window began and ends; and what is remembered of the one before.
        self.limit: int | None = None
        self.spent = 0
        self.reset_at: MonoS | None = None
        self.refused = False
        self.number = 0
        self.on_way: list[SentRequest] = []
        self._end = EpochS(-math.inf)
        self._end_told = False
        self._cut_s = 0.0
        self._ours = 0
        self._all_ours_since: MonoS | None = PAST
        self._lost: list[MonoS] = []  # when each came back, oldest first
        self.told_at = PAST  # when an answer last told of it
        self.known_at = PAST  # about when the request was counted whose answer told ``spent``
        self._spent_told_at = PAST  # when that answer arrived
        self._counted_until = PAST  # when the newest request left of which an answer told
        self._began_after = PAST  # the window began no earlier
        self._ends_after = PAST  # and ends no earlier; ``reset_at`` is the other bound

    @property
    def ours(self) -> int:
        """How many requests of ours this window has counted at most."""
        return self._ours + len(self.on_way) + self._lost_since(self._began_after)

    def fits_after_the_end(self, share: int) -> MonoS | None:
        """From when on one more is within ``share``, >= 1, of a window that may have begun; None: not before an answer.

        No answer of it is known, so it may have counted all on their way, and each lost one of the last minute.
        """
        since = max(self._ends_after, self._counted_until)
        lost = [at for at in self._lost if at >= since]
        too_many = len(self.on_way) + len(lost) + 1 - share
        if too_many <= 0:
            return PAST
        return MonoS(lost[too_many - 1] + WINDOW_S) if too_many <= len(lost) else None

    @property
    def others(self) -> int:
        """How many requests of others this window has counted at least."""
        return max(0, self.spent - self.ours)

    @property
    def others_in_all(self) -> int | None:
        """What others spent in the whole window, if they went on as until the last answer; None: not known."""
        if self.reset_at is None:
            return None
        watched_s = min(WINDOW_S, self.told_at - (self.reset_at - WINDOW_S))
        return math.ceil(self.others * WINDOW_S / watched_s) if watched_s >= WATCHED_S else None

    @property
    def left(self) -> int:
        """How many requests this window still takes, if others spend nothing; may be negative."""
        return (self.limit or 0) - self._expected()

    def all_spent_is_ours(self, now: MonoS) -> None:
        """From now on somebody else may have spent our share: what the next answer tells counts as ours."""
        self._all_ours_since = now

    @property
    def others_per_s(self) -> float:
        """Requests a second that others spent in this window until the last answer."""
        if self.reset_at is None:
            return 0.0
        return self.others / max(RATE_OVER_S, self.told_at - (self.reset_at - WINDOW_S))

    def sent(self, now: MonoS, by_chance: int) -> SentRequest:
        """A request leaves; others may spend ``by_chance`` requests before it is counted."""
        expected = None
        if self.reset_at is not None and now < self.reset_at:
            expected = self._expected() + 1 + by_chance
        request = SentRequest(now, self.number, expected)
        self.on_way.append(request)
        return request

    def came_back(self, request: SentRequest) -> None:
        """A request is no longer on its way."""
        index = self.on_way.index(request)
        for earlier in self.on_way[:index]:
            earlier.overtaken += 1
        request.overtaken += (len(self.on_way) - index - 1) // 2  # on their way, or on their way back
        del self.on_way[index]

    def lost(self, now: MonoS) -> None:
        """A request came back without quota, or not at all; it may have been counted."""
        self._lost = [at for at in self._lost if at > now - LOST_FOR_S]
        self._lost.append(now)

    def surprise(self, request: SentRequest, quota: Quota) -> int:
        """How many requests of others an answer of this window shows beyond what its request allowed for."""
        if request.expected is None or request.window != self.number:
            return 0
        return _spent(quota) - request.expected - request.overtaken

    def learn(self, request: SentRequest, quota: Quota, date: EpochS, now: MonoS, *, counted: bool) -> Told:
        """Take an answer's quota.

        Args:
            request: what it answers.
            quota: its headers.
            date: its ``Date``, server time.
            now: when it arrived.
            counted: whether the server surely counted the request.
        """
        spent, reset = _spent(quota), quota.reset_at
        if reset is not None and reset <= date - STALE_S:
            reset = None  # a window that is over says nothing about the one that runs
        fell = self._fell(request, spent, counted)
        place = self._place(request, reset, date, fell)
        if place is Told.GONE:
            self._ours += quota.reset_at is None  # it did not say which window counted it
            return place
        if place is Told.NEXT:
            self._begin(request, spent, now, seen=reset is not None or fell)
        else:
            self._ours += 1
        if self._all_ours_since is not None and request.at >= self._all_ours_since:
            self._ours, self._all_ours_since = max(self._ours, spent), None
        if spent >= self.spent:
            self.spent, self._spent_told_at = spent, now
            self.known_at = MonoS((request.at + now) / 2)
        self.limit = quota.limit
        self._time(place, request, reset, date, now)
        self.told_at = now
        self._counted_until = max(self._counted_until, request.at)
        return place

    def _place(self, request: SentRequest, reset: EpochS | None, date: EpochS, fell: bool) -> Told:
        """Which window an answer speaks for."""
        if self.limit is None:
            return Told.NEXT
        left_before = request.window < self.number
        if reset is None:
            if left_before:
                return Told.GONE
            return Told.NEXT if fell or date >= self._end else Told.THIS
        if abs(reset - self._end) <= STALE_S:
            return Told.THIS
        if reset < self._end and left_before:
            return Told.GONE
        ended = reset > self._end and date >= self._end - STALE_S
        return Told.NEXT if ended or fell else Told.THIS  # else the Reset jumped

    def _fell(self, request: SentRequest, spent: int, counted: bool) -> bool:
        """Who left after a count was known can only see a higher one, unless a new window began."""
        return request.at > self._spent_told_at and (spent < self.spent or (counted and spent == self.spent))

    def _begin(self, request: SentRequest, spent: int, now: MonoS, *, seen: bool) -> None:
        """A new window, whose first answer is at hand.

        ``seen``: the answer itself shows the beginning (a Reset, or a count that fell). Else the clock alone says so:
        it may have begun up to a window before, and ours of the last minute stay counted.
        """
        if seen:
            self._began_after = max(self._counted_until, self._ends_after if self._ends_after <= now else PAST)
            self._ours = 1
        else:
            before = self._ours if self.told_at > request.at - WINDOW_S else 0
            self._began_after = max(self._began_after, MonoS(request.at - WINDOW_S))
            self._ours = max(1, min(before + 1, spent))
        self.number += 1
        self.spent, self.refused = 0, False
        self.reset_at, self._ends_after = None, PAST

    def _time(self, place: Told, request: SentRequest, reset: EpochS | None, date: EpochS, now: MonoS) -> None:
        """When the window ends: between ``_ends_after`` and ``reset_at``."""
        moved = reset is not None and abs(reset - self._end) > STALE_S
        if reset is not None:
            self._end, self._end_told = reset, True
        elif place is Told.NEXT:
            # Not told: one minute from the first request at the most, whose `Date` may be cut by a second.
            self._end, self._end_told, moved = EpochS(date + WINDOW_S + 1.0), False, True
        # Whole minutes are documented: a Reset further away is asked about again after one.
        duration_s = min(max(0.0, self._end - date), WINDOW_S + STALE_S)
        if place is Told.THIS and date >= self._end:
            self._cut_s = 1.0  # it runs on after its Reset: the server cuts fractions of a second
        latest = MonoS(now + duration_s + self._cut_s)
        earliest = MonoS(request.at + duration_s - ROUNDED_S) if self._end_told else PAST
        known = self.reset_at
        if known is None or moved or now >= known or earliest > known or latest < self._ends_after:
            self.reset_at, self._ends_after = latest, earliest
        else:
            self.reset_at, self._ends_after = min(known, latest), max(self._ends_after, earliest)

    def _expected(self) -> int:
        """What everybody has spent once all that is on its way is counted."""
        return self.spent + len(self.on_way) + self._lost_since(self._counted_until)

    def _lost_since(self, at: MonoS) -> int:
        return sum(lost >= at for lost in self._lost)


def _spent(quota: Quota) -> int:
    return max(0, quota.limit - quota.remaining)
