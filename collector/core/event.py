"""Writes records: a valid session as a CloudEvents event in binary mode, anything else as a dead letter.

Rule: pure; one record a session, its value one JSON object, nothing of the session changed on the way but its form.

Sources: CloudEvents Kafka protocol binding 1.0.2 (github.com/cloudevents/spec, bindings/kafka-protocol-binding.md);
dead-letter headers as Kafka Connect's DeadLetterQueueReporter names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote

import orjson

from collector.core.identity import identity_of, page_of
from collector.core.model import Destination, EpochS, Record, Row, Window

EVENT_TYPE = "com.thousandeyes.endpoint.user-session.v1"
MS_PER_S = 1000


class EventKey(StrEnum):
    """Which field is the record key, and with it the partition."""

    USER_SESSION_ID = "userSessionId"
    AGENT_ID = "agentId"
    AID = "aid"


class RecordTimestamp(StrEnum):
    """What the record timestamp is: when the session took place, or when it was collected."""

    SESSION = "session"
    COLLECTED = "collected"


class Reason(StrEnum):
    """Why a row became a dead letter; a closed set, also a metric's label."""

    NOT_AN_OBJECT = "not_an_object"
    NO_IDENTITY = "no_identity"
    SCHEMA = "schema_violation"
    WRONG_ACCOUNT_GROUP = "wrong_account_group"
    LATE = "late"
    TOO_LARGE = "too_large"
    TOO_OLD = "too_old_for_topic"
    UNENCODABLE = "unencodable"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that could not become an event.

    Args:
        source_bytes: the row as the API sent it.
        reason: which of the closed set.
        message: a sentence for people.
        pointer: JSON pointer to the offending value; empty for the whole row.
        identifier: the session id, when the row has one.
        source_bytes_total: size of the row when ``source_bytes`` is only its beginning.
    """

    source_bytes: bytes
    reason: Reason
    message: str
    pointer: str = ""
    identifier: str | None = None
    source_bytes_total: int | None = None


@dataclass(frozen=True, slots=True)
class EventForm:
    """How events are written: choices of the operator, and the schema's identifier."""

    schema_identifier: str
    key: EventKey = EventKey.USER_SESSION_ID
    timestamp: RecordTimestamp = RecordTimestamp.SESSION


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where and when a page was collected, and for which backfill job, if for one."""

    organization: str
    aid: str
    lane: str
    window: Window
    collected_at: EpochS
    job: str = ""

    def source(self) -> str:
        """The CloudEvents ``source``; see `source_of`."""
        return source_of(self.organization, self.aid)


def source_of(organization: str, aid: str) -> str:
    """The CloudEvents ``source``: organization and account group."""
    return f"/thousandeyes/{quote(organization, safe='')}/{aid}"


def rfc3339(time_s: float) -> str:
    """A time as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_ms(date: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time.

    Raises:
        ValueError: it is none.
    """
    return round(datetime.fromisoformat(date).timestamp() * MS_PER_S)


def events(sessions: Sequence[Row], form: EventForm, provenance: Provenance, *, by_page: bool = False) -> list[Record]:
    """The event of each of the sessions of one page; all must be valid.

    Args:
        sessions: in the form of the schema.
        form: how events are written.
        provenance: where and when the page was collected.
        by_page: each page row is an event of its own, and its id names the page.
    """
    # A date after its collection is a wrong agent clock; brokers refuse timestamps too far ahead of their own time.
    collected_ms = round(provenance.collected_at * MS_PER_S)
    by_session_time = form.timestamp is RecordTimestamp.SESSION
    key_field = form.key.value
    of_page = [
        ("ce_specversion", b"1.0"),
        ("ce_type", EVENT_TYPE.encode()),
        ("ce_source", provenance.source().encode()),
        ("ce_dataschema", form.schema_identifier.encode()),
        ("content-type", b"application/json"),
        ("ce_lane", provenance.lane.encode()),
        ("ce_collectedtime", rfc3339(provenance.collected_at).encode()),
    ]
    if provenance.job:
        of_page.append(("ce_backfilljob", provenance.job.encode()))
    # A round has 60 seconds and many more sessions: what follows from the date is made once a date.
    of_date: dict[str, tuple[tuple[str, bytes], int]] = {}
    minutes_ms: dict[str, int] = {}
    dumps, destination = orjson.dumps, Destination.EVENTS
    new = tuple.__new__  # `Record(...)` without the call into Python that a named tuple makes: half the time
    records = []
    for session in sessions:
        date: str = session["date"]
        known = of_date.get(date)
        if known is None:
            timestamp_ms = _epoch_ms(date, minutes_ms) if by_session_time else collected_ms
            known = of_date[date] = (("ce_time", date.encode()), min(max(timestamp_ms, 0), collected_ms))
        time_header, timestamp_ms = known
        identifier = session["userSessionId"].encode()
        event_id = identity_of(session["userSessionId"], page_of(session)).encode() if by_page else identifier
        headers = [*of_page, ("ce_id", event_id), time_header]
        agent_id = session.get("agentId")
        if agent_id is not None:
            headers.append(("ce_subject", agent_id.encode()))
        if key_field == "userSessionId":
            key = identifier
        else:
            key = (session.get(key_field) or session["userSessionId"]).encode()
        # Copied, because what orjson returns keeps its buffer: 8 KB for 500 bytes (3.13), thousands of them at a time.
        records.append(new(Record, (destination, key, b"%b" % dumps(session), headers, timestamp_ms)))
    return records


def late_event(event: Record) -> Record:
    """The event of a session that is older than the ids that are kept: it may have been published before."""
    return event._replace(headers=[*event.headers, ("ce_late", b"true")])


def revision_event(event: Record, number: int, content: int) -> Record:
    """The event of another content of a published identity.

    Args:
        event: as `events` makes it.
        number: how many contents of the identity were seen before, from 1 on.
        content: the content check: the same content has the same event id, whenever it is collected.
    """
    headers = [(n, b"%b#%08x" % (value, content) if n == "ce_id" else value) for n, value in event.headers]
    return event._replace(headers=[*headers, ("ce_revision", b"%d" % number)])


def _epoch_ms(date: str, minutes_ms: dict[str, int]) -> int:
    """As `epoch_ms`; the minutes of dates without a fraction are looked up in, or added to, ``minutes_ms``."""
    if len(date) != 20:
        return epoch_ms(date)
    minute = date[:17]
    start_ms = minutes_ms.get(minute)
    if start_ms is None:
        start_ms = minutes_ms[minute] = epoch_ms(minute + "00Z")
    return start_ms + int(date[17:19]) * MS_PER_S


def dead_letter(letter: DeadLetter, provenance: Provenance) -> Record:
    """The record of a row that could not become an event; its value is the row's untouched bytes."""
    identifier = letter.identifier or ""
    headers = [
        ("__connect.errors.connector.name", b"te-collector"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"collector.core.schema.SessionSchema"),
        ("__connect.errors.exception.class.name", letter.reason.value.encode()),
        ("__connect.errors.exception.message", letter.message.encode("utf-8", "replace")),
        ("te.errors.reason", letter.reason.value.encode()),
        ("te.errors.pointer", letter.pointer.encode("utf-8", "replace")),
        ("te.errors.organization", provenance.organization.encode()),
        ("te.errors.aid", provenance.aid.encode()),
        ("te.errors.lane", provenance.lane.encode()),
        ("te.errors.window", f"{rfc3339(provenance.window.start)}/{rfc3339(provenance.window.end)}".encode()),
        ("te.errors.collectedtime", rfc3339(provenance.collected_at).encode()),
    ]
    if provenance.job:
        headers.append(("te.errors.backfill.job", provenance.job.encode()))
    if letter.source_bytes_total is not None:
        headers.append(("te.errors.truncated", str(letter.source_bytes_total).encode()))
    return Record(
        Destination.DEAD_LETTERS,
        (identifier or provenance.aid).encode("utf-8", "replace"),
        letter.source_bytes,
        headers,
        round(provenance.collected_at * MS_PER_S),
    )
