"""Decides when an organization's next request may leave. It never waits and never reads a clock.

Rule: the quota belongs to the organization, people and other tools included. In every quota window others find at
least (1 - share) x limit in all, what they spent already included, and the rest is used, evenly until the reset.

The allowed share of a window is therefore

    min(share x limit, limit - what others spend in it)    rounded down; others have what they want up to their part,
                                                           and beyond it whoever comes first

and what may still leave is the same, seen from inside the window:

    usable = min(share x limit - ours, limit - spent - on the way - lost - margin)

    ours      our requests that this window counted or may count (`quota_window`)
    lost      answers that never came, or came without quota, since the last answer that counts them
    margin    what others may spend before our request arrives, learnt from what they did (`tenants`). It grows with the
              time that nobody sees: the age of the last answer and a round trip

    nothing known      one request on its way (a probe), the rest wait for its answer
    usable             spread over the time to the reset; where others leave less than the share, to a round trip
                       before it, so that the last answers are of use. None waits so long that the growing margin takes
                       it: the last few of a window leave soon after one another's answers, when least is unseen
    the window's turn  requests go on at the even pace for a few seconds without news of the new window, if the one
                       before had room to its end; else one probe at a time. While there is none, and answers may
                       have stopped telling quota, what leaves fits into the share of any minute, together with all
                       on their way and what was lost in the last one (`QuotaWindow.fits_after_the_end`)
    nothing usable     wait for the reset, then probe
    429                wait for the reset plus jitter; counted, because in a steady state it is a defect
    5xx, no answer     exponential backoff with jitter; it never shortens a wait for the reset
    never any quota    only the even pace of the documented default, 240 requests a minute times the share

What no rule could know: a predecessor's requests that were on their way when this process first asked (at most its
concurrency) come on top of the share, and each start costs one probe. Others that jump from little to everything
between two of our answers cost answers 429: the requests that were on their way at that moment.

Invariants: requests leave at least the pace apart, but for those that the growing margin would take; what is on its way
never exceeds what is usable; a wait is at most ``HOLD_MAX_S`` long, whatever an answer says.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random

from collector.core.model import EpochS, MonoS, Quota
from collector.core.quota_window import STALE_S, WINDOW_S, QuotaWindow, SentRequest, Told
from collector.core.tenants import WINDOWS_KEPT, OtherTenants, by_chance

LIMIT_DEFAULT = 240
"""Requests a minute an organization may send unless its contract says otherwise (documented default)."""

HOLD_MAX_S = 900.0
"""No answer may make us wait longer than this without asking again; documented windows are 60 s."""

HOLD_UNTOLD_S = 60.0
"""Wait after a 429 that names no reset, such as the block after 100 answers 401 a minute: one window."""

RESET_JITTER_S = 1.0
"""Many clients wake at the minute's edge when a quota ran dry; ours spread over this long after it."""

TURN_TRUSTED_S = 5.0
"""So long after a window's turn requests go on without news of the new window; answers take well under that."""

ROUND_TRIP_PART = 1 / 8
"""Weight of the newest round trip in the mean of them, as TCP has it (RFC 6298)."""

CLOSING_MAX_S = 5.0
"""The pace ends a round trip before the reset, this much at most: a hanging API must not hurry us."""

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
"""After failures in a row: 1, 2, 4, ... 60 s, each times 0.5 to 1."""

NEVER = MonoS(math.inf)


class RequestBudget:
    """The request budget of one organization.

    Args:
        share: part of the limit that the collector may use, over 0 to 1.
        rng: source of jitter.
    """

    def __init__(self, share: float, rng: Random) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"a quota share is over 0 and at most 1, not {share}")
        self._share = share
        self._rng = rng
        # All mutable state: what the answers told and how long they took, what windows gave in the end, and until when
        # to keep still.
        self._window = QuotaWindow()
        self._others = OtherTenants()
        self._allowed: deque[int] = deque(maxlen=WINDOWS_KEPT)
        self._works = False
        self._mean_trip_s: float | None = None
        self.rejected_total = 0
        self._rejected_in_a_row = 0
        self._jitter_s = 0.0
        self._last_sent = MonoS(-math.inf)
        self._hold_until = MonoS(-math.inf)
        self._backoff_until = MonoS(-math.inf)
        self._failures = 0

    @property
    def limit(self) -> int | None:
        """Requests that a window allows everybody; the documented default when answers do not say; None: not known."""
        return LIMIT_DEFAULT if self._works and self._window.limit is None else self._window.limit

    @property
    def remaining(self) -> int | None:
        """What the answers said is left of the window; None: not known."""
        return None if self._window.limit is None else max(0, self._window.limit - self._window.spent)

    @property
    def reset_at(self) -> MonoS | None:
        """When the window ends at the latest; None: not known."""
        return self._window.reset_at

    @property
    def in_flight(self) -> int:
        """How many requests are on their way."""
        return len(self._window.on_way)

    def rate(self) -> float:
        """Requests a second that the allowed share gave in the last windows on average; over 0."""
        allowed = sum(self._allowed) / len(self._allowed) if self._allowed else self._share_of(self.limit)
        return max(1.0, allowed) / WINDOW_S

    def usable(self, now: MonoS) -> int:
        """How many requests may still leave in this quota window; 0 when nothing is known."""
        window = self._window
        if window.limit is None or window.reset_at is None or now >= window.reset_at:
            return 0
        return max(0, min(self._share_of(window.limit) - window.ours, self._room(now)))

    def ready_at(self, now: MonoS) -> MonoS:
        """When the next request may leave: ``now`` or later; ``NEVER`` means after the next answer, ask again then."""
        quiet_until = max(self._hold_until, self._backoff_until)
        if quiet_until > now:
            return quiet_until
        window = self._window
        if self.in_flight and (self._failures or self.limit is None):
            return NEVER
        if self.limit is None:
            return now
        if window.reset_at is None:  # answers carry no quota
            return self._paced(now, self._even_pace_s())
        if now >= window.reset_at:
            return self._at_the_turn(now, window.reset_at)
        if self.usable(now) > 0:
            return self._spread(now, window.reset_at)
        return MonoS(window.reset_at + (0.0 if self._had_room(now) else self._jitter_s))

    def sent(self, now: MonoS) -> SentRequest:
        """A request leaves now. Each is handed to `answered`, `failed` or `abandoned` once."""
        self._last_sent = now
        return self._window.sent(now, by_chance(self._unseen(now)))

    def answered(self, request: SentRequest, status: int, quota: Quota | None, date: EpochS, now: MonoS) -> None:
        """An answer arrived.

        Args:
            request: what it answers.
            status: HTTP status.
            quota: its three headers; None when they are missing or unreadable.
            date: its ``Date``, or the best estimate of server time, seconds.
            now: when it arrived.
        """
        self._window.came_back(request)
        self._took(now - request.at)
        told = None
        if quota is not None:
            told = self._learn(request, quota, date, now, counted=status < 400)
        else:
            self._window.lost(now)
        if status == 429:
            self.rejected_total += 1
            self._rejected_in_a_row += 1
            self._window.refused |= told is not Told.GONE
            self._hold(told, quota, date, now)
            return
        self._rejected_in_a_row = 0
        if status >= 500:
            self._back_off(now)
        else:
            self._failures = 0
            self._works = True

    def failed(self, request: SentRequest, now: MonoS) -> None:
        """No answer arrived; the request may have been counted all the same."""
        self.abandoned(request, now)
        self._back_off(now)

    def abandoned(self, request: SentRequest, now: MonoS) -> None:
        """A request was given up by us before its answer; it may have been counted all the same."""
        self._window.came_back(request)
        self._window.lost(now)

    def taken_over(self, now: MonoS) -> None:
        """Another process may have used our share of this window: all that was spent in it counts as ours."""
        self._window.all_spent_is_ours(now)

    def _learn(self, request: SentRequest, quota: Quota, date: EpochS, now: MonoS, *, counted: bool) -> Told:
        window, before = self._window, self._window.limit
        surprise, others, ours = window.surprise(request, quota), window.others_in_all, window.ours
        told = window.learn(request, quota, date, now, counted=counted)
        if told is Told.NEXT:
            self._jitter_s = self._rng.uniform(0.0, RESET_JITTER_S)
            if before is not None:
                self._others.window_ended(others)
                self._allowed.append(min(self._share_of(before), max(ours, before - (others or 0))))
        elif told is Told.THIS:
            self._others.surprised(surprise)
        return told

    def _hold(self, told: Told | None, quota: Quota | None, date: EpochS, now: MonoS) -> None:
        """After a 429: keep still until the reset that it names."""
        if told is Told.GONE:  # the quota that it missed is not this window's
            until = now
        elif quota is None or quota.reset_at is None or quota.reset_at <= date - STALE_S:
            until = MonoS(now + HOLD_UNTOLD_S)
        elif quota.reset_at - date > WINDOW_S + STALE_S:
            until = MonoS(now + min(quota.reset_at - date, HOLD_MAX_S))
        else:
            assert self.reset_at is not None, "this very answer told it"
            until = self.reset_at
        if self._rejected_in_a_row > 1:  # whatever it names, it is not enough
            until = max(until, MonoS(now + self._backoff_s(self._rejected_in_a_row)))
        self._hold_until = MonoS(max(self._hold_until, until + self._rng.uniform(0.1, RESET_JITTER_S)))

    def _at_the_turn(self, now: MonoS, reset_at: MonoS) -> MonoS:
        """The window is over, and no answer of the next one is known."""
        window = self._window
        trusted = self._had_room(now) and now < reset_at + TURN_TRUSTED_S
        if not trusted and any(request.at >= reset_at for request in window.on_way):
            return NEVER
        # Answers without quota tell of no window for as long as they go on: ours must fit into any minute, with those
        # that left before the turn and may have been counted after it.
        fits_at = window.fits_after_the_end(max(1, self._share_of(self.limit)))
        if fits_at is None:
            return NEVER
        return MonoS(max(fits_at, self._paced(now, self._even_pace_s())))

    def _spread(self, now: MonoS, reset_at: MonoS) -> MonoS:
        """When the next of the usable requests leaves: evenly, but before the margin takes it.

        At least one is usable: both what the share and what the quota leave are then more than 0.
        """
        window = self._window
        # By what was left at the last answer: what others may have spent since must not put off asking for ever.
        by_share, by_room = self._share_of(window.limit) - window.ours, self._room(min(now, window.told_at))
        closing_s = min(self._round_trip_s(), CLOSING_MAX_S) if by_room < by_share else 0.0
        pace_s = max(0.0, reset_at - closing_s - now) / min(by_share, by_room)
        return max(now, min(self._paced(now, pace_s), reset_at, self._taken_at()))

    def _others_per_s(self) -> float:
        """Requests a second that others spend: in this window, or in the last ones when that is more."""
        return max(self._window.others_per_s, self._others.per_window() / WINDOW_S)

    def _unseen(self, now: MonoS) -> float:
        """What others spend on average until a request of now is counted, since the last one was that tells of them.

        A request is taken to be counted half-way between its departure and its answer.
        """
        if self._window.reset_at is None:
            return 0.0
        return self._others_per_s() * (now - self._window.known_at + self._round_trip_s() / 2)

    def _taken_at(self) -> MonoS:
        """When the growing margin takes the next request, `_unseen` turned round; ``NEVER`` when nobody else spends."""
        window, per_s = self._window, self._others_per_s()
        if per_s <= 0:
            return NEVER
        mean = self._others.mean_within(window.limit or 0, window.others, window.left - 1)
        return MonoS(window.known_at + mean / per_s - self._round_trip_s() / 2)

    def _round_trip_s(self) -> float:
        """How long answers take on average; 0 before the first one."""
        return self._mean_trip_s or 0.0

    def _took(self, round_trip_s: float) -> None:
        before = self._mean_trip_s
        self._mean_trip_s = round_trip_s if before is None else before + (round_trip_s - before) * ROUND_TRIP_PART

    def _room(self, now: MonoS) -> int:
        """How many requests the window still takes, if others do what they lately did."""
        window = self._window
        return window.left - self._others.margin(window.limit or 0, window.others, self._unseen(now))

    def _had_room(self, now: MonoS) -> bool:
        """Whether others left so much of the window that its end tells nothing bad about the next one."""
        return self._room(now) > 0 and not self._window.refused and self._share_of(self.limit) > 1

    def _share_of(self, limit: int | None) -> int:
        """Our share of a limit, whole requests."""
        return math.floor((LIMIT_DEFAULT if limit is None else limit) * self._share + 1e-9)

    def _even_pace_s(self) -> float:
        return WINDOW_S / max(1, self._share_of(self.limit))

    def _paced(self, now: MonoS, pace_s: float) -> MonoS:
        return MonoS(max(now, self._last_sent + pace_s))

    def _back_off(self, now: MonoS) -> None:
        if now >= self._backoff_until:  # what was sent before the first failure says nothing new when it fails too
            self._failures += 1
        self._backoff_until = MonoS(max(self._backoff_until, now + self._backoff_s(self._failures)))

    def _backoff_s(self, in_a_row: int) -> float:
        longest = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(in_a_row - 1, 10))
        return longest * self._rng.uniform(0.5, 1.0)
