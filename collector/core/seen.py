"""Which sessions of one account group were published already: exact, and small enough for millions.

Rule: membership is decided by identity alone, and memory changes only through `apply`, which the caller calls after
the transaction that holds `Writes.changes` is known to be committed.

A session id normally reads ``<aid, five digits>:<roundId>:<8 ASCII characters>``; then account group and round are
implied and 8 bytes are left (`rounds`). Any other id is kept whole, so it is exact too. Beside each stand the checks
of its contents (`identity`), so that a session that comes back changed is told from one that comes back. Rows that
could not become an event are remembered by the digest of their bytes.

Invariants:
    - an identity is in memory if and only if a committed change holds it, and its hour is not older than `kept_from`;
    - the durable form is one record an (hour, chunk); a chunk is written again until it is full, so that many small
      pages leave few keys behind; a chunk of other choices is read (`former`) and left as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from collector.core.chunks import HOUR_S, PAGE_CHARACTERS, SUFFIX_CHARACTERS, Marks, Place, decode, head, hour_of
from collector.core.former import FormerSessions
from collector.core.identity import IdentityForm
from collector.core.model import StateChange
from collector.core.rounds import Known, Rounds, Versions

__all__ = ["CHUNK_BYTES", "HOUR_S", "Expiry", "Marks", "Published", "SeenSessions", "Writes", "digest", "hour_of"]

CHUNK_BYTES = 8_192
"""A chunk is written again with the ids of the next page until it holds this much: about 500 ids."""

OPEN_HOURS = 2
"""Hours whose last chunk stays in memory to be written again: the current one and the one that a walk begins in."""

_ROUND = re.compile(r"0|[1-9][0-9]{0,19}")
"""A round as a regular id has it: a number without leading zeros."""

SESSION = IdentityForm()


def digest(source_bytes: bytes) -> bytes:
    """What a row that could not become an event is remembered by: 16 bytes, collisions are out of reach."""
    return blake2b(source_bytes, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _ChunkWrite:
    hour: int
    chunk: int
    value: bytes


class Published(Protocol):
    """What a page is held against: `SeenSessions`, or what else tells the same."""

    @property
    def kept_from(self) -> int: ...

    @property
    def form(self) -> IdentityForm: ...

    @property
    def has_more(self) -> bool: ...

    def regular(self, round_id: int) -> Known: ...

    def regular_place(self, identity: str) -> Place | None: ...

    def find(self, identity: str) -> tuple[Place, Versions] | None: ...

    def has_former(self, session_id: str, identity: str = "") -> bool: ...

    def has_digest(self, value: bytes) -> bool: ...


class SeenSessions:
    """The published sessions of one account group.

    Args:
        key_prefix: begins every durable key of this account group, ends with ``/``.
        aid: account group, as it stands (zero-padded to five digits) at the beginning of regular ids.
        kept_from: time before which ids were dropped, seconds; what is older cannot be told apart any more.
        form: what identity means, and which checks are comparable.
    """

    def __init__(self, key_prefix: str, aid: str, kept_from: int = 0, form: IdentityForm = SESSION) -> None:
        self._key_prefix = key_prefix
        self._aid_prefix = f"{aid:0>5}:"
        self.kept_from = kept_from
        self.form = form
        # All mutable state besides `kept_from`. Chunks count the keys written an hour.
        self._rounds = Rounds(form.by_page)
        self._other_ids: dict[int, dict[str, Versions]] = {}
        self._digests: dict[int, set[bytes]] = {}
        self._former = FormerSessions()
        self._chunks: dict[int, int] = {}
        self._open: dict[int, bytes] = {}

    def __len__(self) -> int:
        """How many ids, further contents of them, and digests are kept."""
        others = sum(len(versions) for ids in self._other_ids.values() for versions in ids.values())
        return len(self._rounds) + others + sum(map(len, self._digests.values())) + len(self._former)

    @property
    def has_more(self) -> bool:
        """Whether ids are kept that `regular` does not show: only then need regular ids be looked for with `find`."""
        return bool(self._other_ids) or len(self._former) > 0

    def regular(self, round_id: int) -> Known:
        """How to look up the regular ids of one round; valid until the next `apply`."""
        return self._rounds.known(round_id, f"{self._aid_prefix}{round_id}:")

    def regular_place(self, identity: str) -> Place | None:
        """Where an identity is if it is a regular one; None if it cannot be."""
        if not identity.startswith(self._aid_prefix):
            return None
        round_text, _, rest = identity[len(self._aid_prefix) :].partition(":")
        if not (rest.isascii() and _ROUND.fullmatch(round_text)):
            return None
        if len(rest) == SUFFIX_CHARACTERS:
            return Place(int(round_text), rest)
        suffix, page = rest[:SUFFIX_CHARACTERS], rest[SUFFIX_CHARACTERS + 1 :]
        if self.form.by_page and len(page) == PAGE_CHARACTERS and rest[SUFFIX_CHARACTERS] == ":":
            return Place(int(round_text), suffix + page)
        return None

    def find(self, identity: str) -> tuple[Place, Versions] | None:
        """Where an identity is kept, and its contents: exact for every form, slower than `regular`."""
        for hour, ids in self._other_ids.items():
            versions = ids.get(identity)
            if versions is not None:
                return Place(hour, identity, len(identity)), versions
        place = self.regular_place(identity)
        if place is not None:
            versions = self.regular(place.time_s).versions(place.key)
            if versions:
                return place, versions
        return None

    def has_former(self, session_id: str, identity: str = "") -> bool:
        """Whether a session was published under other choices; then its id alone counts, whatever the identity is."""
        if not len(self._former):
            return False
        place = self.regular_place(session_id)
        if place is not None and len(place.key) == SUFFIX_CHARACTERS:
            return self._former.has_regular(place.time_s, place.key) or self._former.has_other(session_id)
        return self._former.has_other(session_id)

    def has_digest(self, value: bytes) -> bool:
        """Whether a row with this digest became a dead letter already."""
        return any(value in digests for digests in self._digests.values())

    def write(self, marks: Marks) -> Writes:
        """The durable changes that remember ``marks``; nothing is remembered before `apply` gets them back."""
        chunks = []
        for hour in marks.hours():
            value = marks.encode(hour, self.form)
            count = self._chunks.get(hour, 0)
            opened = self._open.get(hour)
            if opened is not None and len(opened) + len(value) <= CHUNK_BYTES:
                chunks.append(_ChunkWrite(hour, count - 1, opened + value))
            else:
                chunks.append(_ChunkWrite(hour, count, head(self.form) + value))
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
        self._close_old()
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
        hour, number = int(hour_text), int(chunk_text)
        chunk = decode(value, hour, self.form)
        self._add(chunk.marks)
        self._former.restore(hour, chunk)
        if number + 1 > self._chunks.get(hour, 0):
            self._chunks[hour] = number + 1
            if chunk.tag == self.form.tag:
                self._open[hour] = value
            else:
                self._open.pop(hour, None)
        self._close_old()

    def _close_old(self) -> None:
        for old in sorted(self._open)[:-OPEN_HOURS]:
            del self._open[old]

    def _add(self, marks: Marks) -> None:
        for round_id, entries in marks.regular.items():
            self._rounds.add(round_id, entries)
        self._rounds.settle()
        for hour, others in marks.other_ids.items():
            ids = self._other_ids.setdefault(hour, {})
            for identity, checks, _ in others:
                ids[identity] = (*ids.get(identity, ()), checks)
        for hour, values in marks.digests.items():
            self._digests.setdefault(hour, set()).update(values)

    def _drop(self, expiry: Expiry) -> None:
        self.kept_from = max(self.kept_from, expiry.kept_from)
        if not expiry.hours:  # with almost every page
            return
        for hour in expiry.hours:
            for by_hour in (self._other_ids, self._digests, self._chunks, self._open):
                by_hour.pop(hour, None)
        self._rounds.drop(expiry.hours)
        self._former.drop(expiry.hours)

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
