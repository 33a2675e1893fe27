"""A queue of account groups by due time.

Rule: who was put in with the earliest time comes first; of equals, who was put in first. Putting in again replaces.
Every operation takes O(log n) on average.

Invariants: an account group is in the queue once; what was replaced or removed is never handed out.
"""

from __future__ import annotations

import heapq

from collector.core.model import MonoS


class DueQueue:
    """Account groups, each with a due time."""

    def __init__(self) -> None:
        # All mutable state. An entry that `_entries` does not know any more is stale, and is dropped when it is seen.
        self._heap: list[tuple[MonoS, int, str]] = []
        self._entries: dict[str, tuple[MonoS, int, str]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, aid: str) -> bool:
        return aid in self._entries

    def put(self, aid: str, due: MonoS) -> None:
        """Put an account group in, or give it another due time behind its equals; the same one keeps its place."""
        known = self._entries.get(aid)
        if known is not None and known[0] == due:
            return
        self._sequence += 1
        entry = self._entries[aid] = (due, self._sequence, aid)
        if len(self._heap) > 2 * len(self._entries) + 16:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, entry)

    def remove(self, aid: str) -> None:
        """Take an account group out, if it is in."""
        self._entries.pop(aid, None)

    def first(self) -> tuple[MonoS, str] | None:
        """Due time and account group of the first; None when the queue is empty."""
        while self._heap:
            entry = self._heap[0]
            if self._entries.get(entry[2]) is entry:
                return entry[0], entry[2]
            heapq.heappop(self._heap)
        return None

    def clear(self) -> None:
        """Take everything out."""
        self._heap.clear()
        self._entries.clear()
