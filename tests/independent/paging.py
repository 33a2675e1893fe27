"""How a list is cut into pages: several readings of a documentation that calls the cursor opaque."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.independent.sessions import Row

# Rows that are visible now, in the order of the API.
Look = Callable[[], Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: what a cursor stands for."""

    offset: int = 0
    round_id: int = -1
    snapshot: tuple[Row, ...] | None = None


Cut = Callable[[Look, Position, int], tuple[Sequence[Row], Position | None]]


def by_offset(look: Look, position: Position, size: int) -> tuple[Sequence[Row], Position | None]:
    """Counts rows, so that a row that appears late moves the others to the next page."""
    rows = look()
    end = position.offset + size
    return rows[position.offset : end], Position(offset=end) if end < len(rows) else None


def by_offset_repeating(look: Look, position: Position, size: int) -> tuple[Sequence[Row], Position | None]:
    """Every page begins with the last row of the one before."""
    rows = look()
    begin = max(0, position.offset - 1)
    end = position.offset + size
    return rows[begin:end], Position(offset=end) if end < len(rows) else None


def with_empty_last_page(look: Look, position: Position, size: int) -> tuple[Sequence[Row], Position | None]:
    """There is always a next link until a page is empty."""
    rows = look()
    page = rows[position.offset : position.offset + size]
    return page, Position(offset=position.offset + size) if page else None


def of_a_snapshot(look: Look, position: Position, size: int) -> tuple[Sequence[Row], Position | None]:
    """Rows in no order, as they were when the walk began."""
    rows = position.snapshot
    if rows is None:
        shuffled = list(look())
        random.Random(len(shuffled)).shuffle(shuffled)
        rows = tuple(shuffled)
    end = position.offset + size
    following = replace(position, offset=end, snapshot=rows)
    return rows[position.offset : end], following if end < len(rows) else None


def by_round(look: Look, position: Position, size: int) -> tuple[Sequence[Row], Position | None]:
    """Whole rounds until a page is full; the next page begins after the last round (lastRoundId, exclusive)."""
    rows = [row for row in look() if row.round_id > position.round_id]
    if len(rows) <= size:
        return rows, None
    last = rows[size - 1].round_id
    page = [row for row in rows if row.round_id <= last]
    return page, Position(round_id=last) if len(page) < len(rows) else None


def by_round_inclusive(look: Look, position: Position, size: int) -> tuple[Sequence[Row], Position | None]:
    """The next page repeats the last round (lastRoundId, inclusive); it holds at least one more."""
    rows = [row for row in look() if row.round_id >= position.round_id]
    rounds = sorted({row.round_id for row in rows})
    kept: list[Row] = []
    for number, round_id in enumerate(rounds):
        kept += [row for row in rows if row.round_id == round_id]
        if len(kept) >= size and number >= 1 and number + 1 < len(rounds):
            return kept, Position(round_id=round_id)
    return kept, None
