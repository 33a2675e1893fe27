"""One organization on one shard, the API and Kafka as fakes, in virtual time: hours take seconds."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

import anyio
import trio
from trio.testing import MockClock

from collector.core.backfill_jobs import Letter
from collector.core.ledger_entries import Lost
from collector.core.model import AccountGroup, Destination, Lane, MonoS
from collector.core.progress import Progress, ProgressSettings
from collector.core.walk import Walk
from collector.core.windows import Sweep
from collector.errors import RecordsRejected, SourceError
from collector.organization import Organization, OrganizationSettings
from collector.ports import BackfillPorts
from collector.shard import Shard
from tests.core.pages import EPOCH, make_collector
from tests.organization.fakes import FakeApi, FakeKafka, Session
from tests.simulation.cluster import FakeSink

T = TypeVar("T")
NAME = "example"
OVERLAP_S = 300
LOOKBACK_S = 3_600
PROGRESS = ProgressSettings(
    LOOKBACK_S, OVERLAP_S, 86_400, overlap_max_s=1_200, sweeps=(Sweep(3_600, 900), Sweep(None, 3_600))
)
HISTORY_S = 1_800
"""Sessions begin this long before a test does: a first walk that comes late still reaches back to them."""


def run(main: Callable[[], Awaitable[T]], seed: int = 0) -> T:
    """Run on trio with a clock that jumps when everybody sleeps. The scheduler is pinned: one seed is one run."""
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[attr-defined]
    trio._core._run._r.seed(seed)  # type: ignore[attr-defined]
    options = {"clock": _jumping_clock()}
    return anyio.run(main, backend="trio", backend_options=options)


def _jumping_clock() -> MockClock:
    """A clock that does nothing but jump, and asks no real clock for that: a month asks it a hundred million times."""
    clock = MockClock(autojump_threshold=0)
    virtual = 0.0

    def jump() -> None:
        nonlocal virtual
        deadline = trio._core._run.GLOBAL_RUN_CONTEXT.runner.deadlines.next_deadline()
        if virtual < deadline < inf:
            virtual = deadline

    clock.current_time = lambda: virtual  # type: ignore[method-assign]
    clock._autojump = jump  # type: ignore[method-assign]
    return clock


@dataclass(slots=True)
class VirtualClock:
    """The machine's clocks; the wall clock is wrong by ``skew_s``."""

    skew_s: float = 0.0

    def monotonic(self) -> MonoS:
        return MonoS(trio.current_time())

    def wall(self) -> float:
        return EPOCH + self.skew_s + trio.current_time()


@dataclass(slots=True)
class Diary:
    """Both observers: what the organization and the shard told."""

    parked_aids: list[str] = field(default_factory=list)
    failures: list[tuple[str | None, str]] = field(default_factory=list)
    finished: list[tuple[float, str]] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    lost_ranges: list[tuple[str, Lost]] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    resumptions: list[float] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)
    losses: list[Exception] = field(default_factory=list)
    failed_alone: list[tuple[str, Exception]] = field(default_factory=list)
    transactions: list[int] = field(default_factory=list)
    jobs: list[Any] = field(default_factory=list)
    outlooks: dict[str, Any] = field(default_factory=dict)
    ledgers: dict[str, Any] = field(default_factory=dict)
    rejected: int = 0
    in_flight: int = 0

    def account_groups(self, groups: Sequence[AccountGroup]) -> None: ...

    def answered(self, answer: Any, budget: Any, clock: Any, now: Any) -> None:
        self.rejected, self.in_flight = budget.rejected_total, budget.in_flight

    def published(self, *what: Any) -> None: ...

    def progressed(self, aid: str, progress: Progress) -> None:
        self.ledgers[aid] = progress.ledger

    def walk_finished(self, walk: Walk, progress: Any, duration_s: float) -> None:
        self.walks.append(walk)
        if walk.lane is Lane.HOT:
            self.finished.append((trio.current_time(), walk.aid))

    def ranges_lost(self, aid: str, ranges: Sequence[Lost]) -> None:
        self.lost_ranges.extend((aid, one) for one in ranges)

    def failed(self, aid: str | None, error: SourceError, where: str) -> None:
        self.failures.append((aid, error.detail))

    def parked(self, aid: str, error: SourceError | RecordsRejected) -> None:
        self.parked_aids.append(aid)

    def stopped(self, error: SourceError) -> None:
        self.stops.append(trio.current_time())

    def resumed(self) -> None:
        self.resumptions.append(trio.current_time())

    def backfill_changed(self, job: Any) -> None: ...

    def backfills(self, jobs: Any) -> None:
        self.jobs = list(jobs)

    def planned(self, outlooks: Any) -> None:
        self.outlooks = dict(outlooks)

    def crashed(self, aid: str | None, error: Exception) -> None:
        self.crashes.append(error)

    def restored(self, shard: int, keys: int, duration_s: float) -> None: ...

    def lost(self, shard: int, error: Exception, retry_s: float) -> None:
        self.losses.append(error)

    def removed(self, shard: int, organization: str) -> None: ...

    def organization_failed(self, organization: str, error: Exception, retry_s: float) -> None:
        self.failed_alone.append((organization, error))

    def organization_restored(self, organization: str) -> None: ...

    def committed(self, shard: int, records: int, publications: int) -> None:
        self.transactions.append(publications)


def make_settings(
    name: str, progress: ProgressSettings, *, concurrency: int, poll_interval_s: float, quota_share: float
) -> OrganizationSettings:
    """What an organization is told, for all tests on virtual time."""
    return OrganizationSettings(name, None, concurrency, poll_interval_s, quota_share, progress)


@dataclass(slots=True)
class World:
    """Everything of one run. `shard` makes a new process on what is durable."""

    api: FakeApi
    kafka: FakeKafka = field(default_factory=FakeKafka)
    diary: Diary = field(default_factory=Diary)
    concurrency: int = 4
    poll_interval_s: float = 30.0
    quota_share: float = 0.8
    skew_s: float = 0.0
    collector: Any = field(default_factory=make_collector)
    fingerprint: str = "first"
    progress: ProgressSettings = PROGRESS
    seed: int = 0
    organization: Any = None
    letters: list[Letter] = field(default_factory=list)
    read_back: list[tuple[str, int, int]] = field(default_factory=list)

    def shard(self) -> Shard:
        """A new process that owns the shard once it runs."""
        clock, rng = VirtualClock(self.skew_s), random.Random(self.seed)

        async def fingerprint() -> str:
            return self.fingerprint

        settings = make_settings(
            NAME,
            self.progress,
            concurrency=self.concurrency,
            poll_interval_s=self.poll_interval_s,
            quota_share=self.quota_share,
        )
        self.organization = Organization(
            settings,
            source=self.api,
            collector=self.collector,
            fingerprint=fingerprint,
            clock=clock,
            rng=rng,
            observer=self.diary,
            backfill=BackfillPorts(self.new_letters, self.published),
        )
        return Shard(
            0,
            [self.organization],
            open_sink=lambda: FakeSink(self.kafka),
            rng=rng,
            monotonic=clock.monotonic,
            observer=self.diary,
        )

    async def new_letters(self, offset: int | None) -> tuple[list[Letter], int]:
        """The mailbox of the shard."""
        await anyio.sleep(0.01)
        return self.letters[offset or 0 :], len(self.letters)

    async def published(self, source: str, start: int, end: int, by_page: bool) -> set[str]:
        """The events topic, read back."""
        self.read_back.append((source, start - EPOCH, end - EPOCH))
        records = [record for record in self.kafka.records if record.destination is Destination.EVENTS]
        await anyio.sleep(0.5)
        return {
            record.key.decode()
            for record in records
            if dict(record.headers)["ce_source"] == source.encode() and start <= record.timestamp_ms / 1000 <= end
        }

    async def collect_for(self, duration_s: float) -> None:
        """One process for so long, then a drain; it must end by itself soon after."""
        shard, end = self.shard(), trio.current_time() + duration_s

        async def drain() -> None:
            await anyio.sleep_until(end)
            shard.drain()

        with anyio.fail_after(duration_s + 60.0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drain)
                await shard.run()

    async def catch_up(self) -> None:
        """One process that ends when it has reached now; a bound on its time."""
        with anyio.fail_after(20_000.0):
            await self.shard().run(until_caught_up=True)

    def missing(self, until: float) -> list[Session]:
        """Sessions that were committed before ``until`` (virtual seconds) and cannot be read."""
        events = self.kafka.events()
        return [
            session
            for session in self.api.sessions
            if session.committed < EPOCH + until and not events[session.identifier]
        ]

    def assert_each_once(self, until: float) -> None:
        """Nothing lost, nothing twice."""
        assert not self.missing(until)
        assert not [identifier for identifier, count in self.kafka.events().items() if count > 1]


def make_sessions(aids: Sequence[str], count: int, until_s: float, seed: int = 0) -> list[Session]:
    """Sessions from ``HISTORY_S`` before the test on, some committed up to the overlap late."""
    rng = random.Random(seed)
    sessions = []
    for number in range(count):
        date = EPOCH + int(rng.uniform(-HISTORY_S, until_s))
        late_s = rng.choice([1.0, 2.0, 2.5, rng.uniform(0, OVERLAP_S)])
        sessions.append(Session(rng.choice(aids), f"n{number:07}", date, date + late_s))
    return sessions
