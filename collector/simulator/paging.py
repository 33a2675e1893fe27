"""Pages: which rows of a range come next, and the cursor that says where to go on.

One rule: a walk goes through rounds from old to new, and a page never goes back behind its position. Rows that are
committed late into a round already passed are not part of the walk any more; nothing in the API promises that they
were.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from collector.simulator.ranges import Range
from collector.simulator.sessions import AccountGroup, Round, RowEncoder, SessionRow, SessionTruth

RowPredicate = Callable[[SessionRow], bool]


class CursorRejected(Exception):
    """The cursor is not one that this server has issued, or it is too old, or it belongs to another request."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a v7 cursor says. To a client it is opaque.

    It names the last round like the published samples do, and carries the range frozen when the walk began.
    """

    last_round: int
    offset: int
    """Rows of that round that have been shown."""
    range: Range
    issued: int
    """Epoch second of the server's clock."""
    request: str
    """Digest of the account group and the body that the walk began with."""
    ended: bool = False
    """Whether nothing follows: the cursor of an empty last page."""

    def encode(self) -> str:
        """The cursor as text, URL safe."""
        fields = {
            "lastRoundId": self.last_round,
            "offset": self.offset,
            "from": self.range.start,
            "to": self.range.end,
            "explicit": int(self.range.explicit),
            "issued": self.issued,
            "request": self.request,
            "ended": int(self.ended),
        }
        return base64.urlsafe_b64encode(urlencode(fields).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Reads a cursor.

        Raises:
            CursorRejected: the text was not made by `encode`.
        """
        try:
            fields = dict(
                parse_qsl(base64.b64decode(text, altchars=b"-_", validate=True).decode("ascii"), strict_parsing=True)
            )
            return cls(
                last_round=int(fields["lastRoundId"]),
                offset=int(fields["offset"]),
                range=Range(int(fields["from"]), int(fields["to"]), bool(int(fields["explicit"]))),
                issued=int(fields["issued"]),
                request=fields["request"],
                ended=bool(int(fields["ended"])),
            )
        except (binascii.Error, KeyError, ValueError) as error:
            raise CursorRejected("Failed to deserialize") from error


class Position(NamedTuple):
    """Where a walk stands: so many visible rows of a round have been shown."""

    round_id: int
    offset: int


@dataclass(frozen=True, slots=True)
class Visible:
    """What of the truth can be seen: the range asked for, clipped to what the server has, and the rows it has
    committed."""

    range: Range
    horizon: int
    """Epoch second; rows committed later are not shown."""
    by_round: bool
    """Whether the range selects on roundId instead of date."""
    match: RowPredicate | None = None

    def of(self, round_: Round) -> Sequence[int]:
        """Indices of the visible rows of a round, in order."""
        start, end, horizon, match = self.range.start, self.range.end, self.horizon, self.match
        rows = round_.rows
        if self.by_round:
            if not start <= round_.round_id <= end:
                return ()
            inside = True
        else:
            inside = bool(rows) and start <= round_.date_min and round_.date_max <= end
        if inside and match is None and round_.committed_max <= horizon:
            return range(len(rows))
        return [
            index
            for index, row in enumerate(rows)
            if row.committed <= horizon and (inside or start <= row.date <= end) and (match is None or match(row))
        ]


class Chunk(NamedTuple):
    """Rows of one round on a page."""

    round: Round
    indices: Sequence[int]

    def rows(self) -> Iterator[SessionRow]:
        """The rows themselves."""
        rows = self.round.rows
        return (rows[index] for index in self.indices)

    def encoded(self, encode: RowEncoder, horizon: int) -> list[bytes]:
        """The rows as bytes, those that have changed by the horizon in their second version."""
        known = self.round.encoded(encode)
        if not self.round.changes:
            return known if len(self.indices) == len(known) else [known[index] for index in self.indices]
        rows, group = self.round.rows, self.round.group
        return [
            encode(group, rows[index], True) if 0 < rows[index].changed_at <= horizon else known[index]
            for index in self.indices
        ]


class Page(NamedTuple):
    """One page: its rows, and where the next one begins if there is more."""

    chunks: list[Chunk]
    next: Position | None

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(len(chunk.indices) for chunk in self.chunks)


def take_exact(truth: SessionTruth, group: AccountGroup, visible: Visible, start: Position, size: int) -> Page:
    """Takes a page of exactly `size` rows if there are so many, cutting a round where the page is full."""
    chunks: list[Chunk] = []
    left = size
    position = start
    for round_ in _rounds(truth, group, visible.range, start.round_id):
        indices = visible.of(round_)
        if round_.round_id == start.round_id and start.offset:
            indices = indices[start.offset :]
        if not indices:
            continue
        if not left:
            return Page(chunks, position)
        offset = start.offset if round_.round_id == start.round_id else 0
        taken = indices[:left]
        chunks.append(Chunk(round_, taken))
        left -= len(taken)
        position = Position(round_.round_id, offset + len(taken))
        if len(taken) < len(indices):
            return Page(chunks, position)
    return Page(chunks, None)


def take_whole_rounds(truth: SessionTruth, group: AccountGroup, visible: Visible, first_round: int, size: int) -> Page:
    """Takes whole rounds as long as they fit on the page, at least one; `next` names the last round taken."""
    chunks: list[Chunk] = []
    left = size
    for round_ in _rounds(truth, group, visible.range, first_round):
        indices = visible.of(round_)
        if not indices:
            continue
        if chunks and len(indices) > left:
            return Page(chunks, Position(chunks[-1].round.round_id, len(chunks[-1].indices)))
        chunks.append(Chunk(round_, indices))
        left -= len(indices)
    return Page(chunks, None)


def _rounds(truth: SessionTruth, group: AccountGroup, range_: Range, first_round: int) -> Iterator[Round]:
    first = max(first_round, truth.round_of(range_.start))
    for round_id in range(first, range_.end + 1, truth.round_s):
        yield truth.round(group, round_id)
