"""Time ranges of a request: the v6 and the v7 way to ask for them, as one closed range of epoch seconds.

One rule: parsing takes the server's time as an argument and either returns a range or raises `RangeRejected`.
Sources: https://developer.cisco.com/docs/thousandeyes/v6/time-ranges and the v7 reference's filter endpoints.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

_WINDOW = re.compile(r"(\d{1,12})([smhdw]?)", re.ASCII)
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_V7_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_V6_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d", re.ASCII)


class RangeRejected(Exception):
    """The parameters of a range are wrong or contradict each other. `field` names the one to blame."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range of epoch seconds."""

    start: int
    end: int
    explicit: bool
    """Whether the request named a range; only then the answer repeats it."""


def last_round(now: float, round_s: int, which: Literal["previous", "current"]) -> Range:
    """The range of 'the last round': the last one that is over, or the one that is running."""
    current = int(now // round_s) * round_s
    start = current - round_s if which == "previous" else current
    return Range(start, start + round_s - 1, explicit=False)


def parse_v6(query: Mapping[str, str], now: float) -> Range | None:
    """Reads `window`, `from` and `to`.

    Args:
        query: the query parameters, decoded; `from` may hold a T or a space.
        now: the server's time, epoch seconds; the end of a window, and what `to` defaults to.

    Returns:
        The range, or None when the request names none.

    Raises:
        RangeRejected: `window` next to `from` or `to`, `to` without `from`, or a value in no accepted form.
    """
    window, start, end = query.get("window"), query.get("from"), query.get("to")
    if window is not None and (start is not None or end is not None):
        raise RangeRejected("window", "window cannot be combined with from or to")
    if window is not None:
        return _from_window(window, now)
    if start is None:
        if end is not None:
            raise RangeRejected("to", "to cannot be used without from")
        return None
    return _ordered(_v6_time("from", start), int(now) if end is None else _v6_time("to", end), "from")


def parse_v7(
    query: Mapping[str, str], now: float, *, window_with_start: Literal["reject", "ignore-window"]
) -> Range | None:
    """Reads `window`, `startDate` and `endDate`.

    Args:
        query: the query parameters, decoded.
        now: the server's time, epoch seconds; the end of a window, and what `endDate` defaults to.
        window_with_start: what happens to a window next to startDate or endDate, which no source states.

    Returns:
        The range, or None when the request names none. Fractions of a second are rounded into the range, as rows have
        whole seconds.

    Raises:
        RangeRejected: the parameters contradict each other, or a value is in no accepted form.
    """
    window, start, end = query.get("window"), query.get("startDate"), query.get("endDate")
    if window is not None and (start is not None or end is not None):
        if window_with_start == "reject":
            raise RangeRejected("window", "window cannot be combined with startDate or endDate")
        window = None
    if window is not None:
        return _from_window(window, now)
    if start is None:
        if end is not None:
            raise RangeRejected("endDate", "endDate cannot be used without startDate")
        return None
    end_s = now if end is None else _v7_time("endDate", end)
    return _ordered(math.ceil(_v7_time("startDate", start)), math.floor(end_s), "startDate")


def _from_window(text: str, now: float) -> Range:
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise RangeRejected("window", "window must match [0-9]+[smhdw]?")
    end = int(now)
    return Range(max(0, end - int(match[1]) * _UNIT_S[match[2]]), end, explicit=True)


def _ordered(start: int, end: int, field: str) -> Range:
    if start > end:
        raise RangeRejected(field, "the range ends before it starts")
    return Range(start, end, explicit=True)


def _v6_time(field: str, text: str) -> int:
    if _V6_TIME.fullmatch(text) is None:
        raise RangeRejected(field, f"{field} must match YYYY-mm-ddTHH:MM:SS")
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise RangeRejected(field, f"{field} is no date") from error


def _v7_time(field: str, text: str) -> float:
    if _V7_TIME.fullmatch(text) is None:
        raise RangeRejected(field, f"{field} must be an ISO 8601 date-time with an offset")
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise RangeRejected(field, f"{field} is no date") from error
