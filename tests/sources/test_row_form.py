"""Rows of both versions become the fields of the event schema, whatever is in them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.sources.thousandeyes.row_form import V6_ROW_FORM, V7_ROW_FORM, utc_time

V7_ROW = {
    "agentId": "3fde6422-f119-40e1-ae32-d08a1243c038",
    "committed": "2017-03-22T11:58:44Z",
    "date": "2017-03-22T11:58:42Z",
    "id": "07625:1490529480:aVDViw0i",
    "numberOfPages": 1,
    "organizationName": "T-2 Access Network",
    "pageId": "C31gBrYJ",
    "port": 80,
    "protocol": "http",
    "roundId": 1490529480,
    "sourceAddress": "84.255.241.1",
    "visitedSite": "thousandeyes.com",
}
V6_ROW = {
    "agentId": "3fde6422-f119-40e1-ae32-d08a1243c038",
    "committed": "2017-03-22 11:58:44",
    "date": "2017-03-22 11:58:42",
    "numberOfPages": 1,
    "orgName": "T-2 Access Network",
    "pageId": "C31gBrYJ",
    "permalink": "https://app.thousandeyes.com/view/endpoint-agent/"
    "?roundId=1490529480&scenarioId=sessionDetails&binSize=300000&__aid=7625",
    "port": 80,
    "protocol": "http",
    "roundId": 1490529480,
    "sourceAddr": "84.255.241.1",
    "userSessionId": "07625:1490529480:aVDViw0i",
    "visitedSite": "thousandeyes.com",
}
EVENT = V6_ROW | {"aid": "7625", "committed": "2017-03-22T11:58:44Z", "date": "2017-03-22T11:58:42Z"}

FORMS = [V6_ROW_FORM, V7_ROW_FORM]
MAPPED = {"id", "userSessionId", "sourceAddress", "sourceAddr", "organizationName", "orgName", "date", "committed"}
MAPPED |= {"aid", "permalink", "roundId"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
time_texts = st.from_regex(r"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{0,9})?(Z|z|[+-]\d\d:?\d\d)?\Z") | st.text(
    alphabet="0123456789-:T Z+.", max_size=30
)
rows = st.dictionaries(st.sampled_from(sorted(MAPPED)) | st.text(), json_values | time_texts, max_size=12)


def test_both_versions_become_the_same_event() -> None:
    """The sample of the reference page gives one event, in whichever version it came; unknown fields stay."""
    extra = {"new": {"field": [1]}}
    assert V7_ROW_FORM.normalise(V7_ROW | extra, "7625") == EVENT | extra
    assert V6_ROW_FORM.normalise(V6_ROW | extra, "7625") == EVENT | extra


def test_row_is_changed_and_returned() -> None:
    """No copy is made: a page has a thousand rows."""
    for form in FORMS:
        row = dict(V7_ROW)
        assert form.normalise(row, "7625") is row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2017-03-22T11:58:44Z", "2017-03-22T11:58:44Z"),
        ("2017-03-22 11:58:44", "2017-03-22T11:58:44Z"),
        ("2017-03-22T11:58:44", "2017-03-22T11:58:44Z"),
        ("2017-03-22t11:58:44z", "2017-03-22T11:58:44Z"),
        ("2017-03-22T11:58:44.5Z", "2017-03-22T11:58:44.5Z"),
        ("2017-03-22 11:58:44.123456789", "2017-03-22T11:58:44.123456789Z"),
        ("2017-03-22T13:58:44+02:00", "2017-03-22T11:58:44Z"),
        ("2017-03-22T23:58:44.000100-0530", "2017-03-23T05:28:44.000100Z"),
        ("2017-03-22T11:58:44+00:00", "2017-03-22T11:58:44Z"),
        # No times: they stay, and fail the schema.
        ("2017-02-30 11:58:44", "2017-02-30 11:58:44"),
        ("2017-03-22 24:00:01", "2017-03-22 24:00:01"),
        ("2017-03-22T11:58:44+99:00", "2017-03-22T11:58:44+99:00"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00"),
        ("2017-03-22", "2017-03-22"),
        ("22/03/2017 11:58:44", "22/03/2017 11:58:44"),
        ("\uff12017-03-22 11:58:44", "\uff12017-03-22 11:58:44"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_times(text: str, expected: str) -> None:
    """Times come out in UTC with their fraction untouched; what is no time comes out as it was."""
    for form in FORMS:
        row = form.normalise({"date": text, "committed": text}, "1")
        assert (row["date"], row["committed"]) == (expected, expected)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
)
def test_offsets_keep_the_moment(local: datetime, offset_min: int) -> None:
    """A time with an offset is the same moment after it was written in UTC."""
    moment = local.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    assert datetime.fromisoformat(utc_time(moment.isoformat())) == moment.astimezone(UTC)


@pytest.mark.parametrize(
    ("row", "aid", "expected"),
    [
        ({}, "7625", {"aid": "7625"}),
        ({"aid": 7625}, "7625", {"aid": "7625"}),
        ({"aid": None}, "7625", {"aid": "7625"}),
        ({"aid": "own"}, "7625", {"aid": "own"}),
        ({"aid": ["odd"]}, "7625", {"aid": ["odd"]}),
        ({"roundId": "last"}, "7625", {"aid": "7625", "roundId": "last"}),
        ({"roundId": True}, "7625", {"aid": "7625", "roundId": True}),
        ({"roundId": 60, "permalink": "own"}, "7625", {"aid": "7625", "roundId": 60, "permalink": "own"}),
    ],
)
def test_added_fields(row: dict[str, Any], aid: str, expected: dict[str, Any]) -> None:
    """Account group and permalink are added where they lack and can be known."""
    for form in FORMS:
        assert form.normalise(copy.deepcopy(row), aid) == expected


def test_permalink_escapes_an_odd_account_group() -> None:
    """An account group that is no plain number cannot add parameters to the link."""
    row = V7_ROW_FORM.normalise({"roundId": 60}, "1&x=2")
    assert row["permalink"].endswith("&__aid=1%26x%3D2")


@given(rows, st.text(max_size=8), st.sampled_from(FORMS))
def test_any_row_survives(row: dict[str, Any], aid: str, form: Any) -> None:
    """Whatever a row holds, nothing is raised and no unknown field is lost or changed."""
    before = copy.deepcopy(row)
    after = form.normalise(row, aid)
    for name, value in before.items():
        if name not in MAPPED:
            assert repr(after[name]) == repr(value)
    if form is V7_ROW_FORM and "id" in before:
        assert repr(after["userSessionId"]) == repr(before["id"])
        assert "id" not in after


@given(rows, st.text(max_size=8), st.sampled_from(FORMS))
def test_normalising_twice_is_normalising_once(row: dict[str, Any], aid: str, form: Any) -> None:
    """A row that was normalised stays as it is."""
    once = form.normalise(row, aid)
    assert repr(form.normalise(copy.deepcopy(once), aid)) == repr(once)


@pytest.mark.parametrize("row", [None, "text", 7, ["list"], 1.5, True])
def test_what_is_no_object_stays(row: Any) -> None:
    """An element of a page that is no object comes back as it is."""
    for form in FORMS:
        assert form.normalise(row, "1") is row
