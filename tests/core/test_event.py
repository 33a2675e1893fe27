"""Events as any CloudEvents library reads them, and record keys and timestamps. Oracle: the ``cloudevents`` package."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from collector.core.event import EVENT_TYPE, EventForm, EventKey, RecordTimestamp, epoch_ms, events, rfc3339
from collector.core.model import Destination, Record
from tests.core.pages import AID, EPOCH, SCHEMA, make_provenance

SESSION: dict[str, Any] = {
    "userSessionId": "07625:1700002740:é-aaaaaa",
    "roundId": EPOCH - 60,
    "date": rfc3339(EPOCH - 7).replace(".000", ""),
    "aid": AID,
    "agentId": "3fde6422-f119-40e1-ae32-d08a1243c038",
    "visitedSite": "bücher.example",
}


def write(
    key: EventKey = EventKey.USER_SESSION_ID, timestamp: RecordTimestamp = RecordTimestamp.SESSION, **changes: Any
) -> Record:
    """One event; a change to None leaves the field out."""
    session = {name: value for name, value in (SESSION | changes).items() if value is not None}
    (record,) = events([session], EventForm(SCHEMA.identifier, key, timestamp), make_provenance())
    return record


def test_a_cloudevents_library_reads_it() -> None:
    """Binary mode of the Kafka binding: every attribute, the two extensions, and the data as sent."""
    record = write()
    event = from_binary(KafkaMessage(dict(record.headers), record.key, record.value), JSONFormat())
    assert event.get_id() == SESSION["userSessionId"]
    assert event.get_source() == "/thousandeyes/Example%20org%2FEU/7625"
    assert event.get_type() == EVENT_TYPE
    assert event.get_specversion() == "1.0"
    assert event.get_subject() == SESSION["agentId"]
    assert event.get_dataschema() == SCHEMA.identifier
    assert event.get_datacontenttype() == "application/json"
    assert event.get_time() == datetime.fromisoformat(SESSION["date"])
    assert event.get_extension("lane") == "hot"
    assert event.get_extension("collectedtime") == "2023-11-14T23:00:00.250Z"
    assert event.get_data() == SESSION


def test_headers_are_bytes_and_named_once() -> None:
    """Kafka carries bytes; a header that stands twice would be read either way."""
    record = write()
    assert all(type(name) is str and type(value) is bytes for name, value in record.headers)
    assert len({name for name, _ in record.headers}) == len(record.headers)
    assert record.destination is Destination.EVENTS


def test_no_agent_means_no_subject() -> None:
    """The subject is left out, not empty."""
    assert "ce_subject" not in dict(write(agentId=None).headers)


@pytest.mark.parametrize(
    ("key", "changes", "expected"),
    [
        (EventKey.USER_SESSION_ID, {}, SESSION["userSessionId"]),
        (EventKey.AGENT_ID, {}, SESSION["agentId"]),
        (EventKey.AGENT_ID, {"agentId": None}, SESSION["userSessionId"]),
        (EventKey.AID, {}, AID),
    ],
)
def test_the_key_is_a_choice(key: EventKey, changes: dict[str, Any], expected: str) -> None:
    """The chosen field, or the session id where it is missing."""
    assert write(key, **changes).key == expected.encode()


@given(date_s=st.integers(0, EPOCH), fraction=st.sampled_from(["", ".5", ".25", ".999"]))
def test_the_record_timestamp_is_the_session_date(date_s: int, fraction: str) -> None:
    """To the millisecond, however the date is written, and never after the collection."""
    date = rfc3339(date_s).replace(".000", fraction)
    expected = date_s * 1000 + round(float(f"0{fraction or '.0'}") * 1000)
    assert epoch_ms(date) == expected
    assert write(date=date).timestamp_ms == min(expected, EPOCH * 1000 + 250)


@pytest.mark.parametrize(
    ("date", "expected"),
    [("2099-01-01T00:00:00Z", EPOCH * 1000 + 250), ("1969-12-31T23:59:59Z", 0), ("2023-11-14T22:59:60Z", EPOCH * 1000)],
)
def test_dates_that_brokers_refuse_are_clamped(date: str, expected: int) -> None:
    """A date from the future is when it was collected, one before 1970 is 1970; a leap second is a second."""
    record = write(date=date)
    assert record.timestamp_ms == expected
    assert orjson.loads(record.value)["date"] == date


def test_the_timestamp_may_be_the_collection() -> None:
    """By choice, the time of the collection, whatever the session says."""
    assert write(timestamp=RecordTimestamp.COLLECTED).timestamp_ms == EPOCH * 1000 + 250
