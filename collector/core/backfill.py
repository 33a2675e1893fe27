"""A range that an operator asks for: the request, the job that it becomes, and what stands in the state of both.

Rule: values. Every change returns a new job; what is durable of it (`BackfillJob.to_bytes`) is a few hundred bytes.

Invariants: a job that is over never changes again; positions only go forward, so a page counts once.

    waiting ──► running ──► done
       │           ├──────► cancelled
       └───────────┴──────► failed, with the reason
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import orjson

from collector.core.ranges import Range

FORM_VERSION = 1
"""Of requests and of jobs."""

KIND = "backfill"
CANCEL_KIND = "backfill-cancel"
"""First parts of the keys of a request (and of its job in the state), and of the wish to cancel it."""

TIME_MAX_S = 253_402_300_799
"""The last second of the year 9999: whatever is later has no date in RFC 3339."""

SKIPPED_MAX = 16
"""Ranges that could not be read and are told apart; of more only the number is known."""


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


OVER = (JobState.DONE, JobState.CANCELLED, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What an operator asks for.

    Args:
        job: id of the job, unique.
        organization: its name.
        start: first second of the range, server time.
        end: last one, > start.
        account_groups: aids; None: all that are collected when it is taken.
        quota_share: part of the organization's pages while there are new sessions to fetch, over 0, below 1.
        requested_at: when, seconds since 1970.
    """

    job: str
    organization: str
    start: int
    end: int
    account_groups: tuple[str, ...] | None
    quota_share: float
    requested_at: float

    @property
    def key(self) -> str:
        """Its key in the shards topic, and the key of its job in the state."""
        return key_of(KIND, self.organization, self.job)

    def to_bytes(self) -> bytes:
        """As it stands in the topic."""
        return orjson.dumps({"version": FORM_VERSION, **self._fields()})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def parse(cls, value: bytes) -> BackfillRequest:
        """The other way round.

        Raises:
            ValueError: it is none that this version can read.
        """
        try:
            return cls._of(_read(value))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no backfill request: {value[:100]!r}") from error

    @classmethod
    def _of(cls, stored: dict[str, Any]) -> BackfillRequest:
        groups = stored["account_groups"]
        request = cls(
            job=str(stored["job"]),
            organization=str(stored["organization"]),
            start=_second(stored["start"]),
            end=_second(stored["end"]),
            account_groups=None if groups is None else tuple(str(aid) for aid in groups),
            quota_share=float(stored["quota_share"]),
            requested_at=_time(stored["requested_at"]),
        )
        if not (request.job and request.start < request.end and 0.0 < request.quota_share < 1.0):
            raise ValueError(f"no backfill request: {request}")
        return request


class Position(NamedTuple):
    """Up to where an account group was walked, seconds."""

    aid: str
    until: int


class Skipped(NamedTuple):
    """A range of an account group that could not be read to its end."""

    aid: str
    start: int
    end: int


class Counts(NamedTuple):
    """What a job's durable pages held: events, rows that led to no record, dead letters."""

    pages: int = 0
    events: int = 0
    seen: int = 0
    dead_letters: int = 0


NO_COUNTS = Counts()


@dataclass(frozen=True, slots=True)
class BackfillJob:
    """A request that was taken.

    Args:
        request: see there.
        taken_at: when it was taken, seconds since 1970.
        changed_at: when it last changed.
        state: see `JobState`.
        reason: why it failed; empty otherwise.
        positions: of every account group of it, in the order in which they are walked; empty while it waits.
        counts: see there.
        skipped: what could not be read, oldest first.
        skipped_total: how many ranges were skipped.
    """

    request: BackfillRequest
    taken_at: float
    changed_at: float
    state: JobState = JobState.WAITING
    reason: str = ""
    positions: tuple[Position, ...] = ()
    counts: Counts = NO_COUNTS
    skipped: tuple[Skipped, ...] = ()
    skipped_total: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.state in OVER

    @property
    def share_done(self) -> float:
        """How much of its time was walked, 0 to 1."""
        if not self.positions:
            return 1.0 if self.state is JobState.DONE else 0.0
        start, end = self.request.start, self.request.end
        walked = sum(min(max(one.until, start), end) - start for one in self.positions)
        return walked / (len(self.positions) * (end - start))

    def left(self, aid: str) -> Range | None:
        """What is still to be walked of an account group; None: nothing."""
        if self.state is not JobState.RUNNING:
            return None
        for one in self.positions:
            if one.aid == aid and one.until < self.request.end:
                return max(one.until, self.request.start), self.request.end
        return None

    def unfinished(self) -> tuple[str, ...]:
        """The account groups of which something is left, in their order."""
        return tuple(one.aid for one in self.positions if self.left(one.aid) is not None)

    # --- how it changes ---

    def begun(self, aids: tuple[str, ...], now: float) -> BackfillJob:
        """Running, over these account groups, at least one."""
        assert self.state is JobState.WAITING
        assert aids
        positions = tuple(Position(aid, self.request.start) for aid in aids)
        return replace(self, state=JobState.RUNNING, positions=positions, changed_at=now)

    def walked(self, aid: str, until: int | None, counts: Counts, now: float) -> BackfillJob:
        """With a page of an account group, walked up to ``until``; None: the page proved nothing."""
        assert self.state is JobState.RUNNING
        total = Counts(*(a + b for a, b in zip(self.counts, counts, strict=True)))
        return self._at(aid, until, replace(self, counts=total, changed_at=now))

    def passed_over(self, aid: str, start: int, end: int, now: float) -> BackfillJob:
        """With a range of an account group that cannot be read: told, and left out."""
        assert self.state is JobState.RUNNING
        skipped = (*self.skipped, Skipped(aid, start, end))[:SKIPPED_MAX]
        more = replace(self, skipped=skipped, skipped_total=self.skipped_total + 1, changed_at=now)
        return self._at(aid, end, more)

    def ended(self, state: JobState, now: float, reason: str = "") -> BackfillJob:
        """Over; one that was over before stays what it was."""
        assert state in OVER
        return self if self.is_over else replace(self, state=state, reason=reason, changed_at=now)

    def _at(self, aid: str, until: int | None, job: BackfillJob) -> BackfillJob:
        if until is None:
            return job
        positions = tuple(Position(one.aid, max(one.until, until)) if one.aid == aid else one for one in self.positions)
        job = replace(job, positions=positions)
        return job if job.unfinished() else replace(job, state=JobState.DONE)

    # --- its durable form ---

    def to_bytes(self) -> bytes:
        """As it stands in the state topic."""
        return orjson.dumps(
            {
                "version": FORM_VERSION,
                "request": self.request._fields(),
                "taken_at": self.taken_at,
                "changed_at": self.changed_at,
                "state": self.state,
                "reason": self.reason,
                "positions": [list(one) for one in self.positions],
                "counts": list(self.counts),
                "skipped": [list(one) for one in self.skipped],
                "skipped_total": self.skipped_total,
            }
        )

    @classmethod
    def parse(cls, value: bytes) -> BackfillJob:
        """The other way round.

        Raises:
            ValueError: it is none that this version can read.
        """
        try:
            stored = _read(value)
            return cls(
                request=BackfillRequest._of(stored["request"]),
                taken_at=_time(stored["taken_at"]),
                changed_at=_time(stored["changed_at"]),
                state=JobState(stored["state"]),
                reason=str(stored["reason"]),
                positions=tuple(Position(str(aid), _second(until)) for aid, until in stored["positions"]),
                counts=Counts(*map(int, stored["counts"])),
                skipped=tuple(Skipped(str(aid), _second(a), _second(b)) for aid, a, b in stored["skipped"]),
                skipped_total=int(stored["skipped_total"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no backfill job: {value[:100]!r}") from error


def key_of(kind: str, organization: str, job: str) -> str:
    """The key of a request, a job, or a wish to cancel it."""
    return f"{kind}/{quote(organization, safe='')}/{job}"


def parts_of(key: str) -> tuple[str, str, str] | None:
    """Kind, organization and job of such a key; None: it is another one."""
    parts = key.split("/")
    if len(parts) != 3 or parts[0] not in (KIND, CANCEL_KIND):
        return None
    return parts[0], unquote(parts[1]), parts[2]


def _time(value: Any) -> float:
    time_s = float(value)
    if not 0.0 <= time_s <= TIME_MAX_S:
        raise ValueError(f"no time: {time_s:g} s since 1970")
    return time_s


def _second(value: Any) -> int:
    return int(_time(value))


def _read(value: bytes) -> dict[str, Any]:
    stored = orjson.loads(value)
    if not isinstance(stored, dict) or stored.get("version") != FORM_VERSION:
        raise ValueError(f"not of version {FORM_VERSION}: {value[:100]!r}")
    return stored
