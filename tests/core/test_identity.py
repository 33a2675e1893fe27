"""Late and changed sessions, and what an event stands for: nothing in silence, nothing twice, whatever is chosen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.chunks import HOUR_S, Place, hour_of
from collector.core.collect import Choices, Collected, PageCollector
from collector.core.event import EventForm
from collector.core.identity import (
    VERSIONS_MAX,
    Identity,
    IdentityForm,
    Late,
    Notice,
    Revisions,
    content_check,
    page_check,
)
from collector.core.model import Destination, Page, Record, Window
from collector.core.seen import SeenSessions
from collector.core.sorting import Candidate
from collector.sources.thousandeyes.row_form import V6_ROW_FORM, V7_ROW_FORM
from tests.core.pages import AID, EPOCH, SCHEMA, VALUE_BYTES_MAX, make_page, make_provenance, regular_id, suffix, v6_row

PREFIX = "seen/example/7625/"
DATE = EPOCH - 100
ROUND = DATE // 60 * 60
SESSION, BY_PAGE = IdentityForm(), IdentityForm(Identity.SESSION_PAGE)
PUBLISH = Choices(revisions=Revisions.PUBLISH)


class Group:
    """One account group under given choices, as the loop uses it."""

    def __init__(self, choices: Choices | None = None, form: IdentityForm = SESSION, kept_from: int = 0) -> None:
        self.choices, self.form, self.kept_from = choices or Choices(), form, kept_from
        self.durable: dict[str, bytes] = {}
        self.notices: Counter[Notice] = Counter()
        self.restart()

    def restart(self, choices: Choices | None = None, form: IdentityForm | None = None) -> None:
        """A new process, perhaps under other choices, on what is durable."""
        self.choices, self.form = choices or self.choices, form or self.form
        self.collector = PageCollector(SCHEMA, EventForm(SCHEMA.identifier), VALUE_BYTES_MAX, self.choices)
        self.seen = SeenSessions(PREFIX, AID, self.kept_from, self.form)
        for key, value in self.durable.items():
            self.seen.restore(key, value)

    def take(self, *rows: Any, window: Window | None = None, crash: bool = False) -> Collected:
        """Collect a page; with ``crash`` its commit is lost, and a new process goes on."""
        page = make_page([dict(row) for row in rows])
        collected = self.collector.collect(page, self.seen, make_provenance(window))
        assert len(collected.records) + collected.seen == len(rows)
        if crash:
            self.restart()
            return collected
        writes = self.seen.write(collected.marks)
        self.durable |= {key: value for key, value in writes.changes if value is not None}
        self.seen.apply(writes)
        self.notices += collected.notices
        return collected


def row(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A valid row of the session ``number``."""
    return v6_row(regular_id(ROUND, suffix(number)), DATE, **fields)


def old_row(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A valid row of a session that took place three hours before the ids that are kept."""
    return v6_row(regular_id(EPOCH - 4 * HOUR_S, suffix(number)), EPOCH - 4 * HOUR_S, **fields)


def headers(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def event_ids(collected: Collected) -> list[str]:
    return [headers(record)["ce_id"] for record in collected.records if record.destination is Destination.EVENTS]


# --- changed sessions ---


@pytest.mark.parametrize(
    ("again", "kind"),
    [
        (row(pageId="first", numberOfPages=2), Notice.CHANGED),
        (row(pageId="first", experienceScore=0.5), Notice.CHANGED),
        (row(pageId="first", committed="2023-11-14 22:13:20"), Notice.CHANGED),
        (row(pageId="first", visitedSite="example.com"), Notice.CHANGED),
        (row(pageId="second"), Notice.OTHER_PAGE),
        (row(), Notice.OTHER_PAGE),
        (row(pageId="second", numberOfPages=2), Notice.OTHER_PAGE),
    ],
)
def test_a_session_that_comes_back_different_is_counted_once(again: dict[str, Any], kind: Notice) -> None:
    """By kind, with an example; not again in the overlap, nor after a crash; and it is not published."""
    group = Group()
    group.take(row(pageId="first"))
    assert group.take(row(pageId="first")).notices == {}
    assert group.take(again, crash=True).notices == {kind: 1}
    collected = group.take(again)
    assert collected.notices == {kind: 1}
    assert collected.examples == {kind: again["userSessionId"]}
    assert collected.records == []
    group.restart()
    assert group.take(again, row(pageId="first")).notices == {}


def test_what_the_reference_does_not_document_is_no_change() -> None:
    """A field that the API adds one day, null for absent, the permalink: the session is the same."""
    group = Group()
    group.take(row(port=80))
    for same in (row(port=80, deviceType="laptop"), row(port=80, orgName=None), row(port=80, permalink="https://x")):
        assert group.take(same).notices == {}


def test_checks_are_the_same_in_every_process() -> None:
    """They are durable: neither a hash seed nor a release may move them."""
    full = {name: number for number, name in enumerate(V6_ROW_FORM.content_fields)}
    assert content_check(V6_ROW_FORM.content_fields)(full) == 0xDB195115
    assert content_check(V6_ROW_FORM.content_fields)({"pageId": "\ud800"}) == 0x9DBE79DD
    assert page_check("C31gBrYJ") == 0xB8E6
    assert page_check(None) == page_check("") == page_check(7) == 0


def test_every_documented_field_is_content() -> None:
    """All fourteen fields of the reference page but the two ids and the permalink that follows from them."""
    documented = set(SCHEMA.optional_fields) | {"userSessionId", "roundId", "date"}
    assert set(V6_ROW_FORM.content_fields) == documented - {"userSessionId", "roundId", "permalink", "aid"}
    renamed = {"orgName": "organizationName", "sourceAddr": "sourceAddress"}
    assert [renamed.get(name, name) for name in V6_ROW_FORM.content_fields] == list(V7_ROW_FORM.content_fields)


def test_each_distinct_content_is_published_once() -> None:
    """`revisions = "publish"`: an event id of its own, the same after a crash; an old content again is no news."""
    group = Group(PUBLISH)
    group.take(row(numberOfPages=1))
    lost = group.take(row(numberOfPages=2), crash=True)
    second = group.take(row(numberOfPages=2))
    assert [tuple(record) for record in lost.records] == [tuple(record) for record in second.records]
    (record,) = second.records
    check = content_check(V6_ROW_FORM.content_fields)(row(numberOfPages=2))
    assert headers(record)["ce_id"] == f"{regular_id(ROUND, suffix(1))}#{check:08x}"
    assert headers(record)["ce_revision"] == "1"
    assert record.key.decode() == regular_id(ROUND, suffix(1))
    assert orjson.loads(record.value)["numberOfPages"] == 2
    assert second.revisions == second.events == 1
    assert second.sample == (), "a revision says nothing about freshness"
    third = group.take(row(numberOfPages=3), row(numberOfPages=1), row(numberOfPages=2))
    assert [headers(record)["ce_revision"] for record in third.records] == ["2"]
    group.restart()
    assert group.take(row(numberOfPages=1), row(numberOfPages=2), row(numberOfPages=3)).records == []


def test_revisions_on_one_page_follow_their_session() -> None:
    """The session and its other contents on one page: the event first, then each distinct content, in one partition."""
    group = Group(PUBLISH)
    collected = group.take(row(pageId="a"), row(pageId="b"), row(pageId="a"), row(pageId="c"), row(2, pageId="a"))
    by_session = [headers(r).get("ce_revision") for r in collected.records if r.key.decode().endswith(suffix(1))]
    assert by_session == [None, "1", "2"]
    assert len(set(event_ids(collected))) == 4
    assert collected.notices == {Notice.OTHER_PAGE: 2}


def test_a_revision_that_is_no_valid_session_is_a_dead_letter_once() -> None:
    """And what it would have been remembered by stays free: once it is repaired it is an event."""
    group = Group(PUBLISH)
    group.take(row(port=1))
    assert [r.destination for r in group.take(row(port=-1)).records] == [Destination.DEAD_LETTERS]
    assert group.take(row(port=-1)).records == []
    assert headers(group.take(row(port=2)).records[0])["ce_revision"] == "1"


def test_a_field_that_changes_with_every_answer_has_a_bound() -> None:
    """So many contents of one identity are told apart; more are counted each time, and neither kept nor published."""
    group = Group(PUBLISH)
    for start in range(0, VERSIONS_MAX, 64):
        group.take(*(row(numberOfPages=start + number) for number in range(64)))
    kept, more = len(group.seen), group.take(row(numberOfPages=VERSIONS_MAX))
    assert kept == VERSIONS_MAX
    assert more.records == []
    assert more.notices == {Notice.TOO_MANY: 1}
    assert len(group.seen) == kept
    assert group.take(row(numberOfPages=VERSIONS_MAX)).notices == {Notice.TOO_MANY: 1}


@pytest.mark.parametrize("choices", [Choices(), PUBLISH])
def test_a_bad_row_does_not_cost_the_good_one_behind_it(choices: Choices) -> None:
    """Two rows of one session on a page, the first no valid session: a dead letter, and the second is the event."""
    group = Group(choices)
    page = [row(port=-1, pageId="a"), row(port=-2, pageId="b"), row(port=3, pageId="c"), row(port=4, pageId="d")]
    collected = group.take(*page)
    assert sum(collected.dead_letters.values()) == 2
    assert event_ids(collected)[0] == regular_id(ROUND, suffix(1))
    assert collected.events == (2 if choices is PUBLISH else 1)
    assert collected.notices == {Notice.OTHER_PAGE: 1}
    group.restart()
    assert group.take(*page).records == []


# --- session-page ---


def test_each_page_row_is_an_event_of_its_own() -> None:
    """`identity = "session-page"`: its id names the page, its key stays the session; no page: the session."""
    group = Group(form=BY_PAGE)
    rows = [row(pageId="C31gBrYJ"), row(pageId="iLUEN9t8"), row(), row(pageId="a longer page id"), row(pageId=None)]
    collected = group.take(*rows, *rows)
    session = regular_id(ROUND, suffix(1))
    expected = [f"{session}:C31gBrYJ", f"{session}:iLUEN9t8", session, f"{session}:a longer page id"]
    assert event_ids(collected) == expected
    assert {record.key.decode() for record in collected.records} == {session}
    assert all("ce_revision" not in headers(record) for record in collected.records)
    assert collected.notices == {}
    group.restart()
    assert group.take(*rows).records == []
    changed = group.take(row(pageId="C31gBrYJ", numberOfPages=2), row(pageId="a longer page id", numberOfPages=2))
    assert changed.records == []
    assert changed.notices == {Notice.CHANGED: 2}


def test_a_page_row_has_revisions_too() -> None:
    """Both choices together: each distinct content of each (session, page) once."""
    group = Group(PUBLISH, BY_PAGE)
    group.take(row(pageId="C31gBrYJ"), row(pageId="iLUEN9t8"))
    collected = group.take(row(pageId="C31gBrYJ", numberOfPages=2), row(pageId="iLUEN9t8", numberOfPages=2))
    session = regular_id(ROUND, suffix(1))
    assert [event_id.partition("#")[0] for event_id in event_ids(collected)] == [
        f"{session}:C31gBrYJ",
        f"{session}:iLUEN9t8",
    ]
    assert [headers(record)["ce_revision"] for record in collected.records] == ["1", "1"]


@pytest.mark.parametrize(("before", "after"), [(SESSION, BY_PAGE), (BY_PAGE, SESSION)])
def test_another_identity_repeats_no_session(before: IdentityForm, after: IdentityForm) -> None:
    """What was published is known by its session id; what comes later has the new identity; and back again."""
    group = Group(PUBLISH, before)
    pages = [row(pageId="C31gBrYJ"), row(pageId="iLUEN9t8"), row(pageId="odd"), v6_row("irregular", DATE, pageId="p")]
    group.take(*pages)
    group.restart(form=after)
    assert group.take(*pages, row(pageId="never"), v6_row("irregular", DATE, pageId="q")).records == []
    later = event_ids(group.take(row(2, pageId="C31gBrYJ"), row(2, pageId="iLUEN9t8")))
    second = regular_id(ROUND, suffix(2))
    if after.by_page:
        assert later == [f"{second}:C31gBrYJ", f"{second}:iLUEN9t8"]
    else:
        assert [event_id.partition("#")[0] for event_id in later] == [second, second]
    group.restart(form=before)
    assert group.take(*pages, row(2, pageId="C31gBrYJ"), row(2, pageId="iLUEN9t8")).records == []


def test_another_version_of_the_api_makes_nothing_look_changed() -> None:
    """v6 and v7 write times differently: checks of one are never held against rows of the other."""
    group = Group(PUBLISH, IdentityForm(basis="v6 json"))
    group.take(row(pageId="a"))
    group.restart(form=IdentityForm(basis="v7 json"))
    v7 = {**row(pageId="a"), "date": "2023-11-14T22:58:20Z"}
    collected = group.take(v7)
    assert (collected.records, collected.notices) == ([], {})


# --- late ---


def late_group(late: Late, revisions: Revisions = Revisions.DROP) -> Group:
    return Group(Choices(revisions, late), kept_from=hour_of(EPOCH) - HOUR_S)


@pytest.mark.parametrize("late", Late)
def test_a_late_session_is_dealt_with_once(late: Late) -> None:
    """Counted and handled once, however often windows show it, crash or not; it never looks fresh."""
    group = late_group(late)
    page = (old_row(), row(2))
    group.take(*page, crash=True)
    collected = group.take(*page)
    assert collected.notices == {Notice.LATE: 1}
    assert collected.examples[Notice.LATE] == old_row()["userSessionId"]
    assert len(collected.records) == (1 if late is Late.DROP else 2)
    assert [session["userSessionId"] for session in collected.sample] == [regular_id(ROUND, suffix(2))]
    group.restart()
    again = group.take(*page)
    assert (again.records, again.notices) == ([], {})


def test_a_late_event_says_so() -> None:
    """`late = "publish"`: its own id, the session's time, and a header; nothing else has that header."""
    collected = late_group(Late.PUBLISH).take(old_row(), row(2))
    assert {headers(r)["ce_id"]: headers(r).get("ce_late") for r in collected.records} == {
        old_row()["userSessionId"]: "true",
        regular_id(ROUND, suffix(2)): None,
    }
    assert collected.dead_letters == {}


def test_a_late_session_outlives_the_window_that_shows_it() -> None:
    """It is remembered in the hour of the window's end, although its own hour is gone."""
    for late in Late:
        group = late_group(late)
        window = Window(EPOCH - 5 * HOUR_S, EPOCH)
        group.take(old_row(), window=window)
        group.seen.apply(group.seen.write(group.take().marks), group.seen.expire(EPOCH))
        assert group.seen.kept_from == EPOCH
        assert group.take(old_row(), window=window).notices == {}, late


def test_a_late_session_that_changes_is_a_revision() -> None:
    """While it is remembered, a published late session is like any other; on the same page too."""
    group = late_group(Late.PUBLISH, Revisions.PUBLISH)
    first = group.take(old_row(numberOfPages=1), old_row(numberOfPages=2))
    assert [(headers(r).get("ce_late"), headers(r).get("ce_revision")) for r in first.records] == [
        ("true", None),
        (None, "1"),
    ]
    assert [headers(r).get("ce_revision") for r in group.take(old_row(numberOfPages=3)).records] == ["2"]


def test_every_content_of_a_late_session_is_a_dead_letter() -> None:
    """`late = "dead-letter"` keeps the bytes of each, on one page too."""
    collected = late_group(Late.DEAD_LETTER).take(old_row(numberOfPages=1), old_row(numberOfPages=2), old_row())
    assert [r.destination for r in collected.records] == [Destination.DEAD_LETTERS] * 3


# --- all of it ---

some_rows = st.builds(
    lambda number, old, **fields: (old_row if old else row)(number, **fields),
    st.integers(0, 2),
    st.booleans(),
    pageId=st.sampled_from([None, "C31gBrYJ", "odd"]),
    numberOfPages=st.integers(1, 3),
    port=st.sampled_from([80, 80, 80, -1]),
)


@given(
    pages=st.lists(st.lists(some_rows, max_size=6), min_size=1, max_size=5),
    revisions=st.sampled_from(Revisions),
    late=st.sampled_from(Late),
    form=st.sampled_from([SESSION, BY_PAGE]),
    crashes=st.booleans(),
)
def test_whatever_is_chosen_nothing_is_lost_and_nothing_comes_twice(
    pages: list[list[dict[str, Any]]], revisions: Revisions, late: Late, form: IdentityForm, crashes: bool
) -> None:
    """Each valid identity is there once, with revisions each content of it; each event id is there once."""
    group = Group(Choices(revisions, late), form, kept_from=hour_of(EPOCH) - HOUR_S)
    ids: list[str] = []
    for page in pages:
        if crashes:
            group.take(*page, crash=True)
        ids += event_ids(group.take(*page))
    assert len(ids) == len(set(ids))
    offered: dict[str, set[str]] = {}
    for one in (one for page in pages for one in page):
        is_late = one["roundId"] < group.kept_from
        if one["port"] > 0 and not (is_late and late is not Late.PUBLISH):
            identity = one["userSessionId"]
            if form.by_page and one["pageId"]:
                identity += f":{one['pageId']}"
            offered.setdefault(identity, set()).add(repr(one))
    published = Counter(event_id.partition("#")[0] for event_id in ids)
    if revisions is Revisions.PUBLISH:
        assert published == {identity: len(contents) for identity, contents in offered.items()}
    else:
        assert published == dict.fromkeys(offered, 1)


def test_candidates_keep_the_order_of_the_page() -> None:
    """Fresh sessions of several rounds are published as the API showed them."""
    group = Group()
    rows = [v6_row(regular_id(ROUND - 60 * n, suffix(n)), DATE - 60 * n) for n in (0, 1, 0, 2, 1)]
    rows[2], rows[4] = v6_row("x", DATE), v6_row(regular_id(ROUND - 60, suffix(9)), DATE - 60)
    assert event_ids(group.take(*rows)) == [one["userSessionId"] for one in rows]
    assert Candidate(1, Place(0, "a"), 0) < Candidate(2, Place(0, "a"), 0)


def test_version_7_is_read_under_its_own_names() -> None:
    """Its ids and contents: the same row is seen, another address is another content."""
    group = Group(PUBLISH)
    first = {"id": regular_id(ROUND, suffix(1)), "roundId": ROUND, "date": "2023-11-14T22:58:20Z", "sourceAddress": "a"}
    for expected, address in ((1, "a"), (0, "a"), (1, "b")):
        page: Page = make_page([{**first, "sourceAddress": address}], form=V7_ROW_FORM)
        collected = group.collector.collect(page, group.seen, make_provenance())
        group.seen.apply(group.seen.write(collected.marks))
        assert len(collected.records) == expected
