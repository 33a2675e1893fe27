"""How times look in answers: epoch seconds to the texts of v7 and v6.

One rule: everything is UTC with a resolution of one second. Minutes are remembered, because a page has a thousand times
and few minutes.
"""

import time
from email.utils import formatdate
from functools import lru_cache

_SECOND_Z = tuple(f"{second:02d}Z" for second in range(60))
_SECOND = tuple(f"{second:02d}" for second in range(60))
_MINUTES_REMEMBERED = 8192


@lru_cache(maxsize=_MINUTES_REMEMBERED)
def _minute_t(minute: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(minute * 60))


@lru_cache(maxsize=_MINUTES_REMEMBERED)
def _minute_space(minute: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:", time.gmtime(minute * 60))


def iso_z(epoch_s: int) -> str:
    """`2022-07-17T22:00:54Z`, as v7 writes times."""
    return _minute_t(epoch_s // 60) + _SECOND_Z[epoch_s % 60]


def spaced(epoch_s: int) -> str:
    """`2022-07-17 22:00:54`, as v6 writes times."""
    return _minute_space(epoch_s // 60) + _SECOND[epoch_s % 60]


def http_date(epoch_s: float) -> str:
    """The value of a `Date` header."""
    return formatdate(epoch_s, usegmt=True)
