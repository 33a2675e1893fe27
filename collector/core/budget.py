"""Decides when an organization's next request may leave. It never waits and never reads a clock.

Rule: the quota belongs to the organization, people and other tools included. We spend what the last answers said is
left, minus our requests on their way, minus the share the others should keep, evenly until the reset.

    nothing known      one request in flight (a probe), the rest wait for its answer
    known              usable = remaining - in flight - lost - (1 - share) x limit, spread over the time to the reset;
                       lost: answers that never came, or came without quota, since the last answer that counts them
    nothing usable     wait for the reset, then probe
    429                wait for the reset plus jitter; counted, because in a steady state it is a defect
    5xx, no answer     exponential backoff with jitter; it never shortens a wait for the reset
    never any quota    the documented default of 240 requests a minute times the share

The reset is Reset minus `Date` of the same answer, a duration, so that no local clock takes part. ``Date`` has whole
seconds, so the wait ends up to one second after the reset, never before.

Invariants: requests leave at least the pace apart; in flight never exceeds what is usable; a wait is at most
``HOLD_MAX_S`` long, whatever an answer says.

Sources: quota headers and window, https://developer.cisco.com/docs/thousandeyes/rate-limits (2026-08).
"""

from __future__ import annotations

import math
from random import Random

from collector.core.model import EpochS, MonoS, Quota

LIMIT_DEFAULT = 240
"""Requests a minute an organization may send unless its contract says otherwise (documented default)."""

WINDOW_S = 60.0
"""Length of a quota window (documented: one minute)."""

HOLD_MAX_S = 900.0
"""No answer may make us wait longer than this without asking again; documented windows are 60 s."""

HOLD_UNTOLD_S = 60.0
"""Wait after a 429 that names no reset, such as the block after 100 answers 401 a minute: one window."""

RESET_JITTER_S = 1.0
"""Many clients wake at the minute's edge; ours spread over this long after it."""

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
"""After failures in a row: 1, 2, 4, ... 60 s, each times 0.5 to 1."""

STALE_S = 2.0
"""An answer whose window ended this much before the known one's is late news, not a new window."""

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
        # All mutable state: what the answers told, what is on its way, and until when to keep still.
        self.limit: int | None = None
        self.remaining: int | None = None
        self.reset_at: MonoS | None = None
        self.in_flight = 0
        self.rejected_total = 0
        self._window_end: EpochS | None = None
        self._newest_date = EpochS(-math.inf)
        self._jitter_s = 0.0
        self._lost = 0
        self._lost_before_sent = 0
        self._last_sent = MonoS(-math.inf)
        self._hold_until = MonoS(-math.inf)
        self._backoff_until = MonoS(-math.inf)
        self._failures = 0

    def usable(self, now: MonoS) -> int:
        """How many requests may still leave in this quota window; 0 when nothing is known."""
        if self.limit is None or self.remaining is None or self.reset_at is None or now >= self.reset_at:
            return 0
        others = math.ceil(self.limit * (1 - self._share) - 1e-9)
        return max(0, self.remaining - self.in_flight - self._lost - others)

    def ready_at(self, now: MonoS) -> MonoS:
        """When the next request may leave: ``now`` or later; ``NEVER`` means after the next answer, ask again then."""
        quiet_until = max(self._hold_until, self._backoff_until)
        if quiet_until > now:
            return quiet_until
        if self.in_flight and (self._failures or self.limit is None):
            return NEVER
        if self.limit is None:
            return now
        if self.reset_at is None:  # answers carry no quota
            return self._paced(now, WINDOW_S / (LIMIT_DEFAULT * self._share))
        if now >= self.reset_at:
            return NEVER if self.in_flight else self._paced(now, WINDOW_S / max(1.0, self.limit * self._share))
        usable = self.usable(now)
        if usable <= 0:
            return MonoS(self.reset_at + self._jitter_s)
        return MonoS(min(self._paced(now, (self.reset_at - now) / usable), self.reset_at))

    def sent(self, now: MonoS) -> None:
        """A request leaves now. Each is followed by exactly one `answered`, `failed` or `abandoned`."""
        if self.in_flight == 0:  # whatever is answered from here on was counted after these
            self._lost_before_sent = self._lost
        self.in_flight += 1
        self._last_sent = now

    def answered(self, status: int, quota: Quota | None, date: EpochS, now: MonoS) -> None:
        """An answer arrived.

        Args:
            status: HTTP status.
            quota: its three headers; None when they are missing or unreadable.
            date: its ``Date``, or the best estimate of server time, seconds.
            now: when it arrived.
        """
        self.in_flight -= 1
        if quota is not None:
            self._learn(quota, date, now)
        else:
            self._lost += 1
        if status == 429:
            self.rejected_total += 1
            self._hold(quota, now)
        elif status >= 500:
            self._back_off(now)
        else:
            self._failures = 0
            if self.limit is None:
                self.limit = LIMIT_DEFAULT

    def failed(self, now: MonoS) -> None:
        """No answer arrived; the request may have been counted all the same."""
        self.in_flight -= 1
        self._lost += 1
        self._back_off(now)

    def abandoned(self) -> None:
        """A request was given up by us before its answer; it may have been counted all the same."""
        self.in_flight -= 1
        self._lost += 1

    def _learn(self, quota: Quota, date: EpochS, now: MonoS) -> None:
        window_end = quota.reset_at if quota.reset_at is not None else EpochS(date + WINDOW_S)
        known = self._window_end
        if known is not None and window_end < known - STALE_S and date <= self._newest_date:
            return  # an answer of the window before, overtaken by one of this window
        reset_at = MonoS(now + min(max(0.0, window_end - date), HOLD_MAX_S))
        if known is not None and abs(window_end - known) <= STALE_S and self.remaining is not None:
            # The same window: answers may overtake each other, and each `Date` is early by up to a second.
            self.remaining = min(self.remaining, quota.remaining)
            self.reset_at = reset_at if self.reset_at is None or now >= self.reset_at else min(self.reset_at, reset_at)
        else:
            self.remaining, self.reset_at = quota.remaining, reset_at
            self._jitter_s = self._rng.uniform(0.0, RESET_JITTER_S)
        self.limit = quota.limit
        self._window_end = window_end
        self._newest_date = max(self._newest_date, date)
        self._lost -= self._lost_before_sent
        self._lost_before_sent = 0

    def _hold(self, quota: Quota | None, now: MonoS) -> None:
        told = quota is not None and self.reset_at is not None and self.reset_at > now
        until = self.reset_at if told and self.reset_at is not None else MonoS(now + HOLD_UNTOLD_S)
        self._hold_until = MonoS(max(self._hold_until, until + self._rng.uniform(0.1, RESET_JITTER_S)))

    def _paced(self, now: MonoS, pace_s: float) -> MonoS:
        return MonoS(max(now, self._last_sent + pace_s))

    def _back_off(self, now: MonoS) -> None:
        if now >= self._backoff_until:  # what was sent before the first failure says nothing new when it fails too
            self._failures += 1
        longest = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 10))
        self._backoff_until = MonoS(max(self._backoff_until, now + longest * self._rng.uniform(0.5, 1.0)))
