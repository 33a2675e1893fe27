"""The two ports, small and honest: an API with late commits and a quota, and the simulation's cluster for one shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import anyio
import trio

from collector.core.model import (
    AccountGroup,
    AccountGroupList,
    Answer,
    Destination,
    Page,
    PageRequest,
    Record,
)
from collector.errors import ApiRejected, Rejection, SourceError
from collector.ports import Admit, at_once
from tests.core.pages import EPOCH, make_page, regular_id, v6_row
from tests.core.quota_server import QuotaServer
from tests.simulation.cluster import FakeCluster, FakeSink, Fate

__all__ = ["FakeApi", "FakeKafka", "FakeSink", "Session", "server_time"]


def server_time() -> float:
    """The truth about time, seconds since 1970; it moves only when everybody sleeps."""
    return EPOCH + trio.current_time()


class Session(NamedTuple):
    """A session of the fake API: whole seconds of server time."""

    aid: str
    suffix: str
    date: int
    committed: float

    @property
    def identifier(self) -> str:
        return regular_id(self.date // 60 * 60, self.suffix, self.aid)


ROW_BYTES = 350
"""Of one session in an answer, about."""

Fault = Callable[[PageRequest | None], SourceError | None]
"""What stands in for an answer; None: the answer comes. The request is None for the list of account groups."""


class FakeApi:
    """One organization's API; ``quota`` is shared with nobody unless a test spends from it."""

    def __init__(self, aids: list[str], sessions: list[Session], *, limit: int = 240, page_rows: int = 25) -> None:
        self.aids, self.sessions, self.page_rows = aids, sessions, page_rows
        self.quota = QuotaServer(limit)
        self.fault: Fault = lambda request: None
        self.latency_s: Callable[[], float] = lambda: 0.1
        self.order: Callable[[Session], str] = lambda session: session.identifier  # oldest first, as documented
        self.asked: list[tuple[float, PageRequest | None]] = []
        self.being_asked: Counter[str] = Counter()

    async def account_groups(self) -> AccountGroupList:
        answer = await self._answer(None)
        return AccountGroupList(tuple(AccountGroup(aid) for aid in self.aids), answer)

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        self.being_asked[request.aid] += 1
        assert self.being_asked[request.aid] <= 2, "three walks of one account group"
        try:
            answer = await self._answer(request)
        finally:
            self.being_asked[request.aid] -= 1
        window, after = request.window, request.continuation or ""
        rows = [
            session
            for session in self.sessions
            if session.aid == request.aid
            and window.start <= session.date <= window.end
            and session.committed <= server_time()
            and self.order(session) > after
        ]
        rows.sort(key=self.order)
        here = rows[: self.page_rows]
        continuation = self.order(here[-1]) if len(rows) > len(here) else None
        page = make_page([v6_row(session.identifier, session.date) for session in here], continuation)
        await admit(answer, len(here) * ROW_BYTES)
        return Page(page.rows, continuation, answer, page.form, page.source_bytes)

    async def _answer(self, request: PageRequest | None) -> Answer:
        self.asked.append((trio.current_time(), request))
        await anyio.sleep(self.latency_s() / 2)
        status, quota, date = self.quota.request(server_time())
        error = self.fault(request)
        await anyio.sleep(self.latency_s() / 2)
        answer = Answer(status, quota, date)
        if status == 429:
            raise ApiRejected(Rejection.RATE_LIMITED, "429", answer)
        if error is not None:
            raise error
        return answer

    async def aclose(self) -> None:
        """Nothing to close."""


class FakeKafka(FakeCluster):
    """The simulation's cluster with one shard; ``fails`` decides about each publication."""

    def __init__(self, seed: int = 0, failure_share: float = 0.0, latency_s: float = 0.015) -> None:
        super().__init__(latency_s=(latency_s, latency_s))
        self.records: list[Record] = []
        self.readers.append(self.records.append)
        self.fate = lambda shard, is_barrier: None if is_barrier else _FATES[self.fails()]
        self._lots, self._failure_share = Random(seed), failure_share

    @property
    def state(self) -> dict[str, bytes]:
        """What is durable."""
        return self.state_of(0)

    def fails(self) -> str | None:
        """The outcome of the next transaction: an error before it is committed, an error after, or none."""
        return self._lots.choice(["before", "after"]) if self._lots.random() < self._failure_share else None

    def events(self) -> Counter[str]:
        """How often each session can be read."""
        return Counter(r.key.decode() for r in self.records if r.destination is Destination.EVENTS)


_FATES = {None: None, "before": Fate.REFUSED, "after": Fate.ANSWER_LOST}
