"""The sessions of an organization: what its API will show, and from when on.

Rule: everything follows from the random source. Account groups differ by Zipf's law, days have a rhythm, some minutes
have bursts, laptops sleep and hand in hours at once, some rows are broken, some are written anew later.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any

from collector.core.windows import ROUND_S
from tests.core.pages import EPOCH, v6_row, v6_time

DAY_S = 86_400.0


@dataclass(slots=True)
class Version:
    """A row as it reads from a time on, seconds of server time; broken ones must become dead letters."""

    since: float
    row: Any
    broken: bool = False


@dataclass(slots=True)
class Session:
    """One session of the API.

    Args:
        aid: account group.
        identifier: of the session.
        date: when it took place, whole seconds of server time.
        round_id: of the round that the API files it under.
        versions: how its row reads, and from when on; the first one's time is its commit.
    """

    aid: str
    identifier: str
    date: int
    round_id: int
    versions: list[Version]
    # Where it stands in each order of rows, made once: every page sorts.
    oldest: tuple[int, str] = field(init=False)
    newest: tuple[int, str] = field(init=False)
    shuffled: str = field(init=False)
    by_commit: tuple[float, str] = field(init=False)

    def __post_init__(self) -> None:
        self.oldest, self.newest = (self.round_id, self.identifier), (-self.round_id, self.identifier)
        self.shuffled = blake2b(self.identifier.encode(), digest_size=8).hexdigest()
        self.by_commit = (self.committed, self.identifier)

    @property
    def committed(self) -> float:
        """From when on the API shows it."""
        return self.versions[0].since

    def row_at(self, now: float) -> Version:
        """How it reads now."""
        current = self.versions[0]
        for version in self.versions[1:]:
            if version.since <= now:
                current = version
        return current


@dataclass(slots=True)
class Archive:
    """The sessions of one account group, found by the time that the API selects on.

    Args:
        by_round: whether the API selects on the round instead of on the date.
        sessions: all of them, in any order.
        retention_s: how long after their date they are shown.
    """

    by_round: bool
    sessions: list[Session]
    retention_s: float = math.inf
    _keys: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions.sort(key=lambda session: (self._key(session), session.identifier))
        self._keys = [self._key(session) for session in self.sessions]

    def visible(self, start: int, end: int, now: float) -> list[Session]:
        """What the API shows of a closed range at ``now``, oldest first."""
        first, last = bisect_left(self._keys, start), bisect_right(self._keys, end)
        kept_from = now - self.retention_s
        return [s for s in self.sessions[first:last] if s.versions[0].since <= now and s.date >= kept_from]

    def since(self, date: float) -> Iterator[Session]:
        """All sessions from a date on."""
        for session in self.sessions[bisect_left(self._keys, date - ROUND_S) :]:
            if session.date >= date:
                yield session

    def _key(self, session: Session) -> int:
        return session.round_id if self.by_round else session.date


@dataclass(frozen=True, slots=True)
class Climate:
    """How an organization's sessions arrive.

    Args:
        sessions_per_day: of the whole organization.
        late_share: share of sessions that are committed later than seconds after they took place.
        overlap_s: lateness up to which sessions are common.
        late_horizon_s: lateness that is never exceeded.
        broken_share: share of rows that are no valid sessions.
        changed_share: share of rows that are written anew with other content.
    """

    sessions_per_day: float
    late_share: float
    overlap_s: int
    late_horizon_s: int
    broken_share: float = 0.01
    changed_share: float = 0.02


def make_sessions(aids: list[str], days: float, history_s: float, climate: Climate, rng: Random) -> list[Session]:
    """All sessions of an organization, from ``history_s`` before the simulation's begin to its end."""
    weights = [1.0 / rank for rank in range(1, len(aids) + 1)]
    start, end = -history_s, days * DAY_S
    times = _times(climate.sessions_per_day, start, end, rng)
    sleeps = _sleeps(start, end, climate.late_horizon_s, rng)
    sessions = []
    for number, time_s in enumerate(times):
        aid = rng.choices(aids, weights)[0]
        late_s = _lateness(climate, rng)
        for begin, wake in sleeps:
            if begin <= time_s < wake and rng.random() < 0.3:
                late_s = wake - time_s
        sessions.append(_session(aid, number, EPOCH + time_s, late_s, climate, rng))
    return sessions


def _times(per_day: float, start: float, end: float, rng: Random) -> list[float]:
    """A Poisson process whose rate follows the time of day, and bursts."""
    peak = per_day / DAY_S * 1.8
    times, now = [], start
    while (now := now + rng.expovariate(peak)) < end:
        if rng.random() < (1.0 + 0.8 * math.sin(2 * math.pi * (now / DAY_S - 0.25))) / 1.8:
            times.append(now)
    for _ in range(int((end - start) / DAY_S * 2)):
        burst, size = rng.uniform(start, end - 120.0), rng.randint(20, 120)
        times.extend(burst + rng.uniform(0.0, rng.choice([1.0, 30.0, 90.0])) for _ in range(size))
    return sorted(times)


def _sleeps(start: float, end: float, longest_s: float, rng: Random) -> list[tuple[float, float]]:
    """Spans after which some laptops wake up and hand in everything at once."""
    spans = []
    now = start
    while (now := now + rng.expovariate(1 / 20_000.0)) < end:
        spans.append((now, now + min(longest_s, rng.expovariate(1 / 5_000.0))))
    return spans


def _lateness(climate: Climate, rng: Random) -> float:
    if rng.random() >= climate.late_share:
        return rng.uniform(0.2, 5.0)
    kind = rng.random()
    if kind < 0.5:
        return rng.uniform(0.0, climate.overlap_s)
    if kind < 0.7:
        return float(climate.overlap_s)
    return math.exp(rng.uniform(math.log(60.0), math.log(climate.late_horizon_s)))


def _session(aid: str, number: int, time_s: float, late_s: float, climate: Climate, rng: Random) -> Session:
    date = int(time_s)
    round_id = date // ROUND_S * ROUND_S
    identifier = f"{aid:0>5}:{round_id}:s{number:07}" if rng.random() < 0.97 else f"other-{aid}-{number}"
    committed = date + late_s
    committed_text = v6_time(committed)
    row = v6_row(identifier, date, round_id, agentId=f"agent-{number % 97}", committed=committed_text, version=0)
    versions = [Version(committed, row)]
    chance = rng.random()
    if chance < climate.broken_share:
        versions = [Version(committed, _broken(row, aid, number, rng), broken=True)]
        if rng.random() < 0.3:  # put right soon after
            versions.append(Version(committed + rng.uniform(1.0, climate.overlap_s), row))
    elif chance < climate.broken_share + climate.changed_share:
        versions.append(Version(committed + rng.expovariate(1 / 1_000.0), {**row, "version": 1}))
    return Session(aid, identifier, date, round_id, versions)


def _broken(row: dict[str, Any], aid: str, number: int, rng: Random) -> Any:
    """A row that is no valid session; no two have the same bytes, so that each dead letter is known by them."""
    kind = rng.randrange(4)
    if kind == 0:
        return f"no row {aid}-{number}"
    if kind == 1:
        return {**row, "date": f"yesterday {aid}-{number}"}
    if kind == 2:
        return {name: value for name, value in row.items() if name != "roundId"} | {"number": number}
    return {**row, "userSessionId": "", "number": f"{aid}-{number}"}
