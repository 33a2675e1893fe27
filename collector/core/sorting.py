"""Tells the rows of a page apart by identity alone: seen, fresh, or suspect.

Rule: reads the page and `SeenSessions`, changes neither. An id is held against what was published and against the
same page; the account group that a regular id names must be the one that was asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from collector.core.event import Reason
from collector.core.model import Page, Row
from collector.core.seen import SUFFIX_BYTES, Known, Marks, SeenSessions, hour_of

_BEGINS_WITH_AID = re.compile(r"0*([0-9]{1,20}):[0-9]+:")


@dataclass(slots=True)
class SortedRows:
    """The rows of a page, told apart.

    Attributes:
        regular: (index, round, suffix) of each fresh session with a regular id.
        irregular: (index, hour, id) of each fresh session with any other id.
        suspects: (index, reason) of each row that cannot become an event.
        rounds: ``roundId`` of every row that has one, in the page's order.
        seen: how many sessions were published before.
    """

    regular: list[tuple[int, int, str]] = field(default_factory=list)
    irregular: list[tuple[int, int, str]] = field(default_factory=list)
    suspects: list[tuple[int, Reason]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    seen: int = 0

    def fresh(self) -> list[int]:
        """Indexes of all fresh sessions, in the page's order."""
        indexes = [index for index, _, _ in self.regular]
        if self.irregular:
            indexes = sorted(indexes + [index for index, _, _ in self.irregular])
        return indexes

    def marks(self, but: frozenset[int] | set[int] = frozenset()) -> Marks:
        """What the fresh sessions are remembered by, without those at the indexes ``but``."""
        marks = Marks()
        by_round = marks.regular
        for index, round_id, suffix in self.regular:
            if index not in but:
                suffixes = by_round.get(round_id)
                if suffixes is None:
                    by_round[round_id] = [suffix]
                else:
                    suffixes.append(suffix)
        for index, hour, identifier in self.irregular:
            if index not in but:
                marks.other_ids.setdefault(hour, []).append(identifier)
        return marks


def sort_rows(page: Page, aid: str, seen: SeenSessions) -> SortedRows:
    """Tell the rows of ``page``, which was asked of account group ``aid``, apart."""
    result = SortedRows()
    id_field, oldest, look_everywhere = page.form.id_field, seen.kept_from, seen.has_other_ids
    regular, rounds = result.regular, result.rounds
    lookups: dict[int, tuple[Known, set[str]]] = {}
    in_page: set[str] = set()  # irregular ids
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
            lookup = lookups[round_id] = (seen.regular(round_id), set())
        known, suffixes = lookup
        suffix = identifier[-SUFFIX_BYTES:]
        if (
            round_id >= oldest
            and len(identifier) == known.length
            and identifier.startswith(known.prefix)
            and suffix.isascii()
        ):
            if (
                suffix in suffixes
                or known.has(suffix)
                or (in_page and identifier in in_page)
                or (look_everywhere and seen.has_id(identifier))
            ):
                result.seen += 1
            else:
                suffixes.add(suffix)
                regular.append((index, round_id, suffix))
        elif any(identifier.startswith(k.prefix) and identifier[len(k.prefix) :] in s for k, s in lookups.values()):
            result.seen += 1  # the same page has it as a regular id, in the round that the id names
        else:
            _sort_irregular(index, row, identifier, round_id, aid, seen, in_page, result)
    return result


def is_of_another_account_group(identifier: str, aid: str) -> bool:
    """Whether a session id names an account group other than ``aid``."""
    match = _BEGINS_WITH_AID.match(identifier)
    return match is not None and aid.isdigit() and match[1] != (aid.lstrip("0") or "0")


def _sort_irregular(
    index: int,
    row: Row,
    identifier: str,
    round_id: int,
    aid: str,
    seen: SeenSessions,
    in_page: set[str],
    result: SortedRows,
) -> None:
    if is_of_another_account_group(identifier, aid):
        result.suspects.append((index, Reason.WRONG_ACCOUNT_GROUP))
        return
    if identifier in in_page or seen.has_id(identifier):
        result.seen += 1
        return
    time_s = round_id if round_id >= seen.kept_from else _date_of(row)
    if time_s < seen.kept_from:
        result.suspects.append((index, Reason.LATE))
        return
    in_page.add(identifier)
    result.irregular.append((index, hour_of(time_s), identifier))


def _date_of(row: Row) -> float:
    """The time of a session by its date, seconds; 0 when it cannot be read. A date without a zone is UTC."""
    try:
        date = datetime.fromisoformat(row["date"])
        return date.timestamp() if date.tzinfo else datetime.fromisoformat(f"{row['date']}+00:00").timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
