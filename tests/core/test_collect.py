"""`PageCollector`: each row is an event, a dead letter, or known already; never two of them, never none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.chunks import KEEP_MARGIN_S, Marks
from collector.core.collect import Collected, PageCollector
from collector.core.event import Reason
from collector.core.identity import Notice
from collector.core.model import Destination, EpochS, Page, Record, Window
from collector.core.seen import HOUR_S, SeenSessions, hour_of
from collector.sources.thousandeyes.row_form import V6_ROW_FORM, V7_ROW_FORM
from tests.core.pages import (
    AID,
    EPOCH,
    VALUE_BYTES_MAX,
    make_collector,
    make_page,
    make_provenance,
    regular_id,
    suffix,
    v6_row,
)

PREFIX = "seen/example/7625/"
DATE = EPOCH - 100
PERMALINK = (
    "https://app.thousandeyes.com/view/endpoint-agent/"
    "?roundId=1490529480&scenarioId=sessionDetails&binSize=300000&__aid=7625"
)
SAMPLE: list[dict[str, Any]] = [
    {
        "agentId": "3fde6422-f119-40e1-ae32-d08a1243c038",
        "committed": f"2017-03-22 11:58:{committed}",
        "date": f"2017-03-22 11:58:{date}",
        "numberOfPages": 1,
        "orgName": "T-2 Access Network",
        "pageId": page_id,
        "permalink": PERMALINK,
        "port": port,
        "protocol": protocol,
        "roundId": 1490529480,
        "sourceAddr": "84.255.241.1",
        "userSessionId": identifier,
        "visitedSite": site,
    }
    for committed, date, page_id, port, protocol, identifier, site in [
        ("44", "42", "C31gBrYJ", 80, "http", "07625:1490529480:aVDViw0i", "thousandeyes.com"),
        ("46", "43", "iLUEN9t8", 443, "https", "07625:1490529480:h3qJQTpl", "www.thousandeyes.com"),
    ]
]
"""The sample of https://developer.thousandeyes.com/v6/endpoint/ (endpoint user session list), made valid JSON."""


class Group:
    """One account group, as the loop uses it: collect, and remember after the commit."""

    def __init__(self, collector: PageCollector | None = None) -> None:
        self.collector = collector or make_collector()
        self.seen = SeenSessions(PREFIX, AID)
        self.durable: dict[str, bytes] = {}

    def take(self, page: Page, window: Window | None = None) -> Collected:
        collected = self.collector.collect(page, self.seen, make_provenance(window))
        writes = self.seen.write(collected.marks)
        self.durable |= {key: value for key, value in writes.changes if value is not None}
        self.seen.apply(writes)
        return collected

    def crash(self) -> None:
        self.seen = SeenSessions(PREFIX, AID)
        for key, value in self.durable.items():
            self.seen.restore(key, value)


def letters(collected: Collected) -> list[Record]:
    """The dead letters of a page."""
    return [record for record in collected.records if record.destination is Destination.DEAD_LETTERS]


def reason(record: Record) -> str:
    """Why a row became this dead letter."""
    return dict(record.headers)["te.errors.reason"].decode()


def good(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A row that becomes an event."""
    return v6_row(regular_id(DATE // 60 * 60, suffix(number)), DATE, **fields)


BAD_ROWS: list[tuple[Any, Reason]] = [
    ("text", Reason.NOT_AN_OBJECT),
    (None, Reason.NOT_AN_OBJECT),
    ({}, Reason.NO_IDENTITY),
    ({**good(), "userSessionId": ""}, Reason.NO_IDENTITY),
    ({**good(), "roundId": True}, Reason.NO_IDENTITY),
    ({**good(), "roundId": 1_500_000_000.5}, Reason.NO_IDENTITY),
    ({**good(), "userSessionId": f"00009:{EPOCH}:aaaaaaaa"}, Reason.WRONG_ACCOUNT_GROUP),
    (good(port=70_000), Reason.SCHEMA),
    (good(port="80"), Reason.SCHEMA),
    (good(port="8" * 15_000), Reason.SCHEMA),
    (good(experienceScore=1.5), Reason.SCHEMA),
    ({**good(), "date": "yesterday"}, Reason.SCHEMA),
    ({**good(), "date": None}, Reason.SCHEMA),
    ({**good(), "userSessionId": "x" * 1025}, Reason.SCHEMA),
    (good(visitedSite="x" * VALUE_BYTES_MAX), Reason.TOO_LARGE),
    (good(agentId="x" * (VALUE_BYTES_MAX * 2 // 3)), Reason.TOO_LARGE),
    (good(visitedSite="\ud800"), Reason.UNENCODABLE),
    (good(agentId="\udfff"), Reason.UNENCODABLE),
    ({**good(), "userSessionId": "\ud800"}, Reason.UNENCODABLE),
    (good(somethingNew=2**70), Reason.UNENCODABLE),
    ({**good(), "date": f"2016-12-31T23:59:60.{'1' * 15_000}Z"}, Reason.UNENCODABLE),
]


def test_the_published_sample_becomes_two_events() -> None:
    """The reference page's own sample, field by field: times in RFC 3339, ``aid`` added, nothing else changed."""
    group = Group()
    collected = group.take(make_page([dict(row) for row in SAMPLE]))
    assert len(collected.records) == 2
    for record, row in zip(collected.records, SAMPLE, strict=True):
        times = {name: row[name].replace(" ", "T") + "Z" for name in ("date", "committed")}
        assert orjson.loads(record.value) == row | times | {"aid": AID}
    assert group.take(make_page([dict(row) for row in SAMPLE])).records == []


def test_version_7_becomes_the_same_event() -> None:
    """The renamed fields of version 7 lead to the event that version 6 leads to."""
    renamed = {"userSessionId": "id", "sourceAddr": "sourceAddress", "orgName": "organizationName"}
    rows = [{renamed.get(name, name): value for name, value in row.items() if name != "permalink"} for row in SAMPLE]
    for row in rows:
        row["date"] = row["date"].replace(" ", "T") + "Z"
    v7 = Group().take(make_page(rows, form=V7_ROW_FORM))
    v6 = Group().take(make_page([dict(row) for row in SAMPLE], form=V6_ROW_FORM))
    assert [orjson.loads(r.value) for r in v7.records] == [orjson.loads(r.value) for r in v6.records]
    assert [r[3:] for r in v7.records] == [r[3:] for r in v6.records]


@pytest.mark.parametrize(("row", "expected"), BAD_ROWS)
def test_a_bad_row_is_a_dead_letter_once(row: Any, expected: Reason) -> None:
    """Its untouched bytes and the reason; not again in the overlap, nor after a crash; its neighbours are events."""
    group = Group()

    def page() -> Page:
        return make_page([good(8), dict(row) if isinstance(row, dict) else row, good(9)])

    source = page().source_bytes(1)
    collected = group.take(page())
    (letter,) = letters(collected)
    assert reason(letter) == expected
    assert letter.value == source[:VALUE_BYTES_MAX]
    assert dict(letter.headers).get("te.errors.truncated") == (
        str(len(source)).encode() if len(source) > VALUE_BYTES_MAX else None
    )
    assert collected.dead_letters == {expected: 1}
    assert len(collected.records) == 3
    assert group.take(page()).records == []
    group.crash()
    assert group.take(page()).records == []


@pytest.mark.parametrize("row", [row for row, _ in BAD_ROWS])
def test_no_record_outgrows_kafka(row: Any) -> None:
    """Key, value and headers of everything that is published stay below the bound that a batch has room for."""
    for record in Group().take(make_page([row])).records:
        headers = sum(len(name) + len(value) + 10 for name, value in record.headers)
        assert len(record.key) + len(record.value) + headers <= VALUE_BYTES_MAX + 4_096
        assert all(type(value) is bytes for _, value in record.headers)


def test_a_row_that_was_repaired_is_an_event() -> None:
    """A dead letter is remembered by its bytes, not by its id: the repaired row is fresh."""
    group = Group()
    assert len(letters(group.take(make_page([good(port=-1)])))) == 1
    collected = group.take(make_page([good(port=1)]))
    assert [record.destination for record in collected.records] == [Destination.EVENTS]


def test_null_means_absent_for_optional_fields() -> None:
    """An API may write null for what has no value: the event does not have the field. Required ones must be there."""
    collected = Group().take(make_page([good(1, port=None, experienceScore=None, somethingNew=None), good(2)]))
    value = orjson.loads(collected.records[0].value)
    assert not {"port", "experienceScore"} & value.keys()
    assert value["somethingNew"] is None
    assert len(collected.records) == 2


def test_a_page_of_another_account_group_is_told() -> None:
    """Every row names another account group: nothing may be published; one stray row is a dead letter."""
    stray = {**good(), "userSessionId": f"00009:{DATE // 60 * 60}:aaaaaaaa"}
    assert Group().take(make_page([dict(stray), dict(stray)])).belongs_elsewhere
    mixed = Group().take(make_page([dict(stray), good()]))
    assert not mixed.belongs_elsewhere
    assert not Group().take(make_page([])).belongs_elsewhere
    assert len(mixed.records) == 2


def test_a_late_row_is_a_dead_letter_and_not_an_event() -> None:
    """Older than the ids that are kept: it cannot be told from a published one, so it must not look fresh."""
    group = Group()
    group.seen = SeenSessions(PREFIX, AID, kept_from=hour_of(EPOCH) - HOUR_S)
    old = EPOCH - 2 * HOUR_S
    collected = group.take(make_page([v6_row(regular_id(old, suffix(1)), old), good(2)]))
    assert collected.dead_letters == {Reason.LATE: 1}
    assert len(collected.records) == 2


@pytest.mark.parametrize("lag_s", [HOUR_S, HOUR_S + 60, 5 * HOUR_S, 30 * HOUR_S])
def test_a_session_is_remembered_as_long_as_its_date_can_be_asked_for(lag_s: int) -> None:
    """However long before its date its round began: windows may go by either."""
    group, round_id = Group(), EPOCH // 60 * 60 - lag_s
    row = v6_row(regular_id(round_id, suffix(1)), round_id + lag_s, round_id)
    first = group.take(make_page([dict(row), dict(row), good(2)]))
    assert first.events == 2
    asked_from = round_id + lag_s  # the oldest window that is left begins with this session
    expiry = group.seen.expire(hour_of(asked_from - KEEP_MARGIN_S))
    group.seen.apply(group.seen.write(group.take(make_page([])).marks), expiry)
    again = group.take(make_page([dict(row), good(2), dict(row)]))
    assert (again.records, again.seen) == ([], 3)


@pytest.mark.parametrize("dates_s", [(5 * HOUR_S, 10), (10, 5 * HOUR_S)])
def test_one_session_with_two_dates_on_a_page_is_one_event(dates_s: tuple[int, int]) -> None:
    """One row would be remembered by its date, the other by its round: the second is another content of the first."""
    group, round_id = Group(), EPOCH // 60 * 60 - 5 * HOUR_S
    rows = [v6_row(regular_id(round_id, suffix(1)), round_id + date_s, round_id) for date_s in dates_s]
    collected = group.take(make_page(rows))
    assert collected.events == 1
    assert collected.notices == {Notice.CHANGED: 1}
    assert group.take(make_page([dict(row) for row in rows])).records == []


def test_a_session_that_was_remembered_by_its_round_is_found_by_its_date() -> None:
    """As an earlier release remembered it."""
    group, round_id = Group(), EPOCH // 60 * 60 - 5 * HOUR_S
    row = v6_row(regular_id(round_id, suffix(1)), EPOCH, round_id)
    marks = group.take(make_page([dict(row)])).marks
    ((_, (other,)),) = marks.other_ids.items()
    group.seen = SeenSessions(PREFIX, AID)
    earlier = Marks({round_id: [(suffix(1), other.checks)]})
    group.seen.apply(group.seen.write(earlier))
    assert group.take(make_page([dict(row)])).records == []


def test_a_dead_letter_outlives_the_window_that_shows_it() -> None:
    """Its digest is kept as long as its window may be asked for again, however old the row says it is."""
    group = Group()
    window = Window(EPOCH - 5 * HOUR_S, EPOCH)
    old_and_bad = {**v6_row("x", EPOCH - 5 * HOUR_S), "port": -1}
    group.take(make_page([dict(old_and_bad)]), window)
    expiry = group.seen.expire(EPOCH - HOUR_S)
    group.seen.apply(group.seen.write(group.take(make_page([])).marks), expiry)
    assert group.take(make_page([dict(old_and_bad)]), window).records == []


rows = st.one_of(
    st.sampled_from([row for row, _ in BAD_ROWS]),
    st.builds(good, st.integers(0, 5)),
    st.builds(good, st.integers(0, 5), port=st.none()),
)


@given(pages=st.lists(st.lists(rows, max_size=8), min_size=1, max_size=4), crashes=st.booleans())
def test_every_row_is_accounted_for(pages: list[list[Any]], crashes: bool) -> None:
    """Rows of a page = events + dead letters + seen; over all pages no id and no bad row comes twice."""
    group, keys = Group(), []
    for page in pages:
        content = make_page([dict(row) if isinstance(row, dict) else row for row in page])
        collected = group.take(content)
        assert len(collected.records) + collected.seen == len(page)
        assert collected.events + sum(collected.dead_letters.values()) == len(collected.records)
        assert all(0 <= record.timestamp_ms <= round(EpochS(EPOCH + 0.25) * 1000) for record in collected.records)
        keys += [(r.destination, r.key if r.destination is Destination.EVENTS else r.value) for r in collected.records]
        if crashes:
            group.crash()
    assert len(set(keys)) == len(keys)


def test_a_whole_number_with_a_point_is_an_integer() -> None:
    """JSON Schema calls 60.0 an integer, and so do we: the event says 60, and the same row again is seen."""
    group = Group()
    row = good(1)
    collected = group.take(make_page([{**row, "roundId": float(row["roundId"])}]))
    assert [orjson.loads(record.value)["roundId"] for record in collected.records] == [row["roundId"]]
    assert type(orjson.loads(collected.records[0].value)["roundId"]) is int
    assert group.take(make_page([row])).records == []
