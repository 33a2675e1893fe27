"""Tells the rows of a page apart: seen, fresh, changed, late, or suspect.

Rule: reads the page and what was published, changes neither. An identity is held against what was published and against
the same page; the account group that a regular id names must be the one that was asked for. A row whose identity is
known with other content is never taken for seen: it is a `Variant`.

A row that follows another of its identity on the same page is judged when it is known whether that one becomes an
event (`SortedRows.siblings`): if it does not, the next one is fresh.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from collector.core.chunks import CONTENT_MASK, KEEP_MARGIN_S, PAGE_CHARACTERS, SUFFIX_CHARACTERS, Marks, Place, hour_of
from collector.core.event import Reason
from collector.core.identity import (
    CONTENT_BITS,
    PAGE_FIELD,
    VERSIONS_MAX,
    Notice,
    content_check,
    identity_of,
    page_check,
    page_of,
)
from collector.core.model import Page, Row
from collector.core.rounds import DIFFERENT, SAME, Known
from collector.core.seen import Published

_BEGINS_WITH_AID = re.compile(r"0*([0-9]{1,20}):[0-9]+:")


class Candidate(NamedTuple):
    """A row that was not seen: which one, where its identity is remembered, and its checks."""

    row: int
    place: Place
    checks: int


class Variant(NamedTuple):
    """A row of a published session with another content than any that was seen.

    Args:
        row: which one, its position on the page.
        place: where its identity is remembered.
        checks: what this content is remembered by.
        kind: what is different.
        number: how many contents of the identity were seen before, from 1 on.
    """

    row: int
    place: Place
    checks: int
    kind: Notice
    number: int


@dataclass(slots=True)
class SortedRows:
    """The rows of a page, told apart.

    Attributes:
        regular: round -> (row, key, checks) of each session with a regular id that was never published.
        irregular: each session with any other id that was never published.
        variants: rows of published sessions with new content.
        late: (row, place) of sessions older than the ids that are kept; the place's time is still to be chosen.
        siblings: index of a fresh row -> rows behind it that have its identity.
        suspects: (index, reason) of each row that cannot become an event.
        rounds: ``roundId`` of every row that has one, in the page's order.
        by_page: whether page rows are events of their own.
    """

    by_page: bool = False
    regular: dict[int, list[tuple[int, str, int]]] = field(default_factory=dict)
    irregular: list[Candidate] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    late: list[Candidate] = field(default_factory=list)
    siblings: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    suspects: list[tuple[int, Reason]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def fresh_rows(self) -> list[int]:
        """Which rows are fresh sessions, in the page's order."""
        rows = [row for entries in self.regular.values() for row, _, _ in entries]
        rows += [candidate.row for candidate in self.irregular]
        rows.sort()
        return rows

    def fresh(self) -> list[Candidate]:
        """All fresh sessions, in the page's order."""
        regular = [
            Candidate(row, Place(round_id, key), checks)
            for round_id, entries in self.regular.items()
            for row, key, checks in entries
        ]
        return sorted(regular + self.irregular)

    def mark_fresh(self, marks: Marks) -> None:
        """Mark all fresh sessions, in less time than one by one."""
        for round_id, entries in self.regular.items():
            if entries:
                marks.regular[round_id] = [(key, checks) for _, key, checks in entries]
        for candidate in self.irregular:
            marks.add(candidate.place, candidate.checks)

    def siblings_of(self, candidate: Candidate) -> list[Variant]:
        """The variants among the rows behind an event-to-be that have its identity; the others are the same again."""
        known = [candidate.checks]
        variants = []
        for index, checks in self.siblings.get(candidate.row, ()):
            variant = _variant(Candidate(index, candidate.place, checks), known)
            if variant is not None:
                variants.append(variant)
                known.append(checks)
        return variants


def sort_rows(page: Page, aid: str, seen: Published) -> SortedRows:
    """Tell the rows of ``page``, which was asked of account group ``aid``, apart."""
    return _Sorter(page, aid, seen).sort()


def is_of_another_account_group(identifier: str, aid: str) -> bool:
    """Whether a session id names an account group other than ``aid``."""
    match = _BEGINS_WITH_AID.match(identifier)
    return match is not None and aid.isdigit() and match[1] != (aid.lstrip("0") or "0")


_Lookup = tuple[Known, dict[str, int], list[tuple[int, str, int]]]
"""What a page needs of a round: its published ids; key -> fresh row of this page; fresh rows with their checks."""


class _Sorter:
    """One page on its way. Owns what was found on this page so far."""

    __slots__ = ("_aid", "_by_place", "_changed", "_lookups", "_page", "_result", "_seen")

    def __init__(self, page: Page, aid: str, seen: Published) -> None:
        self._page, self._aid, self._seen = page, aid, seen
        self._result = SortedRows(seen.form.by_page)
        self._lookups: dict[int, _Lookup] = {}
        self._by_place: dict[str, int] = {}  # any other identity -> index of the fresh or late row
        self._changed: dict[str, list[int]] = {}  # identity -> checks of its new contents

    def sort(self) -> SortedRows:
        page, seen, result, by_place = self._page, self._seen, self._result, self._by_place
        id_field, oldest, has_more, by_page = page.form.id_field, seen.kept_from, seen.has_more, seen.form.by_page
        check, lookups, rounds = content_check(page.form.content_fields), self._lookups, result.rounds
        dates: dict[str, int] = {}  # read once: a round has 60 of them and many more sessions
        for index, row in enumerate(page.rows):
            if type(row) is not dict:
                result.suspects.append((index, Reason.NOT_AN_OBJECT))
                continue
            identifier, round_id = row.get(id_field), row.get("roundId")
            if type(round_id) is float and round_id.is_integer():  # 60.0 is an integer in JSON Schema
                row["roundId"] = round_id = int(round_id)
            if type(identifier) is not str or not identifier or type(round_id) is not int:
                result.suspects.append((index, Reason.NO_IDENTITY))
                continue
            rounds.append(round_id)
            lookup = lookups.get(round_id)
            if lookup is None:
                lookup = lookups[round_id] = (seen.regular(round_id), {}, result.regular.setdefault(round_id, []))
            known, on_page, fresh = lookup
            key, content = identifier[-SUFFIX_CHARACTERS:], check(row)
            date, date_s = row.get("date"), 0
            if type(date) is str and not (date_s := dates.get(date, 0)):
                date_s = dates[date] = _date_of(date)
            regular = (
                round_id >= oldest
                and date_s <= round_id + KEEP_MARGIN_S
                and len(identifier) == known.length
                and identifier.startswith(known.prefix)
                and key.isascii()
            )
            if regular and by_page and (page_id := page_of(row)) is not None:
                key += page_id
                regular = len(page_id) == PAGE_CHARACTERS and key.isascii()
            if not regular:
                self._sort_other(index, row, identifier, round_id, date_s, content)
            elif key in on_page:
                self._follows(on_page[key], index, row, content)
            else:
                look = known.look(key, content)
                if look == SAME:
                    continue
                if look == DIFFERENT:
                    candidate = Candidate(index, Place(round_id, key), self._checks(row, content))
                    self._differs(candidate, known.versions(key))
                elif not ((has_more or by_place) and self._is_elsewhere(index, row, identifier, content)):
                    on_page[key] = index
                    if not by_page:
                        content |= page_check(row.get(PAGE_FIELD)) << CONTENT_BITS
                    fresh.append((index, key, content))
        return result

    def _checks(self, row: Row, content: int) -> int:
        return content if self._result.by_page else page_check(row.get(PAGE_FIELD)) << CONTENT_BITS | content

    def _follows(self, first: int, index: int, row: Row, content: int) -> None:
        """A row behind another of its identity, which becomes an event if it can."""
        self._result.siblings.setdefault(first, []).append((index, self._checks(row, content)))

    def _is_elsewhere(self, index: int, row: Row, identifier: str, content: int) -> bool:
        """Whether the identity of a regular row is known in another place; it is dealt with then."""
        identity = self._identity(row, identifier)
        first = self._by_place.get(identity)
        if first is not None:
            self._follows(first, index, row, content)
            return True
        found = self._seen.find(identity)
        if found is None:
            return self._seen.has_former(identifier, identity)
        place, versions = found
        if place.session_characters:
            place = place._replace(session_characters=len(identifier))
        self._differs(Candidate(index, place, self._checks(row, content)), versions)
        return True

    def _identity(self, row: Row, identifier: str) -> str:
        return identity_of(identifier, page_of(row)) if self._result.by_page else identifier

    def _differs(self, candidate: Candidate, versions: Sequence[int]) -> None:
        """A row of a published session: the same again, or a variant."""
        name = f"{candidate.place.time_s}/{candidate.place.key}"
        on_page = self._changed.get(name, ())
        variant = _variant(candidate, (*versions, *on_page))
        if variant is not None:
            self._result.variants.append(variant)
            self._changed.setdefault(name, []).append(candidate.checks)

    def _sort_other(self, index: int, row: Row, identifier: str, round_id: int, date_s: int, content: int) -> None:
        """A row whose identity is not a regular one of its round."""
        result, seen = self._result, self._seen
        if is_of_another_account_group(identifier, self._aid):
            result.suspects.append((index, Reason.WRONG_ACCOUNT_GROUP))
            return
        identity = self._identity(row, identifier)
        first = self._by_place.get(identity)
        if first is None and (regular := seen.regular_place(identity)) is not None:
            lookup = self._lookups.get(regular.time_s)  # the same page may have it, in the round that it names
            first = None if lookup is None else lookup[1].get(regular.key)
        if first is not None:
            self._follows(first, index, row, content)
            return
        if self._is_elsewhere(index, row, identifier, content):
            return
        self._by_place[identity] = index
        time_s = round_id
        if round_id < seen.kept_from or date_s > round_id + KEEP_MARGIN_S:
            # Windows may go by the date: what is remembered by its round would be forgotten while they still show it.
            time_s = date_s
        candidate = Candidate(index, Place(hour_of(time_s), identity, len(identifier)), self._checks(row, content))
        (result.late if time_s < seen.kept_from else result.irregular).append(candidate)


def _variant(candidate: Candidate, versions: Sequence[int]) -> Variant | None:
    """What is new about a row whose identity has these contents; None when nothing is.

    Where pages are identities of their own, the page check is 0 everywhere, so what differs is the content.
    """
    content = candidate.checks & CONTENT_MASK
    if any(known & CONTENT_MASK == content for known in versions):
        return None
    if len(versions) >= VERSIONS_MAX:
        kind = Notice.TOO_MANY
    elif any(known >> CONTENT_BITS == candidate.checks >> CONTENT_BITS for known in versions):
        kind = Notice.CHANGED
    else:
        kind = Notice.OTHER_PAGE
    return Variant(*candidate, kind, len(versions))


def _date_of(text: str) -> int:
    """The time that a date names, whole seconds; 0 when it cannot be read. A date without a zone is UTC."""
    try:
        date = datetime.fromisoformat(text)
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0
