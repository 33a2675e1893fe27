"""What an event stands for, and when two rows of it differ: identity, content check, page check.

Rule: the same row gives the same values in every process, release and machine; nothing here depends on hash seeds.

The content of a row is what the reference documents of a session (`RowForm.content_fields`), not what an API may add
one day: else that day would make every known session look changed. It is held as a CRC-32 of its values, so a change
is overlooked once in 2**32 changes. That harms nobody: the session itself was published, and a million changes a day
overlook one in eleven years. Publishing the same content twice is impossible, because the same content gives the same
check. Which of two kinds a difference is (another page, other content) rests on 16 bits of a CRC-32 of ``pageId``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from zlib import crc32

import orjson

from collector.core.model import Row

PAGE_FIELD = "pageId"
"""The same name in both versions of the API."""

CHECK_VERSION = 1
"""Part of `IdentityForm.tag`: another way of checking content makes checks of before incomparable."""

PAGE_BITS = 16
CONTENT_BITS = 32
_PAGE_MASK = (1 << PAGE_BITS) - 1


class Identity(StrEnum):
    """What one event stands for: a session, or each (session, page) row of the list."""

    SESSION = "session"
    SESSION_PAGE = "session-page"


class Revisions(StrEnum):
    """What becomes of changed content of a published session: counted only, or published as an event of its own."""

    DROP = "drop"
    PUBLISH = "publish"


class Late(StrEnum):
    """What becomes of a session that is older than the ids that are kept."""

    DEAD_LETTER = "dead-letter"
    PUBLISH = "publish"
    DROP = "drop"


class Notice(StrEnum):
    """What is never done in silence; a closed set, also a metric's label.

    ``too_many``: another content of a session that has `VERSIONS_MAX` already; counted each time it is shown.
    """

    LATE = "late"
    OTHER_PAGE = "other_page"
    CHANGED = "changed"
    TOO_MANY = "too_many"


VERSIONS_MAX = 256
"""Contents that are told apart of one identity: a value that changes with every answer may not fill memory or topic."""


@dataclass(frozen=True, slots=True)
class IdentityForm:
    """Under which choices ids and checks are remembered.

    Args:
        identity: what an event stands for.
        basis: where rows come from, such as ``v7 json``: checks are comparable within one basis only.
    """

    identity: Identity = Identity.SESSION
    basis: str = ""

    @property
    def by_page(self) -> bool:
        """Whether each page row is an event of its own."""
        return self.identity is Identity.SESSION_PAGE

    @property
    def tag(self) -> str:
        """Stands at the beginning of what is durable, the identity first."""
        return f"{self.identity} {CHECK_VERSION} {self.basis}".rstrip()


def identity_of(session_id: str, page: str | None) -> str:
    """The identity of a page row, which is its event id too; the session id when the row has no page."""
    return session_id if page is None else f"{session_id}:{page}"


def page_of(row: Row) -> str | None:
    """The row's ``pageId``; None when it has none."""
    page = row.get(PAGE_FIELD)
    return page if type(page) is str and page else None


def page_check(page: object) -> int:
    """16 bits that tell one ``pageId`` from another; 0 for none."""
    if type(page) is not str or not page:
        return 0
    return crc32(page.encode("utf-8", "surrogatepass")) & _PAGE_MASK


@lru_cache(maxsize=16)
def content_check(fields: tuple[str, ...]) -> Callable[[Row], int]:
    """The function that gives 32 bits of a row's content, in some 0.4 microseconds.

    Args:
        fields: the names of the content's fields, two or more, in an order that never changes.
    """
    take, dumps, crc, nothing = itemgetter(*fields), orjson.dumps, crc32, dict.fromkeys(fields)

    def check(row: Row) -> int:
        try:
            return crc(dumps(take(row)))
        except (KeyError, TypeError):
            pass
        complete = {**nothing, **row}  # what lacks and what is null are the same
        try:
            return crc(dumps(take(complete)))
        except TypeError:  # what JSON cannot hold: half a surrogate pair, integers beyond 64 bits
            return _unusual(take(complete))

    return check


def _unusual(values: object) -> int:
    try:
        return crc32(repr(values).encode("utf-8", "surrogatepass"))
    except RecursionError:  # no event can hold it either: the schema refuses it, and it is remembered by its bytes
        return 0
