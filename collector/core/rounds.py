"""The regular ids of one account group, round by round, each with the contents that were seen of it.

Rule: exact for ids. A regular id is 8 characters behind its round (and the 8 of its page, where pages count), so it
is a number, or two; what is checked of content is another 48 bits. An id may have several contents, at most
`VERSIONS_MAX`; they stand side by side.

The newest rounds are dictionaries (fast to add to). Older ones are one array of 64-bit integers each: the ids sorted,
then (where pages count) their pages in the same order, then their checks: 16 bytes an id, 24 where pages count.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.core.chunks import CONTENT_MASK, NO_PAGE, SUFFIX_CHARACTERS, hour_of

HOT_ROUNDS = 2
"""Newest rounds kept as dictionaries; a round is 60 s, and sessions arrive seconds after they took place."""

HOT_IDS_MAX = 4_096
"""A dictionary larger than this (and than an eighth of its round's array) moves into the array: 150 bytes become 16."""

_NO_PAGE_CODE = int.from_bytes(NO_PAGE, "big")
_WORD_BITS = 64
_WORD = (1 << _WORD_BITS) - 1

Versions = tuple[int, ...]
"""What is known of one identity: the checks of each content, oldest not necessarily first."""


UNKNOWN, SAME, DIFFERENT = range(3)
"""What a first look at an id and a content gives. Plain numbers: each row asks."""


@dataclass(frozen=True, slots=True)
class Known:
    """How to look up the ids of one round: ``prefix`` of its regular ids, and what is known of them."""

    prefix: str
    length: int
    hot: dict[str, int]
    more: dict[str, list[int]]
    frozen: array[int]
    by_page: bool

    def look(self, key: str, content: int) -> int:
        """Whether an identity is known, and with this content.

        Args:
            key: the 8 ASCII characters behind the round (and the page's 8).
            content: its content check.
        """
        checks = self.hot.get(key)
        if checks is not None and checks & CONTENT_MASK == content:
            return SAME
        frozen = self.frozen
        if not frozen:
            if checks is None:
                return UNKNOWN
        elif not self.by_page:
            ids = len(frozen) >> 1
            number = int.from_bytes(key.encode(), "big")
            index = bisect_left(frozen, number, 0, ids)
            if index < ids and frozen[index] == number:
                if frozen[ids + index] & CONTENT_MASK == content:
                    return SAME
            elif checks is None:
                return UNKNOWN
        versions = self.versions(key)
        if not versions:
            return UNKNOWN
        return SAME if any(known & CONTENT_MASK == content for known in versions) else DIFFERENT

    def versions(self, key: str) -> Versions:
        """The checks of every content known of an identity; empty for an unknown one."""
        first = self.hot.get(key)
        hot = () if first is None else (first, *self.more.get(key, ()))
        frozen = self.frozen
        if not frozen:
            return hot
        suffix, page = _numbers(key)
        words = 3 if self.by_page else 2
        ids = len(frozen) // words
        index = bisect_left(frozen, suffix, 0, ids)
        found = list(hot)
        while index < ids and frozen[index] == suffix:
            if not self.by_page or frozen[ids + index] == page:
                found.append(frozen[(words - 1) * ids + index])
            index += 1
        return tuple(found)


class Rounds:
    """The regular ids of one account group.

    Args:
        by_page: whether an id's page is part of it.
    """

    def __init__(self, by_page: bool) -> None:
        self.by_page = by_page
        # All mutable state. A round is in at most one of the two forms or in both; ``_more``: second contents and on.
        self._hot: dict[int, dict[str, int]] = {}
        self._more: dict[int, dict[str, list[int]]] = {}
        self._frozen: dict[int, array[int]] = {}

    def __len__(self) -> int:
        words = 3 if self.by_page else 2
        more = sum(len(checks) for by_key in self._more.values() for checks in by_key.values())
        return sum(map(len, self._hot.values())) + more + sum(map(len, self._frozen.values())) // words

    def known(self, round_id: int, prefix: str) -> Known:
        """How to look up ids of one round; valid until the next change."""
        return Known(
            prefix,
            len(prefix) + SUFFIX_CHARACTERS,
            self._hot.get(round_id, _NOTHING_HOT),
            self._more.get(round_id, _NOTHING_MORE),
            self._frozen.get(round_id, _NOTHING_FROZEN),
            self.by_page,
        )

    def add(self, round_id: int, entries: Sequence[tuple[str, int]]) -> None:
        """Take contents of ids; `settle` follows when all is taken."""
        hot, new = self._hot.setdefault(round_id, {}), dict(entries)
        if len(new) == len(entries) and hot.keys().isdisjoint(new):
            hot.update(new)
        else:
            for key, checks in entries:
                if hot.setdefault(key, checks) != checks:
                    self._more.setdefault(round_id, {}).setdefault(key, []).append(checks)
        if len(hot) > max(HOT_IDS_MAX, len(self._frozen.get(round_id, ())) // 16):
            self._freeze(round_id)

    def settle(self) -> None:
        """Move what is no longer new into arrays."""
        if len(self._hot) > HOT_ROUNDS:
            for round_id in sorted(self._hot)[:-HOT_ROUNDS]:
                self._freeze(round_id)

    def drop(self, hours: Iterable[int]) -> None:
        """Forget whole hours."""
        gone = frozenset(hours)
        for by_round in (self._hot, self._more, self._frozen):
            for round_id in [r for r in by_round if hour_of(r) in gone]:
                del by_round[round_id]

    def _freeze(self, round_id: int) -> None:
        hot, more = self._hot.pop(round_id), self._more.pop(round_id, _NOTHING_MORE)
        frozen = self._frozen.get(round_id)
        if frozen or more or self.by_page:
            columns = self._merged(hot, more, frozen or _NOTHING_FROZEN)
        else:
            keys = sorted(hot)  # ASCII sorts as its numbers do, and nothing is faster
            columns = array("Q", "".join(keys).encode())
            if sys.byteorder == "little":
                columns.byteswap()
            columns.extend(map(hot.__getitem__, keys))
        self._frozen[round_id] = columns

    def _merged(self, hot: dict[str, int], more: dict[str, list[int]], frozen: array[int]) -> array[int]:
        # One integer each of suffix, page and checks: those sort at C's speed.
        entries = [_entry(key, checks) for key, checks in hot.items()]
        entries.extend(_entry(key, checks) for key, several in more.items() for checks in several)
        words = 3 if self.by_page else 2
        ids = len(frozen) // words
        pages: Iterable[int] = frozen[ids : 2 * ids] if self.by_page else [_NO_PAGE_CODE] * ids
        entries.extend(
            (suffix << _WORD_BITS | page) << _WORD_BITS | checks
            for suffix, page, checks in zip(frozen[:ids], pages, frozen[(words - 1) * ids :], strict=True)
        )
        entries.sort()
        columns = array("Q", [entry >> 2 * _WORD_BITS for entry in entries])
        if self.by_page:
            columns.extend([entry >> _WORD_BITS & _WORD for entry in entries])
        columns.extend([entry & _WORD for entry in entries])
        return columns


def _numbers(key: str) -> tuple[int, int]:
    """The two numbers of a key: suffix and page."""
    code = key.encode()
    return int.from_bytes(code[:SUFFIX_CHARACTERS], "big"), (
        int.from_bytes(code[SUFFIX_CHARACTERS:], "big") if len(code) > SUFFIX_CHARACTERS else _NO_PAGE_CODE
    )


def _entry(key: str, checks: int) -> int:
    suffix, page = _numbers(key)
    return (suffix << _WORD_BITS | page) << _WORD_BITS | checks


_NOTHING_HOT: dict[str, int] = {}
_NOTHING_MORE: dict[str, list[int]] = {}
_NOTHING_FROZEN: array[int] = array("Q")
