"""What Kafka would refuse becomes a dead letter up front: too large for the topic, or too old for it."""

from __future__ import annotations

from typing import Any

import pytest

from collector.core.collect import PageCollector
from collector.core.event import EventForm, RecordTimestamp
from collector.core.limits import RecordLimits, bytes_of
from collector.core.model import Destination, Record
from collector.core.seen import SeenSessions
from tests.core.pages import AID, EPOCH, SCHEMA, VALUE_BYTES_MAX, make_page, make_provenance, regular_id, v6_row


def collected(rows: list[Any], limits: RecordLimits, timestamp: RecordTimestamp = RecordTimestamp.SESSION) -> Any:
    """A page, collected under limits."""
    form = EventForm(SCHEMA.identifier, timestamp=timestamp)
    collector = PageCollector(SCHEMA, form, VALUE_BYTES_MAX, limits=limits)
    return collector.collect(make_page(rows), SeenSessions("seen/", AID, 0), make_provenance(collected_at=EPOCH))


def row(suffix: str, date: int, **fields: Any) -> dict[str, Any]:
    """A session that took place at a time."""
    return v6_row(regular_id(date // 60 * 60, suffix), date) | fields


def reasons(what: Any) -> dict[str, int]:
    """Dead letters by reason."""
    return {reason.value: count for reason, count in what.dead_letters.items()}


def test_without_limits_everything_is_an_event() -> None:
    """A session of any age, and of any size that a batch holds."""
    what = collected([row("aaaaaaaa", EPOCH - 10**8), row("bbbbbbbb", EPOCH)], RecordLimits())
    assert (what.events, reasons(what)) == (2, {})


def test_a_session_older_than_the_topic_takes_is_a_dead_letter() -> None:
    """Only the one that is too old; its letter says so, and its digest is remembered."""
    limits = RecordLimits(event_age_max_s=3600.0)
    what = collected([row("aaaaaaaa", EPOCH - 3601), row("bbbbbbbb", EPOCH - 3600)], limits)
    assert (what.events, reasons(what)) == (1, {"too_old_for_topic": 1})
    letter = what.records[-1]
    assert letter.destination is Destination.DEAD_LETTERS
    assert b"3601 s old" in dict(letter.headers)["__connect.errors.exception.message"]
    assert sum(len(digests) for digests in what.marks.digests.values()) == 1


def test_the_age_is_that_of_the_record_timestamp() -> None:
    """Records that carry the time of collection are never too old."""
    limits = RecordLimits(event_age_max_s=60.0)
    assert collected([row("aaaaaaaa", EPOCH - 7200)], limits, RecordTimestamp.COLLECTED).events == 1


def test_an_event_larger_than_the_topic_takes_is_a_dead_letter() -> None:
    """Counted with key and headers; one byte less would do."""
    event = collected([row("aaaaaaaa", EPOCH, visitedSite="x" * 500)], RecordLimits()).records[0]
    size = bytes_of(event)
    exact = collected([row("aaaaaaaa", EPOCH, visitedSite="x" * 500)], RecordLimits(event_bytes_max=size))
    assert (exact.events, reasons(exact)) == (1, {})
    over = collected([row("aaaaaaaa", EPOCH, visitedSite="x" * 500)], RecordLimits(event_bytes_max=size - 1))
    assert (over.events, reasons(over)) == (0, {"too_large": 1})


@pytest.mark.parametrize("room", [2_000, 100])
def test_a_dead_letter_is_cut_to_what_its_topic_takes(room: int) -> None:
    """The bytes that fit, and how many there were; at the least its headers, which say what it was."""
    letter: Record = collected([{"junk": "x" * 5_000}], RecordLimits(dead_letter_bytes_max=room)).records[0]
    headers = dict(letter.headers)
    assert int(headers["te.errors.truncated"]) > 5_000
    if room == 2_000:
        assert len(letter.value) > 0
        assert bytes_of(letter) <= room
    else:
        assert letter.value == b""
