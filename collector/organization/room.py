"""Room for pages that are decoded and not durable yet.

Rule: room is a matter of memory and holds nobody up for good: after `WAIT_S` a page comes in without. First come, first
served. A page larger than all of the room needs none: reading it may take ten seconds, which nobody else should wait
for, and the source reads one such page at a time, in a thread.

Decoded, a page takes five times its bytes until its rows are records, and those three times until they are published.
While Kafka is a little slower than the API, or the processor slower than both, pages that could not be published yet
stay the bytes that they came as.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

BODY_BYTES_MAX = 1024 * 1024
"""Two full pages of 1000 rows (350 kB each), one on its way to Kafka and one that follows; or hundreds of small ones,
which share a transaction. Of rows that were published before, only the moment counts in which that is found out."""

WAIT_S = 10.0
"""Some hundred transactions of the usual length; half of what one may take by its own deadline. Longer, and Kafka is so
slow that walks are what bounds memory: each holds one page."""


@dataclass(eq=False, slots=True)
class _Waiting:
    body_bytes: int
    let_in: anyio.Event = field(default_factory=anyio.Event)


class Room:
    """The room of one organization.

    Args:
        bytes_max: bodies of this size in all, bytes.
    """

    def __init__(self, bytes_max: int = BODY_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        # All mutable state: the size of the pages inside, and who waits.
        self._taken_bytes = 0
        self._waiting: deque[_Waiting] = deque()  # bounded by the number of walks

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one page after the other; it is given back with the end of the block."""
        place = Place(self)
        try:
            yield place
        finally:
            place.leave()

    async def enter(self, body_bytes: int) -> None:
        """Wait for room, `WAIT_S` at most, and take it; see `Place`.

        Args:
            body_bytes: no more than there is in all.
        """
        if not self._waiting and self._has_room_for(body_bytes):
            self._taken_bytes += body_bytes
            return
        waiting = _Waiting(body_bytes)
        self._waiting.append(waiting)
        goes_in = False
        try:
            with anyio.move_on_after(WAIT_S):
                await waiting.let_in.wait()
            goes_in = True
        finally:
            if not waiting.let_in.is_set():
                self._waiting.remove(waiting)
                self._taken_bytes += body_bytes
            if not goes_in:
                self.leave(body_bytes)

    def leave(self, body_bytes: int) -> None:
        """Give room back; whoever waits first comes in if there is enough for it now."""
        self._taken_bytes -= body_bytes
        while self._waiting and self._has_room_for(self._waiting[0].body_bytes):
            waiting = self._waiting.popleft()
            self._taken_bytes += waiting.body_bytes
            waiting.let_in.set()

    def _has_room_for(self, body_bytes: int) -> bool:
        return self._taken_bytes + body_bytes <= self.bytes_max


class Place:
    """What a walk holds of the room: the page that it has in hand, if it has one."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._body_bytes = 0

    async def take(self, body_bytes: int) -> None:
        """Wait for room for the next page; that of the one before is given back."""
        self.leave()
        if body_bytes <= self._room.bytes_max:
            await self._room.enter(body_bytes)
            self._body_bytes = body_bytes

    def keep(self, records: int, rows: int) -> None:
        """Give back the room of rows that led to no record.

        Args:
            records: to be published, of the page.
            rows: of the page.
        """
        kept = self._body_bytes * min(records, rows) // max(rows, 1)
        given, self._body_bytes = self._body_bytes - kept, kept
        self._room.leave(given)

    def leave(self) -> None:
        """Give the room back: the page is durable, or was no page."""
        body_bytes, self._body_bytes = self._body_bytes, 0
        self._room.leave(body_bytes)
