"""What a ledger is made of besides ranges: gaps and why they are there, and what is to be done about them.

Rule: plain values; times are whole seconds of server time, ranges half-open.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from collector.core.model import Lane


class Why(StrEnum):
    """Why a range is not covered; a closed set."""

    NOT_YET = "not_yet"  # behind the last walk: the next one is to come
    BEHIND = "behind"  # newer sessions go first; catch-up is on its way
    MISSED = "missed"  # no walk reached it: the collector was down, or the API did not answer
    PARKED = "parked"  # the API refused the account group
    UNREADABLE = "unreadable"  # could not be read to its end; tried again rarely
    GIVEN_UP = "given_up"  # lost: unreadable each time
    RETENTION = "retention"  # lost: older than what the API keeps


class Trouble(StrEnum):
    """Why a walk cannot be finished as it is; a smaller window may help."""

    NO_END = "no end"
    CIRCLE = "next links in a circle"
    CURSOR_LOST = "refused on a later page"
    REFUSED = "refused"
    MALFORMED = "not readable"


class Gap(NamedTuple):
    """A range that is not covered, why, and in more words where there are any."""

    start: int
    end: int
    why: Why
    detail: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether nothing will be done about it without an operator."""
        return self.why in (Why.GIVEN_UP, Why.RETENTION)


class Lost(NamedTuple):
    """A range that was given up at the time ``at``, seconds."""

    start: int
    end: int
    why: Why
    detail: str
    at: int


class Unreadable(NamedTuple):
    """A range that could not be read to its end ``tries`` times; tried again from ``retry_at`` on, seconds."""

    start: int
    end: int
    detail: str
    tries: int
    retry_at: int


class Cause(NamedTuple):
    """Why a range was passed over."""

    start: int
    end: int
    why: Why


class Parked(NamedTuple):
    """Since when the API refuses the account group, seconds, and how."""

    since: int
    detail: str


class SweepRun(NamedTuple):
    """The last run of a sweep: when it began, how far it came, where it ends; seconds."""

    began: int
    position: int
    end: int


class LastWalk(NamedTuple):
    """The last finished walk of a lane: its range, and when it began; seconds."""

    lane: Lane
    start: int
    end: int
    at: int
