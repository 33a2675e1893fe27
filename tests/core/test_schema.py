"""`SessionSchema` gives the verdict that the ``jsonschema`` package gives, for valid and for broken sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.core.schema import MESSAGE_CHARACTERS_MAX, SessionSchema
from tests.core.pages import SCHEMA, SCHEMA_BYTES

CHECKER = jsonschema.FormatChecker(formats=())


@CHECKER.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    """The oracle knows the format only with another package; the schema's pattern checks the form besides."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


ORACLE = jsonschema.Draft202012Validator(orjson.loads(SCHEMA_BYTES), format_checker=CHECKER)
FIELDS = sorted(orjson.loads(SCHEMA_BYTES)["properties"])

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
times = st.datetimes().map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"))
valid_sessions = st.fixed_dictionaries(
    {
        "aid": text.filter(bool),
        "userSessionId": text.filter(bool),
        "roundId": st.integers(0, 2**40),
        "date": times,
    },
    optional={
        "agentId": text.filter(bool),
        "committed": times,
        "experienceScore": st.floats(0, 1) | st.integers(0, 1),
        "numberOfPages": st.integers(0, 1000) | st.just(3.0),
        "orgName": text,
        "pageId": text,
        "permalink": text,
        "port": st.integers(0, 65535),
        "protocol": text,
        "sourceAddr": text,
        "visitedSite": text,
        "somethingNew": text | st.integers(),
    },
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    st.floats(-1, 2),
    text,
    st.just("x" * 1025),
    st.lists(st.integers(), max_size=1),
    st.sampled_from(
        ["2023-11-14 22:00:00", "2023-11-14T22:00:00", "2023-11-14T22:00:00+00:00", "2023-02-30T22:00:00Z"]
    ),
)


@given(session=valid_sessions)
def test_valid_sessions_are_valid(session: dict[str, Any]) -> None:
    """Whatever the schema allows passes, one by one and as a page."""
    assert ORACLE.is_valid(session)
    assert SCHEMA.violation(session) is None
    assert SCHEMA.all_valid([session, session])


@given(session=valid_sessions, field=st.sampled_from(FIELDS), value=values, removed=st.booleans())
@example(
    session={"aid": "1", "userSessionId": "x", "roundId": 0, "date": "2023-02-28T22:00:00Z"},
    field="date",
    value="2023-02-30T22:00:00Z",
    removed=False,
)
def test_broken_sessions_get_the_same_verdict(session: dict[str, Any], field: str, value: Any, removed: bool) -> None:
    """One field changed or removed: both validators say the same, and the page is as good as its worst row."""
    broken = {name: v for name, v in session.items() if name != field} if removed else session | {field: value}
    verdict = ORACLE.is_valid(broken)
    violation = SCHEMA.violation(broken)
    assert (violation is None) == verdict
    assert SCHEMA.all_valid([session, broken]) == verdict
    if violation is not None:
        assert violation.pointer in ("", f"/{field}")
        assert 0 < len(violation.message) <= MESSAGE_CHARACTERS_MAX


def test_the_optional_fields_are_the_others() -> None:
    """Fields that the schema knows and does not require."""
    assert set(FIELDS) - {"aid", "userSessionId", "roundId", "date"} == SCHEMA.optional_fields


@pytest.mark.parametrize("document", [b"", b'{"$id":"x","$schema":"x","type":7,"properties":{},"required":[]}'])
def test_a_document_that_is_no_schema_is_refused(document: bytes) -> None:
    """A broken schema file is found at start."""
    with pytest.raises(ValueError):
        SessionSchema(document)
