"""Rows, pages and the parts that read them, for the tests of the core and of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import orjson

from collector.core.collect import PageCollector
from collector.core.event import EventForm, EventKey, Provenance, RecordTimestamp
from collector.core.model import Answer, EpochS, Page, Quota, RowForm, Window
from collector.core.schema import SessionSchema
from collector.core.seen import HOUR_S
from collector.sources.thousandeyes.row_form import V6_ROW_FORM

AID = "7625"
EPOCH = 1_700_002_800
"""Where tests begin, seconds since 1970: the start of an hour."""

assert EPOCH % HOUR_S == 0

SCHEMA_BYTES = (files("collector") / "schemas" / "user-session.v1.json").read_bytes()
SCHEMA = SessionSchema(SCHEMA_BYTES)
VALUE_BYTES_MAX = 20_000


def regular_id(round_id: int, suffix: str, aid: str = AID) -> str:
    """A session id of the published form."""
    return f"{aid:0>5}:{round_id}:{suffix}"


def suffix(number: int) -> str:
    """The eight characters at the end of the id of session ``number``."""
    return f"s{number:07}"


def v6_time(time_s: float) -> str:
    """A time as version 6 writes it."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def v6_row(identifier: str, date_s: int, round_id: int | None = None, **fields: Any) -> dict[str, Any]:
    """A row with what the schema asks for, the rest by choice."""
    return {
        "userSessionId": identifier,
        "roundId": date_s // 60 * 60 if round_id is None else round_id,
        "date": v6_time(date_s),
        **fields,
    }


def make_page(
    rows: Sequence[Any],
    continuation: str | None = None,
    *,
    date: float | None = None,
    quota: Quota | None = None,
    form: RowForm = V6_ROW_FORM,
) -> Page:
    """A page of these rows; their source bytes are what orjson makes of them now, before anyone changes them."""
    sources = [_json(row) for row in rows]
    answer = Answer(200, quota, None if date is None else EpochS(float(int(date))))
    return Page(rows, continuation, answer, form, sources.__getitem__, sum(map(len, sources)))


def make_collector(
    key: EventKey = EventKey.USER_SESSION_ID,
    timestamp: RecordTimestamp = RecordTimestamp.SESSION,
    value_bytes_max: int = VALUE_BYTES_MAX,
) -> PageCollector:
    """A collector with the schema of the release."""
    return PageCollector(SCHEMA, EventForm(SCHEMA.identifier, key, timestamp), value_bytes_max)


def make_provenance(window: Window | None = None, collected_at: float = EPOCH + 0.25, aid: str = AID) -> Provenance:
    """Where and when a page was collected."""
    return Provenance("Example org/EU", aid, "hot", window or Window(EPOCH - HOUR_S, EPOCH), EpochS(collected_at))


def _json(row: Any) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # a lone surrogate, as a decoder of JSON escapes lets it through
        return repr(row).encode("ascii", "backslashreplace")
