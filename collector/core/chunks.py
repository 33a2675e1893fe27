"""The durable form of what was published: marks, and the chunks that hold them.

Rule: what is written says under which choices it was written (`IdentityForm.tag`), so that whoever reads it under
others takes it for what it is. A chunk is its head, then entries one after the other:

    head        FFFF 02 <length> <tag>
    regular     <second of the hour> <suffix, 8> <page check, 2> <content check, 4>         identity "session"
                <second of the hour> <suffix, 8> <page, 8> <content check, 4>               identity "session-page"
    other id    FFFF 03 <length> <page check, 2> <content check, 4> <characters of the session id, 2> <identity>
    digest      FFFF 01 <length> <digest>

A chunk without a head is of the first format: regular entries without checks (10 bytes), other ids as FFFF 00.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from collector.core.identity import CONTENT_BITS, Identity, IdentityForm

HOUR_S = 3600
"""Ids are expired, and their chunks named, by the hour of their round: few keys, few tombstones."""

KEEP_MARGIN_S = HOUR_S
"""Ids outlive the last window that can show them by this much: a session's round and date need not agree."""

SUFFIX_CHARACTERS = 8
PAGE_CHARACTERS = 8
"""What ids and pages look like in every published sample; others are kept whole."""

CONTENT_MASK = (1 << CONTENT_BITS) - 1
NO_PAGE = b"\xff" * PAGE_CHARACTERS
"""Stands where a page would; no ASCII page can be it."""

_BY_SESSION = Struct(">H8sHI")
_BY_PAGE = Struct(">H8s8sI")
_CHECK_AND_CONTENT = Struct(">HI")
_PAGE_AND_CONTENT = Struct(">8sI")
_REGULAR_BYTES = {Identity.SESSION: _BY_SESSION.size - 2, Identity.SESSION_PAGE: _BY_PAGE.size - 2}
"""A regular entry without its second."""

_OTHER = Struct(">HBH")
_CHECKS = Struct(">HIH")
_NO_SECOND = 0xFFFF
_BARE_ID, _DIGEST, _HEAD, _ID, _REGULAR = range(5)


class Place(NamedTuple):
    """Where an identity is remembered.

    Args:
        time_s: its round for a regular id, its hour for any other.
        key: the characters behind the round of a regular id (and its page's); any other identity whole.
        session_characters: 0 for a regular id; else how much of ``key`` is the session id.
    """

    time_s: int
    key: str
    session_characters: int = 0


class OtherId(NamedTuple):
    """An identity kept whole: checks (page check << 32 | content check), and how much of it is the session id."""

    identity: str
    checks: int
    session_characters: int


@dataclass(slots=True)
class Marks:
    """Rows about to be remembered. Built by the caller, made durable with the records, then applied.

    Attributes:
        regular: round -> key and checks (page check << 32 | content check) of regular ids, as in `Place`.
        other_ids: hour -> ids of any other form.
        digests: hour -> digests of rows that became dead letters, or were dropped.
    """

    regular: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    other_ids: dict[int, list[OtherId]] = field(default_factory=dict)
    digests: dict[int, list[bytes]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.regular or self.other_ids or self.digests)

    def add(self, place: Place, checks: int) -> None:
        """Remember a content of an identity."""
        if place.session_characters:
            entry = OtherId(place.key, checks, place.session_characters)
            self.other_ids.setdefault(place.time_s, []).append(entry)
        else:
            self.regular.setdefault(place.time_s, []).append((place.key, checks))

    def hours(self) -> list[int]:
        """The hours that these marks belong to, ascending."""
        return sorted({hour_of(round_id) for round_id in self.regular} | self.other_ids.keys() | self.digests.keys())

    def encode(self, hour: int, form: IdentityForm) -> bytes:
        """The entries of one hour, without a head."""
        parts: list[bytes] = []
        for round_id, entries in self.regular.items():
            if hour_of(round_id) != hour:
                continue
            second = round_id - hour
            if form.by_page:
                for key, checks in entries:
                    suffix, page = key[:SUFFIX_CHARACTERS].encode(), key[SUFFIX_CHARACTERS:].encode() or NO_PAGE
                    parts.append(_BY_PAGE.pack(second, suffix, page, checks & CONTENT_MASK))
            else:
                pack = _BY_SESSION.pack
                for key, checks in entries:
                    parts.append(pack(second, key.encode(), checks >> CONTENT_BITS, checks & CONTENT_MASK))
        for identity, checks, session_characters in self.other_ids.get(hour, ()):
            text = identity.encode("utf-8", "surrogatepass")
            parts.append(_OTHER.pack(_NO_SECOND, _ID, _CHECKS.size + len(text)))
            parts.append(_CHECKS.pack(checks >> CONTENT_BITS, checks & CONTENT_MASK, session_characters))
            parts.append(text)
        parts.extend(_OTHER.pack(_NO_SECOND, _DIGEST, len(value)) + value for value in self.digests.get(hour, ()))
        return b"".join(parts)


@dataclass(slots=True)
class Chunk:
    """A chunk as it was read.

    Attributes:
        tag: of the choices it was written under; None for the first format.
        marks: what it holds, when it was written under the reader's choices; else its digests only.
        former_regular: round -> suffixes of regular session ids that were published under other choices.
        former_ids: any other session ids that were.
    """

    tag: str | None
    marks: Marks = field(default_factory=Marks)
    former_regular: dict[int, list[bytes]] = field(default_factory=dict)
    former_ids: list[str] = field(default_factory=list)


def hour_of(time_s: float) -> int:
    """The start of the hour that a time belongs to, in seconds."""
    return int(time_s) // HOUR_S * HOUR_S


def head(form: IdentityForm) -> bytes:
    """What a chunk begins with."""
    tag = form.tag.encode()
    return _OTHER.pack(_NO_SECOND, _HEAD, len(tag)) + tag


def decode(value: bytes, hour: int, form: IdentityForm) -> Chunk:
    """Read a chunk of one hour.

    Raises:
        ValueError: it is none, or was written in a way that this version does not know.
    """
    chunk = Chunk(None)
    marks, ours = chunk.marks, form.tag.encode()
    for kind, second, payload in _entries(value):
        if kind == _HEAD:
            chunk.tag = payload.decode()
        elif kind == _DIGEST:
            marks.digests.setdefault(hour, []).append(payload)
        elif kind == _BARE_ID:
            chunk.former_ids.append(payload.decode("utf-8", "surrogatepass"))
        elif kind == _ID:
            page, content, session_characters = _CHECKS.unpack_from(payload)
            identity = payload[_CHECKS.size :].decode("utf-8", "surrogatepass")
            if chunk.tag == form.tag:
                other = OtherId(identity, page << CONTENT_BITS | content, session_characters)
                marks.other_ids.setdefault(hour, []).append(other)
            else:
                chunk.former_ids.append(identity[:session_characters])
        elif chunk.tag is None or chunk.tag.encode() != ours:
            chunk.former_regular.setdefault(hour + second, []).append(payload[:SUFFIX_CHARACTERS])
        else:
            marks.regular.setdefault(hour + second, []).append(_regular(payload, form))
    return chunk


def _regular(payload: bytes, form: IdentityForm) -> tuple[str, int]:
    suffix = payload[:SUFFIX_CHARACTERS].decode("ascii")
    if form.by_page:
        page, content = _PAGE_AND_CONTENT.unpack_from(payload, SUFFIX_CHARACTERS)
        return suffix if page == NO_PAGE else suffix + page.decode("ascii"), content
    check, content = _CHECK_AND_CONTENT.unpack_from(payload, SUFFIX_CHARACTERS)
    return suffix, check << CONTENT_BITS | content


def _entries(value: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The entries of a chunk: kind (`_REGULAR` for those without a head of their own), second, payload."""
    position, end, regular_bytes = 0, len(value), SUFFIX_CHARACTERS
    while position < end:
        second = int.from_bytes(value[position : position + 2], "big")
        kind, start, length = _REGULAR, position + 2, regular_bytes
        if second == _NO_SECOND and position + _OTHER.size <= end:
            _, kind, length = _OTHER.unpack_from(value, position)
            start = position + _OTHER.size
        position = start + length
        if position > end or (kind == _ID and length < _CHECKS.size):
            raise ValueError("a chunk of seen sessions is broken off")
        payload = value[start:position]
        if kind == _HEAD:
            identity = payload.decode().partition(" ")[0]
            regular_bytes = _REGULAR_BYTES[Identity(identity)]
        elif not _BARE_ID <= kind <= _REGULAR:
            raise ValueError(f"a chunk of seen sessions has an entry of kind {kind}, which this version does not know")
        yield kind, second, payload
