"""The truth: which sessions took place, when the controller committed them, and what their rows say.

One rule: the rows of a round are a pure function of (seed, aid, round) and the settings. Nothing here knows what time
it is; a reader compares `committed` with the server's clock. So a restart, a faster clock and a second process show the
same sessions, and the truth of any range can be listed at any time.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from collector.simulator.entropy import PAIRS, draw, fraction, poisson
from collector.simulator.fleet import SITES, Fleet
from collector.simulator.settings import SimulatorSettings

_ROW = struct.Struct("<24H")
_HEAD_BYTES = 8
_PAIR_COUNT = len(PAIRS)
_SITE_COUNT = len(SITES)
_WHOLE = 65536
"""Shares are compared with 16 bits of entropy."""
_SCORE_ZERO_BELOW = _WHOLE * 2 // 100

BAD_KINDS = (
    "id-missing",
    "id-number",
    "round-text",
    "round-fraction",
    "port-text",
    "date-text",
    "date-missing",
    "row-text",
    "row-array",
)
"""Ways in which a bad row is bad; `bad_rows.py` makes them."""

SCORE_ABSENT, ORGANIZATION_ABSENT, PAGE_ABSENT = 1, 2, 4
"""Bits of `SessionRow.absent`."""


class SessionRow(NamedTuple):
    """One row of the list. A session has one row, or several that differ in their page."""

    session_id: str
    round_id: int
    date: int
    """Epoch second at which the session took place, by the agent's clock."""
    committed: int
    """Epoch second from which on the API shows the row."""
    changed_at: int
    """Epoch second from which on the row shows its second version; 0: never."""
    agent: int
    site: int
    page_id: str
    pages: int
    score: float
    absent: int
    late: bool
    unusual: bool
    automatic: bool
    bad: str
    """One of BAD_KINDS; empty for a good row."""
    ordinal: int
    """Number of the row within its round as drawn; names a bad row."""
    several: bool = False
    """Whether the session has other rows too; then a row stands for its own page only."""


@dataclass(frozen=True, slots=True)
class AccountGroup:
    """One account group: what it is called and how busy it is."""

    aid: int
    name: str
    organization: str
    sessions_per_round: float
    fleet: Fleet


RowEncoder = Callable[[AccountGroup, SessionRow, bool], bytes]
"""Writes a row as it appears in an answer; the flag asks for its second version."""


class Round:
    """The rows of one account group in one round, oldest first, and their encoded form. Owns that cache."""

    __slots__ = ("_encoded", "changes", "committed_max", "date_max", "date_min", "group", "round_id", "rows")

    def __init__(self, group: AccountGroup, round_id: int, rows: list[SessionRow]) -> None:
        self.group, self.round_id, self.rows = group, round_id, rows
        self.committed_max = max((row.committed for row in rows), default=0)
        self.date_min = rows[0].date if rows else 0
        self.date_max = rows[-1].date if rows else 0
        self.changes = any(row.changed_at for row in rows)
        self._encoded: dict[RowEncoder, list[bytes]] = {}

    def encoded(self, encode: RowEncoder) -> list[bytes]:
        """All rows in their first version, encoded once."""
        known = self._encoded.get(encode)
        if known is None:
            group = self.group
            # Copied, because the JSON encoder's results keep the buffer they were written into: 4 KiB a row (measured).
            known = [bytes(memoryview(encode(group, row, False))) for row in self.rows]
            self._encoded[encode] = known
        return known


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """The settings of `SimulatorSettings` that shape rows; shares as 16-bit numbers to compare entropy with."""

    round_s: int
    delay_min_s: int
    delay_max_s: int
    late: float
    late_max_s: float
    skewed: float
    skew_max_s: float
    changed: float
    change_delay_s: int
    several: float
    absent: float
    unusual: float
    bad: float


class SessionTruth:
    """Gives the rows of any round of any account group.

    Owns a cache of rounds, bounded by `cache_rows_max` rows; dropping any of it changes nothing but speed.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._thresholds = _Thresholds(
            round_s=settings.inferred.round_s,
            delay_min_s=settings.commit_delay_min_s,
            delay_max_s=settings.commit_delay_max_s,
            late=settings.late_share * _WHOLE,
            late_max_s=settings.late_max_s,
            skewed=settings.skewed_agents_share * _WHOLE,
            skew_max_s=settings.skew_max_s,
            changed=settings.changed_share * _WHOLE,
            change_delay_s=settings.change_delay_max_s,
            several=settings.several_rows_share * _WHOLE,
            absent=settings.optional_absent_share * _WHOLE,
            unusual=settings.unusual_share * _WHOLE,
            bad=settings.bad_share * _WHOLE,
        )
        self._rounds: OrderedDict[tuple[int, int], Round] = OrderedDict()
        self._cached_rows = 0

    @property
    def round_s(self) -> int:
        """Length of a round in seconds."""
        return self._thresholds.round_s

    def round_of(self, epoch_s: float) -> int:
        """The round that a time belongs to: the epoch second of its start."""
        return int(epoch_s // self.round_s) * self.round_s

    def round(self, group: AccountGroup, round_id: int) -> Round:
        """The rows of one round, made or remembered."""
        key = (group.aid, round_id)
        known = self._rounds.get(key)
        if known is not None:
            self._rounds.move_to_end(key)
            return known
        made = Round(group, round_id, self._rows(group, round_id))
        self._rounds[key] = made
        # An empty round costs a place too, or quiet groups would fill the memory.
        self._cached_rows += len(made.rows) + 1
        while self._cached_rows > self._settings.cache_rows_max and len(self._rounds) > 1:
            _, dropped = self._rounds.popitem(last=False)
            self._cached_rows -= len(dropped.rows) + 1
        return made

    def _rows(self, group: AccountGroup, round_id: int) -> list[SessionRow]:
        key = (self._settings.seed, "round", group.aid, round_id)
        count = poisson(group.sessions_per_round, fraction(draw(_HEAD_BYTES, *key)))
        if not count:
            return []
        data = draw(_HEAD_BYTES + _ROW.size * count, *key)
        prefix = f"{group.aid:05d}:{round_id}:"
        agents, several = len(group.fleet), self._thresholds.several
        rows: list[SessionRow] = []
        suffixes: set[str] = set()
        for words in _ROW.iter_unpack(data[_HEAD_BYTES:]):
            suffix = _eight(words[0], words[1], words[2], words[3])
            # Ids must be unique; a repeated draw is as good as impossible but would look like a bug of the reader.
            while suffix in suffixes:
                suffix = f"{(int(suffix, 36) + 1) % 10**8:08d}"
            suffixes.add(suffix)
            row = self._row(words, prefix + suffix, round_id, agents, len(rows))
            if words[23] < several and not row.bad:
                self._add_pages(rows, row, 2 + words[16] % 2)
            else:
                rows.append(row)
        rows.sort(key=_by_date)
        return rows

    def _row(self, words: tuple[int, ...], session_id: str, round_id: int, agents: int, ordinal: int) -> SessionRow:
        at = self._thresholds
        date = round_id + words[8] % at.round_s
        late = words[9] < at.late
        bad = words[22] < at.bad
        committed = date + self._delay_s(words, late)
        return SessionRow(
            session_id,
            round_id,
            date,
            committed,
            committed + 1 + words[14] % at.change_delay_s if words[12] < at.changed and not bad else 0,
            words[15] % agents,
            words[16] % _SITE_COUNT,
            _eight(words[4], words[5], words[6], words[7]),
            # One session in four has more than one page.
            1 + (words[13] % 4 if words[13] & 0x300 == 0 else 0),
            # Two rows in a hundred carry 0, which the API gives when the score cannot be computed.
            (words[17] % 98 + 3) / 100 if words[17] >= _SCORE_ZERO_BELOW else 0.0,
            (words[18] < at.absent) | (words[19] < at.absent) << 1 | (words[20] < at.absent) << 2,
            late,
            words[21] < at.unusual,
            words[17] & 7 == 0,
            BAD_KINDS[words[14] % len(BAD_KINDS)] if bad else "",
            ordinal,
        )

    def _delay_s(self, words: tuple[int, ...], late: bool) -> int:
        at = self._thresholds
        if words[11] < at.skewed:
            return -int(at.skew_max_s * (words[10] + 1) / _WHOLE)
        if late and at.late_max_s > at.delay_max_s:
            # Evenly on a logarithmic scale: minutes are as usual as hours.
            return int((at.delay_max_s + 1) * (at.late_max_s / (at.delay_max_s + 1)) ** (words[10] / (_WHOLE - 1)))
        return at.delay_min_s + words[10] % (at.delay_max_s - at.delay_min_s + 1)

    @staticmethod
    def _add_pages(rows: list[SessionRow], row: SessionRow, count: int) -> None:
        absent = row.absent & ~PAGE_ABSENT
        for number in range(count):
            page_id = row.page_id[:-1] + "abc"[number]
            rows.append(row._replace(page_id=page_id, pages=count, absent=absent, ordinal=len(rows), several=True))


def _eight(first: int, second: int, third: int, fourth: int) -> str:
    """Eight letters and digits of four words."""
    return (
        PAIRS[first % _PAIR_COUNT]
        + PAIRS[second % _PAIR_COUNT]
        + PAIRS[third % _PAIR_COUNT]
        + PAIRS[fourth % _PAIR_COUNT]
    )


def _by_date(row: SessionRow) -> int:
    return row.date
