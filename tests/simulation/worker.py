"""Workers, each with a `Shard` a shard that the group hands it, and the group, which is wrong at times.

Rule: what runs in a worker is the collector's own code (`ShardKeeper` and everything below it); only the two ports, the
clock and the group are ours. A worker that is killed leaves nothing behind but what the cluster has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup

from collector.core.backfill_jobs import Letter
from collector.core.collect import PageCollector
from collector.core.progress import ProgressSettings
from collector.errors import OrganizationStalled, PublishFailed
from collector.organization import Organization
from collector.ports import BackfillPorts
from collector.service.ownership import ShardKeeper
from collector.shard import Shard
from tests.organization.world import Diary, VirtualClock, make_settings
from tests.simulation.api import SimulatedApi
from tests.simulation.cluster import START_TIMEOUT_S, FakeCluster, FakeSink
from tests.simulation.process import Killed, Process
from tests.simulation.trace import Trace

SESSION_TIMEOUT_S = 10.0
"""How long the group takes to miss a killed worker; one that leaves is replaced at once."""

LOOK_EVERY_S = 120.0
"""How soon a wish for a backfill is noticed: every three seconds would be most of a month's work."""

REBALANCE_S = 1.5
DRAIN_S = 120.0
"""A planned stop that takes longer than this is a defect: a request or a transaction has shorter deadlines."""


@dataclass(frozen=True, slots=True)
class OrganizationPlan:
    """One organization as every worker is configured with it."""

    api: SimulatedApi
    shard: int
    concurrency: int
    poll_interval_s: float
    quota_share: float
    progress: ProgressSettings


@dataclass(slots=True)
class Parts:
    """What all workers share."""

    cluster: FakeCluster
    organizations: list[OrganizationPlan]
    collector: PageCollector
    trace: Trace
    rng: Random
    shards: int
    published: Callable[[str, int, int], set[str]] = lambda source, start, end: set()
    starts: int = 0
    walks: Counter[str] = field(default_factory=Counter)  # finished ones, by lane


class Reporter(Diary):
    """Both observers of one process: into the trace; a defect of our own code ends the simulation."""

    def __init__(self, process: Process, parts: Parts) -> None:
        super().__init__()
        self._name, self._process, self._trace, self._walks = process.name, process, parts.trace, parts.walks

    def walk_finished(self, walk: Any, progress: Any, duration_s: float) -> None:
        """Counted: too many to keep."""
        self._walks[walk.lane] += 1

    def ranges_lost(self, aid: str, ranges: Any) -> None:
        """Into the trace; what is durable of it is judged at checkpoints."""
        self._trace.add(f"{self._name}: lost of account group {aid}: {[one[:3] for one in ranges]}")

    def failed(self, aid: str | None, error: Any, where: str) -> None:
        """Expected, and traced where it was made."""

    def backfill_changed(self, job: Any) -> None: ...

    def crashed(self, aid: str | None, error: Exception) -> None:
        """The collector's own code failed."""
        raise AssertionError(f"{self._name}: a page of account group {aid} could not be processed") from error

    def restored(self, shard: int, keys: int, duration_s: float) -> None:
        """The shard is owned."""
        self._trace.add(f"{self._name}: owns shard {shard}, {keys} keys")

    def lost(self, shard: int, error: Exception, retry_s: float) -> None:
        """It starts over; anything but a failed publication would be a defect."""
        self._trace.add(f"{self._name}: lost shard {shard}: {error}")
        if not isinstance(error, PublishFailed):
            raise AssertionError(f"{self._name}: shard {shard} failed by itself: {error!r}") from error

    def removed(self, shard: int, organization: str) -> None:
        """Nobody is, here."""

    def organization_failed(self, organization: str, error: Exception, retry_s: float) -> None:
        """Nothing here may fail in one organization alone: it would be a defect, or a stall beyond every deadline."""
        if not (isinstance(error, OrganizationStalled) and self._process.was_frozen):  # then its clock went on
            raise AssertionError(f"{self._name}: organization {organization} failed by itself: {error!r}") from error

    def organization_restored(self, organization: str) -> None:
        """Nobody fails."""

    def committed(self, shard: int, records: int, publications: int) -> None:
        """Too many to keep, and the cluster traces them."""


class Worker:
    """One place where a process runs, dies and is started again.

    Args:
        name: of the place; processes add a number.
        parts: what all workers share.
    """

    def __init__(self, name: str, parts: Parts) -> None:
        self.name = name
        self.shards: set[int] = set()  # what the group told it
        self.process: Process | None = None
        self._parts = parts
        self._keeper: ShardKeeper | None = None

    def tell(self, shards: set[int]) -> None:
        """The group hands it exactly these shards."""
        if shards != self.shards and self._keeper is not None:
            self.shards = set(shards)
            self._keeper.own(shards)

    def stop(self) -> None:
        """SIGTERM: drain what it owns, then end."""
        if self._keeper is not None:
            self._keeper.drain()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self._parts.trace.add(f"{self.process.name}: killed")
            self.process.kill()

    async def live(self) -> None:
        """One life; returns when it has stopped or was killed."""
        parts = self._parts
        parts.starts += 1
        process = self.process = Process(f"{self.name}.{parts.starts}")
        self._keeper = ShardKeeper(cast(Any, _Factory(parts, process)), observer=cast(Any, _Ownership(process, parts)))
        parts.trace.add(f"{process.name}: starts")
        try:
            with process.scope:
                await self._keeper.run()
        except* Killed:
            pass
        parts.trace.add(f"{process.name}: ended")
        self.process, self._keeper, self.shards = None, None, set()


@dataclass(frozen=True, slots=True)
class _Ownership:
    """What `ShardKeeper` tells, into the trace."""

    process: Process
    parts: Parts

    def placed(self, organizations: Mapping[int, Sequence[str]]) -> None:
        """Always the same here."""

    def assigned(self, ours: frozenset[int]) -> None:
        """The group said so."""
        self.parts.trace.add(f"{self.process.name}: told {sorted(ours)}")

    def released(self, number: int, organizations: Sequence[str], *, is_lost: bool) -> None:
        """A shard came to its end here."""
        self.parts.trace.add(f"{self.process.name}: gave shard {number} back")


@dataclass(frozen=True, slots=True)
class _Factory:
    """Builds shards as `service.assembly` does, over the two fake ports."""

    parts: Parts
    process: Process

    def organizations_by_shard(self) -> dict[int, list[str]]:
        """The names of the organizations on each shard that holds any."""
        by_shard: dict[int, list[str]] = {}
        for plan in self.parts.organizations:
            by_shard.setdefault(plan.shard, []).append(plan.api.name)
        return dict(sorted(by_shard.items()))

    def shard(self, number: int) -> Shard:
        """A new shard with its organizations."""
        parts, process = self.parts, self.process
        clock = VirtualClock(parts.rng.choice([0.0, 0.0, 90.0, -3_000.0]))
        reporter = Reporter(process, parts)
        organizations = [
            Organization(
                make_settings(
                    plan.api.name,
                    plan.progress,
                    concurrency=plan.concurrency,
                    poll_interval_s=plan.poll_interval_s,
                    quota_share=plan.quota_share,
                ),
                source=plan.api.source(process),
                collector=parts.collector,
                fingerprint=_fingerprint(plan.api),
                clock=clock,
                rng=Random(parts.rng.random()),
                observer=reporter,
                backfill=BackfillPorts(self._letters(number), self._published, LOOK_EVERY_S),
            )
            for plan in parts.organizations
            if plan.shard == number
        ]
        return Shard(
            number,
            organizations,
            open_sink=lambda: FakeSink(parts.cluster, number, process),
            rng=Random(parts.rng.random()),
            monotonic=clock.monotonic,
            observer=reporter,
        )

    def _letters(self, shard: int) -> Callable[[int | None], Any]:
        cluster, process = self.parts.cluster, self.process

        async def letters(offset: int | None) -> tuple[Sequence[Letter], int]:
            await cluster.exchange(process, START_TIMEOUT_S)
            written = cluster.letters.get(shard, [])
            return written[offset or 0 :], len(written)

        return letters

    async def _published(self, source: str, start: int, end: int, by_page: bool) -> set[str]:
        for _ in range(self.parts.rng.choice([1, 20])):  # reading takes time, and a broker may be away
            await self.parts.cluster.exchange(self.process, START_TIMEOUT_S)
        return self.parts.published(source, start, end)


def _fingerprint(api: SimulatedApi) -> Callable[[], Any]:
    async def fingerprint() -> str:
        return api.fingerprint

    return fingerprint


@dataclass(slots=True)
class FakeGroup:
    """Hands every shard to one of its members; told late at times, so that two believe.

    Args:
        shards: all that there are.
        trace: is told of everything.
    """

    shards: list[int]
    trace: Trace
    members: list[Worker] = field(default_factory=list)
    stale_s: float = 0.0  # how long a member that loses a shard does not hear of it
    turn: int = 0
    _generation: int = 0

    def join(self, worker: Worker, tasks: TaskGroup) -> None:
        """A worker came."""
        self.members.append(worker)
        self.rebalance(tasks, REBALANCE_S)

    def leave(self, worker: Worker, tasks: TaskGroup, *, missed: bool) -> None:
        """A worker left, or (``missed``) was not heard of any more."""
        if worker in self.members:
            self.members.remove(worker)
            self.rebalance(tasks, SESSION_TIMEOUT_S if missed else REBALANCE_S)

    def rebalance(self, tasks: TaskGroup, after_s: float) -> None:
        """Hand all shards out anew, a while from now."""
        self._generation += 1
        tasks.start_soon(self._assign, self._generation, after_s, tasks)

    async def _assign(self, generation: int, after_s: float, tasks: TaskGroup) -> None:
        await anyio.sleep(after_s)
        if generation != self._generation or not self.members:
            return
        members = sorted(self.members, key=lambda worker: worker.name)
        handed: dict[str, set[int]] = {worker.name: set() for worker in members}
        for index, shard in enumerate(self.shards):
            handed[members[(index + self.turn) % len(members)].name].add(shard)
        self.trace.add("group: " + ", ".join(f"{name} {sorted(shards)}" for name, shards in handed.items()))
        for worker in members:
            mine = handed[worker.name]
            if self.stale_s and worker.shards - mine:
                worker.tell(worker.shards | mine)
                tasks.start_soon(self._tell_later, generation, worker, mine, self.stale_s)
            else:
                worker.tell(mine)

    async def _tell_later(self, generation: int, worker: Worker, shards: set[int], after_s: float) -> None:
        await anyio.sleep(after_s)
        if generation == self._generation:
            worker.tell(shards)
