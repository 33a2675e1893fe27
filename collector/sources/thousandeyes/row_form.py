"""Turns a row of either API version into the fields of ``schemas/user-session.v1.json``.

Rule: this runs for every fresh row, so the usual row takes about a microsecond; and it never raises: a value that it
cannot read stays as it is and fails the schema, which leads the row to the dead letters.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from collector.core.model import Row, RowForm

_OTHER_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?(?:([Zz])|([+-]\d\d):?(\d\d))?", flags=re.ASCII
)
"""ISO 8601 with a fraction, an offset or no zone at all: all dates without a zone are UTC."""

_PERMALINK_START = "https://app.thousandeyes.com/view/endpoint-agent/?roundId="
_PERMALINK_END = "&scenarioId=sessionDetails&binSize=300000&__aid="
"""As in the sample of https://developer.thousandeyes.com/v6/endpoint/ (endpoint user session list)."""

_PERMALINKS_KEPT = 256
"""One is the same for a whole round: the rounds of the pages in hand, 170 bytes each."""


def normalise_v7(row: Row, aid: str) -> Row:
    """Renames what v7 renamed, then does what v6 rows need too. Changes and returns the row.

    Args:
        row: as the API wrote it.
        aid: account group that was asked for.
    """
    if type(row) is not dict:
        return row
    if "id" in row:
        row["userSessionId"] = row.pop("id")
    if "sourceAddress" in row:
        row["sourceAddr"] = row.pop("sourceAddress")
    if "organizationName" in row:
        row["orgName"] = row.pop("organizationName")
    return normalise_v6(row, aid)


def normalise_v6(row: Row, aid: str) -> Row:
    """Writes the times in RFC 3339 UTC and adds ``aid`` and ``permalink`` where they lack. Changes and returns the row.

    Args:
        row: as the API wrote it.
        aid: account group that was asked for.
    """
    if type(row) is not dict:
        return row
    # The test for the usual form stands here and not in `utc_time`: a call costs more than the test.
    time = row.get("date")
    if type(time) is str and not (len(time) == 20 and time[10] == "T" and time[19] == "Z"):
        row["date"] = utc_time(time)
    time = row.get("committed")
    if type(time) is str and not (len(time) == 20 and time[10] == "T" and time[19] == "Z"):
        row["committed"] = utc_time(time)
    known_aid = row.get("aid")
    if known_aid is None:
        row["aid"] = aid
    elif type(known_aid) is int:
        row["aid"] = str(known_aid)
    if row.get("permalink") is None and type(round_id := row.get("roundId")) is int:
        row["permalink"] = _permalink(round_id, aid)
    return row


@lru_cache(maxsize=_PERMALINKS_KEPT)
def _permalink(round_id: int, aid: str) -> str:
    return f"{_PERMALINK_START}{round_id}{_PERMALINK_END}{quote(aid, safe='')}"


def utc_time(text: str) -> str:
    """A time in the form ``YYYY-MM-DDTHH:MM:SS[.fraction]Z``; a text that is no time stays as it is.

    Args:
        text: ISO 8601 with ``T`` or a space; without a zone it is UTC.
    """
    if len(text) == 19 and text[10] == " " and text[4] == text[7] == "-" and text[13] == text[16] == ":":
        # Every time of v6 looks like this; the pattern below would take three times as long.
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return text
        return f"{text[:10]}T{text[11:]}Z"
    match = _OTHER_TIME.fullmatch(text)
    if match is None:
        return text
    day, time, fraction, _, offset_hours, offset_minutes = match.groups()
    fraction = fraction or ""
    try:
        if offset_hours is None:
            datetime.fromisoformat(f"{day}T{time}")
            return f"{day}T{time}{fraction}Z"
        moment = datetime.fromisoformat(f"{day}T{time}{offset_hours}:{offset_minutes}").astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{moment.replace(tzinfo=None).isoformat()}{fraction}Z"


_CONTENT = (
    *("agentId", "committed", "date", "experienceScore", "numberOfPages"),
    *("pageId", "port", "protocol", "visitedSite"),
)
"""All documented fields of a row but the ids (session, round), what follows from them (``permalink``), and two that
have another name in each version."""

V7_ROW_FORM = RowForm("id", normalise_v7, (*_CONTENT, "organizationName", "sourceAddress"))
V6_ROW_FORM = RowForm("userSessionId", normalise_v6, (*_CONTENT, "orgName", "sourceAddr"))
