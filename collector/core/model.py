"""The values that the layers hand each other. Nothing here decides, waits or does I/O.

Two clocks, two types: `EpochS` is a point in the API server's time, `MonoS` a point on this machine's monotonic
clock. They never mix; a reset epoch becomes a duration as soon as it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, NewType

EpochS = NewType("EpochS", float)
"""Seconds since 1970-01-01T00:00:00Z, in the API server's time."""

MonoS = NewType("MonoS", float)
"""Seconds on this machine's monotonic clock; only differences mean something."""

Row = dict[str, Any]
"""One decoded row of a page, under the field names of the API version it came from."""


@dataclass(frozen=True, slots=True)
class AccountGroup:
    """An account group the token can see: the unit of independent progress inside an organization."""

    aid: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """The organization's request quota as one answer told it.

    Args:
        limit: requests a quota window allows, >= 0.
        remaining: requests left in this quota window, >= 0.
        reset_at: when the quota window ends, in server time; None when the answer did not say.
    """

    limit: int
    remaining: int
    reset_at: EpochS | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What every answer tells, whatever its body: HTTP status (0: none arrived), quota, the server's clock."""

    status: int
    quota: Quota | None = None
    date: EpochS | None = None


NO_ANSWER = Answer(status=0)


class Lane(StrEnum):
    """Why a walk happens: the newest sessions, again for late ones, missed while down, asked for."""

    HOT = "hot"
    SWEEP = "sweep"
    CATCH_UP = "catch-up"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Window:
    """A closed time range of one walk, whole seconds of server time, start <= end."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page to fetch.

    Args:
        aid: account group; always sent.
        window: the walk's closed range; the same for all pages of a walk.
        continuation: where the previous page said the next one is; None for the first page. Opaque.
    """

    aid: str
    window: Window
    continuation: str | None = None


@dataclass(frozen=True, slots=True)
class RowForm:
    """How one version of the API writes a session.

    Args:
        id_field: the field that holds the session id.
        normalise: turns a row (which it may change and return) into the fields of ``schemas/user-session.v1.json``.
            It never raises: a value that it cannot read stays as it is, and fails the schema.
        content_fields: what else the reference documents of a session, under this version's names and in an order that
            never changes: two rows of a session differ when one of these does.
    """

    id_field: str
    normalise: Callable[[Row, str], Row]
    content_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer with sessions.

    Args:
        rows: decoded rows in the API's order; an element that is no object stays what it is.
        continuation: where the next page is; None on the last one.
        answer: status, quota and date of the answer.
        form: how to read the rows.
        source_bytes: the untouched bytes of row ``i``, as the API sent them (called for bad rows only).
        body_bytes: size of the answer, for the metrics.
    """

    rows: Sequence[Any]
    continuation: str | None
    answer: Answer
    form: RowForm
    source_bytes: Callable[[int], bytes] = field(repr=False)
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AccountGroupList:
    """The account groups that a token can see, and what the answer told besides."""

    account_groups: tuple[AccountGroup, ...]
    answer: Answer


class Destination(StrEnum):
    """Which topic a record goes to."""

    EVENTS = "events"
    DEAD_LETTERS = "dead_letters"


class Record(NamedTuple):
    """One record for Kafka. A named tuple: a million of them a minute may be made.

    ``timestamp_ms`` is the record timestamp, milliseconds since 1970; the partition follows from ``key``.
    """

    destination: Destination
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class StateChange(NamedTuple):
    """One key of the durable state set to a value, or removed (None)."""

    key: str
    value: bytes | None


class Owner(NamedTuple):
    """An account group of an organization, by names."""

    organization: str
    aid: str


class Publication(NamedTuple):
    """What becomes durable together or not at all: records, and the state that says they were sent.

    ``owner`` is the account group whose page it is; None for the joined publications of several. Publishing uses
    ``records`` up: the list is emptied once they stand elsewhere, because the events of a page are a megabyte and
    nobody needs them while their commit is under way; after a failure the page is fetched again.
    """

    records: list[Record]
    changes: Sequence[StateChange]
    owner: Owner | None = None


State = Mapping[str, bytes]
"""The durable state of a shard: key -> value."""
