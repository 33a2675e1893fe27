"""Which sessions of one account group were published already: exact, and small enough for millions.

Rule: membership is decided by the session id alone, and memory changes only through `apply`, which the caller calls
after the transaction that holds `Marks.changes` is known to be committed.

A session id normally reads ``<aid, five digits>:<roundId>:<8 ASCII characters>``; then account group and round are
implied and 8 bytes are left. Any other id is kept whole, so it is exact too. Rows that could not become an event are
remembered by the digest of their bytes.

Invariants:
    - an id is in memory if and only if a committed change holds it, and its hour is not older than `kept_from`;
    - the newest rounds are sets of strings (fast to add to), older ones sorted arrays of integers (8 bytes an id);
    - the durable form is one record an (hour, chunk); a chunk is written again until it is full, so that many small
      pages leave few keys behind.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct

from collector.core.model import StateChange

HOUR_S = 3600
"""Ids are expired, and their chunks named, by the hour of their round: few keys, few tombstones."""

CHUNK_BYTES = 8_192
"""A chunk is written again with the ids of the next page until it holds this much: about 800 ids."""

OPEN_HOURS = 2
"""Hours whose last chunk stays in memory to be written again: the current one and the one that a walk begins in."""

HOT_ROUNDS = 2
"""Newest rounds kept as sets; a round is 60 s, and sessions arrive seconds after they took place."""

HOT_IDS_MAX = 4_096
"""A set larger than this (and than an eighth of its round's array) moves into the array: 100 bytes an id become 8."""

SUFFIX_BYTES = 8
_SUFFIX = Struct(">H8s")
_OTHER = Struct(">HBH")
_NO_SECOND = 0xFFFF
_ID, _DIGEST = 0, 1


def digest(source_bytes: bytes) -> bytes:
    """What a row that could not become an event is remembered by: 16 bytes, collisions are out of reach."""
    return blake2b(source_bytes, digest_size=16).digest()


def hour_of(time_s: float) -> int:
    """The start of the hour that a time belongs to, in seconds."""
    return int(time_s) // HOUR_S * HOUR_S


@dataclass(frozen=True, slots=True)
class Known:
    """How to look up the ids of one round: ``prefix`` of its regular ids, and what is known of them."""

    prefix: str
    length: int
    hot: set[str] | frozenset[str]
    frozen: array[int]

    def has(self, suffix: str) -> bool:
        """Whether the id with this suffix (8 ASCII characters) was published."""
        if suffix in self.hot:
            return True
        frozen = self.frozen
        if not frozen:
            return False
        number = int.from_bytes(suffix.encode(), "big")
        index = bisect_left(frozen, number)
        return index < len(frozen) and frozen[index] == number


@dataclass(slots=True)
class Marks:
    """Sessions about to be published. Built by the caller, made durable with the records, then applied.

    Attributes:
        regular: round -> suffixes of regular ids.
        other_ids: hour -> ids of any other form.
        digests: hour -> digests of rows that became dead letters.
    """

    regular: dict[int, list[str]] = field(default_factory=dict)
    other_ids: dict[int, list[str]] = field(default_factory=dict)
    digests: dict[int, list[bytes]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.regular or self.other_ids or self.digests)

    def hours(self) -> list[int]:
        """The hours that these marks belong to, ascending."""
        return sorted({hour_of(round_id) for round_id in self.regular} | self.other_ids.keys() | self.digests.keys())

    def encode(self, hour: int) -> bytes:
        """The durable form of one hour's marks."""
        parts: list[bytes] = []
        for round_id, suffixes in self.regular.items():
            if hour_of(round_id) == hour:
                second = round_id - hour
                parts.extend(_SUFFIX.pack(second, suffix.encode()) for suffix in suffixes)
        for identifier in self.other_ids.get(hour, ()):
            text = identifier.encode("utf-8", "surrogatepass")
            parts.append(_OTHER.pack(_NO_SECOND, _ID, len(text)) + text)
        parts.extend(_OTHER.pack(_NO_SECOND, _DIGEST, len(value)) + value for value in self.digests.get(hour, ()))
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _ChunkWrite:
    hour: int
    chunk: int
    value: bytes


class SeenSessions:
    """The published sessions of one account group.

    Args:
        key_prefix: begins every durable key of this account group, ends with ``/``.
        aid: account group, as it stands (zero-padded to five digits) at the beginning of regular ids.
        kept_from: time before which ids were dropped, seconds; what is older cannot be told apart any more.
    """

    def __init__(self, key_prefix: str, aid: str, kept_from: int = 0) -> None:
        self._key_prefix = key_prefix
        self._aid_prefix = f"{aid:0>5}:"
        self.kept_from = kept_from
        # All mutable state. Rounds are in at most one of two forms or in both; chunks count the keys written an hour.
        self._hot: dict[int, set[str]] = {}
        self._frozen: dict[int, array[int]] = {}
        self._other_ids: dict[int, set[str]] = {}
        self._digests: dict[int, set[bytes]] = {}
        self._chunks: dict[int, int] = {}
        self._open: dict[int, bytes] = {}

    def __len__(self) -> int:
        """How many ids and digests are kept."""
        return sum(map(len, (s for table in self._tables() for s in table.values())))

    def _tables(self) -> tuple[Mapping[int, set[str] | array[int] | set[bytes]], ...]:
        return (self._hot, self._frozen, self._other_ids, self._digests)

    @property
    def has_other_ids(self) -> bool:
        """Whether ids of an irregular form are kept: only then need regular ids be looked for among them."""
        return bool(self._other_ids)

    def regular(self, round_id: int) -> Known:
        """How to look up the regular ids of one round; valid until the next `apply`."""
        prefix = f"{self._aid_prefix}{round_id}:"
        return Known(
            prefix,
            len(prefix) + SUFFIX_BYTES,
            self._hot.get(round_id, _EMPTY_SET),
            self._frozen.get(round_id, _EMPTY_ARRAY),
        )

    def has_id(self, identifier: str) -> bool:
        """Whether a session was published, by its whole id: exact for every form, slower than `regular`."""
        if any(identifier in ids for ids in self._other_ids.values()):
            return True
        begin, _, suffix = identifier.rpartition(":")
        round_text = begin.rpartition(":")[2]
        if not (round_text.isascii() and round_text.isdigit() and len(suffix) == SUFFIX_BYTES and suffix.isascii()):
            return False
        known = self.regular(int(round_text[:20]))
        return identifier.startswith(known.prefix) and len(identifier) == known.length and known.has(suffix)

    def has_digest(self, value: bytes) -> bool:
        """Whether a row with this digest became a dead letter already."""
        return any(value in digests for digests in self._digests.values())

    def write(self, marks: Marks) -> Writes:
        """The durable changes that remember ``marks``; nothing is remembered before `apply` gets them back."""
        chunks = []
        for hour in marks.hours():
            value = marks.encode(hour)
            count = self._chunks.get(hour, 0)
            opened = self._open.get(hour)
            if opened is not None and len(opened) + len(value) <= CHUNK_BYTES:
                chunks.append(_ChunkWrite(hour, count - 1, opened + value))
            else:
                chunks.append(_ChunkWrite(hour, count, value))
        changes = tuple(StateChange(self._key(write.hour, write.chunk), write.value) for write in chunks)
        return Writes(changes, tuple(chunks), marks)

    def expire(self, keep_from: float) -> Expiry:
        """The durable changes that drop every hour that ends before ``keep_from``, seconds."""
        limit = hour_of(keep_from)
        hours = tuple(sorted(hour for hour in self._chunks if hour < limit)) if limit > self.kept_from else ()
        changes = tuple(
            StateChange(self._key(hour, chunk), None) for hour in hours for chunk in range(self._chunks[hour])
        )
        return Expiry(changes, hours, max(limit, self.kept_from))

    def apply(self, writes: Writes, expiry: Expiry | None = None) -> None:
        """Remember what was committed."""
        for chunk in writes.chunks:
            self._chunks[chunk.hour] = chunk.chunk + 1
            self._open[chunk.hour] = chunk.value
        for hour in sorted(self._open)[:-OPEN_HOURS]:
            del self._open[hour]
        self._add(writes.marks)
        if expiry is not None:
            self._drop(expiry)
            for chunk in writes.chunks:  # may be newer than the expiry's tombstones: the next expiry looks again
                if chunk.hour in expiry.hours:
                    self._chunks[chunk.hour] = chunk.chunk + 1

    def restore(self, key: str, value: bytes) -> None:
        """Take one durable chunk back into memory.

        Raises:
            ValueError: the key or the value is none of ours.
        """
        hour_text, _, chunk_text = key.removeprefix(self._key_prefix).partition("/")
        hour, chunk = int(hour_text), int(chunk_text)
        marks = Marks()
        for kind, entry, second in _decode(value):
            if kind == _DIGEST:
                marks.digests.setdefault(hour, []).append(entry)
            elif second == _NO_SECOND:
                marks.other_ids.setdefault(hour, []).append(entry.decode("utf-8", "surrogatepass"))
            else:
                marks.regular.setdefault(hour + second, []).append(entry.decode("ascii"))
        self._add(marks)
        if chunk + 1 > self._chunks.get(hour, 0):
            self._chunks[hour] = chunk + 1
            self._open[hour] = value
        for old in sorted(self._open)[:-OPEN_HOURS]:
            del self._open[old]

    def _add(self, marks: Marks) -> None:
        for round_id, suffixes in marks.regular.items():
            hot = self._hot.setdefault(round_id, set())
            hot.update(suffixes)
            if len(hot) > max(HOT_IDS_MAX, len(self._frozen.get(round_id, ())) // 8):
                self._freeze(round_id)
        for round_id in sorted(self._hot)[:-HOT_ROUNDS]:
            self._freeze(round_id)
        for hour, identifiers in marks.other_ids.items():
            self._other_ids.setdefault(hour, set()).update(identifiers)
        for hour, values in marks.digests.items():
            self._digests.setdefault(hour, set()).update(values)

    def _freeze(self, round_id: int) -> None:
        numbers = [int.from_bytes(suffix.encode(), "big") for suffix in self._hot.pop(round_id)]
        numbers.extend(self._frozen.get(round_id, ()))
        numbers.sort()
        self._frozen[round_id] = array("Q", numbers)

    def _drop(self, expiry: Expiry) -> None:
        self.kept_from = max(self.kept_from, expiry.kept_from)
        for hour in expiry.hours:
            for by_hour in (self._other_ids, self._digests, self._chunks, self._open):
                by_hour.pop(hour, None)
        for by_round in (self._hot, self._frozen):
            for round_id in [r for r in by_round if hour_of(r) in expiry.hours]:
                del by_round[round_id]

    def _key(self, hour: int, chunk: int) -> str:
        return f"{self._key_prefix}{hour}/{chunk}"


@dataclass(frozen=True, slots=True)
class Writes:
    """Marks on their way: durable ``changes``, and what `SeenSessions.apply` does once they are committed."""

    changes: tuple[StateChange, ...]
    chunks: tuple[_ChunkWrite, ...]
    marks: Marks


@dataclass(frozen=True, slots=True)
class Expiry:
    """Hours on their way out: tombstones, and the time from which ids are kept afterwards, seconds."""

    changes: tuple[StateChange, ...]
    hours: tuple[int, ...]
    kept_from: int


_EMPTY_SET: frozenset[str] = frozenset()
_EMPTY_ARRAY: array[int] = array("Q")


def _decode(value: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The entries of a chunk: kind, bytes, second of the hour (``_NO_SECOND``: an id kept whole)."""
    position, end = 0, len(value)
    while position < end:
        if position + 2 > end:
            raise ValueError("a chunk of seen sessions is broken off")
        second = int.from_bytes(value[position : position + 2], "big")
        kind, start, length = _ID, position + 2, SUFFIX_BYTES
        if second == _NO_SECOND:
            if position + _OTHER.size > end:
                raise ValueError("a chunk of seen sessions is broken off")
            _, kind, length = _OTHER.unpack_from(value, position)
            start = position + _OTHER.size
        position = start + length
        if position > end:
            raise ValueError("a chunk of seen sessions is broken off")
        yield kind, value[start:position], second
