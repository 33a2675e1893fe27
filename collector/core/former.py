"""Sessions that were published under other choices: another identity, another version of the API, an older format.

Rule: known by their session id alone, and seen whatever their content or page, so that a change of the configuration
repeats no session. They are only ever restored, never written, and fade with their hours.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from collector.core.chunks import Chunk, hour_of


class FormerSessions:
    """The former sessions of one account group."""

    def __init__(self) -> None:
        # All mutable state; arrays in ``_unsorted`` are sorted when they are first asked.
        self._regular: dict[int, array[int]] = {}
        self._unsorted: set[int] = set()
        self._others: dict[int, set[str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._regular.values())) + sum(map(len, self._others.values()))

    def restore(self, hour: int, chunk: Chunk) -> None:
        """Take what a chunk of one hour holds of them."""
        for round_id, suffixes in chunk.former_regular.items():
            numbers = self._regular.setdefault(round_id, array("Q"))
            numbers.extend(int.from_bytes(suffix, "big") for suffix in suffixes)
            self._unsorted.add(round_id)
        if chunk.former_ids:
            self._others.setdefault(hour, set()).update(chunk.former_ids)

    def has_regular(self, round_id: int, suffix: str) -> bool:
        """Whether the session with the 8 ASCII characters ``suffix`` behind its round is one."""
        numbers = self._regular.get(round_id)
        if numbers is None:
            return False
        if round_id in self._unsorted:
            self._unsorted.discard(round_id)
            numbers = self._regular[round_id] = array("Q", sorted(numbers))
        number = int.from_bytes(suffix.encode(), "big")
        index = bisect_left(numbers, number)
        return index < len(numbers) and numbers[index] == number

    def has_other(self, session_id: str) -> bool:
        """Whether a session is one whose id was kept whole."""
        return any(session_id in ids for ids in self._others.values())

    def drop(self, hours: Iterable[int]) -> None:
        """Forget whole hours."""
        gone = frozenset(hours)
        for hour in gone:
            self._others.pop(hour, None)
        for round_id in [r for r in self._regular if hour_of(r) in gone]:
            del self._regular[round_id]
            self._unsorted.discard(round_id)
