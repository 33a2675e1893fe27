"""What every answer tells in its headers, whatever its status: the quota and the server's clock.

Rule: a header that does not parse is a header that is not there.
Source: https://developer.cisco.com/docs/thousandeyes/rate-limits/ (``Reset`` is an epoch in seconds, UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from collector.core.model import Answer, EpochS, Quota

_DIGITS_MAX = 12
"""More digits than any quota or epoch of seconds until the year 33658."""


def read_answer(status: int, headers: Mapping[str, str]) -> Answer:
    """Status, quota and server time of one answer.

    Args:
        status: HTTP status; 0 when no answer arrived.
        headers: names in lower case, or a mapping that ignores case.
    """
    return Answer(status, _quota(headers), _date(headers.get("date")))


def _quota(headers: Mapping[str, str]) -> Quota | None:
    limit = _count(headers.get("x-organization-rate-limit-limit"))
    remaining = _count(headers.get("x-organization-rate-limit-remaining"))
    if limit is None or remaining is None:
        return None
    reset = _count(headers.get("x-organization-rate-limit-reset"))
    return Quota(limit, remaining, None if reset is None else EpochS(float(reset)))


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None


def _date(text: str | None) -> EpochS | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return EpochS(moment.timestamp())
