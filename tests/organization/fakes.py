"""The two ports, small and honest: an API with late commits and a quota, and a Kafka with unknown outcomes."""

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
    Publication,
    Record,
)
from collector.errors import ApiRejected, PublishFailed, RecordsRejected, Rejection, SourceError
from tests.core.pages import EPOCH, make_page, regular_id, v6_row
from tests.core.quota_server import QuotaServer


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


Fault = Callable[[PageRequest | None], SourceError | None]
"""What stands in for an answer; None: the answer comes. The request is None for the list of account groups."""


class FakeApi:
    """One organization's API; ``quota`` is shared with nobody unless a test spends from it."""

    def __init__(self, aids: list[str], sessions: list[Session], *, limit: int = 240, page_rows: int = 25) -> None:
        self.aids, self.sessions, self.page_rows = aids, sessions, page_rows
        self.quota = QuotaServer(limit)
        self.fault: Fault = lambda request: None
        self.latency_s: Callable[[], float] = lambda: 0.1
        self.asked: list[tuple[float, PageRequest | None]] = []
        self.being_asked: Counter[str] = Counter()

    async def account_groups(self) -> AccountGroupList:
        answer = await self._answer(None)
        return AccountGroupList(tuple(AccountGroup(aid) for aid in self.aids), answer)

    async def fetch(self, request: PageRequest) -> Page:
        self.being_asked[request.aid] += 1
        assert self.being_asked[request.aid] == 1, "two walks of one account group"
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
            and session.identifier > after
        ]
        rows.sort(key=lambda session: session.identifier)
        here = rows[: self.page_rows]
        continuation = here[-1].identifier if len(rows) > len(here) else None
        page = make_page([v6_row(session.identifier, session.date) for session in here], continuation)
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


class FakeKafka:
    """What is durable, and who owns it. ``fails`` decides about each publication: None, "before" or "after"."""

    def __init__(self, seed: int = 0, failure_share: float = 0.0) -> None:
        self.state: dict[str, bytes] = {}
        self.records: list[Record] = []
        self.owner: FakeSink | None = None
        self.opened = self.transactions = 0
        self.refuses: Callable[[Record], bool] = lambda record: False
        self.refusals = 0
        self._rng, self._failure_share = Random(seed), failure_share

    def fails(self) -> str | None:
        """The outcome of the next transaction: an error before it is committed, an error after, or none."""
        return self._rng.choice(["before", "after"]) if self._rng.random() < self._failure_share else None

    def events(self) -> Counter[str]:
        """How often each session can be read."""
        return Counter(r.key.decode() for r in self.records if r.destination is Destination.EVENTS)


class FakeSink:
    """One owner of the shard; a newer one fences it."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.worn_out = False
        self.publishing = False

    async def open(self) -> dict[str, bytes]:
        await anyio.sleep(0.5)
        self._kafka.opened += 1
        self._kafka.owner = self
        return dict(self._kafka.state)

    async def publish(self, publication: Publication) -> None:
        assert not self.publishing, "one transaction at a time"
        self.publishing = True
        outcome = self._kafka.fails()
        await anyio.sleep(0.02)
        if any(self._kafka.refuses(record) for record in publication.records):
            self._kafka.refusals += 1
            raise RecordsRejected("a batch was refused", topic="events", partition=0, reason="MessageSizeTooLargeError")
        if outcome == "before" or self._kafka.owner is not self:
            raise PublishFailed("the outcome is unknown")  # and the sink stays `publishing`: it is unusable
        self._kafka.records.extend(publication.records)
        for key, value in publication.changes:
            if value is None:
                self._kafka.state.pop(key, None)
            else:
                self._kafka.state[key] = value
        self._kafka.transactions += 1
        await anyio.sleep(0.02)
        if outcome == "after":
            raise PublishFailed("the outcome is unknown")
        self.publishing = False

    async def close(self) -> None:
        await anyio.sleep(0.1)
