"""The stage of one simulation: workers, group, cluster and APIs, and what a plan of faults can do to them."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from random import Random

import anyio
from anyio.abc import TaskGroup

from collector.core.backfill import BackfillRequest
from collector.core.backfill_jobs import Letter
from tests.core.pages import EPOCH
from tests.simulation.api import Order, Paging, SimulatedApi, server_time
from tests.simulation.cluster import FakeSink, Fate, Step
from tests.simulation.worker import FakeGroup, Parts, Worker


@dataclass(slots=True)
class _Trap:
    shard: int
    step: Step
    left: int
    down_s: float
    skip: int


class Stage:
    """What runs, and the switches of its faults.

    Args:
        parts: what all workers share.
        workers: how many there are at most.
        rng: decides the fate of transactions.
    """

    def __init__(self, parts: Parts, workers: int, rng: Random) -> None:
        self.parts = parts
        self.workers = [Worker(f"worker-{number}", parts) for number in range(workers)]
        self.group = FakeGroup(sorted({plan.shard for plan in parts.organizations}), parts.trace)
        self.leads_s: dict[str, float] = {}
        self.done: Counter[str] = Counter()  # what befell workers, by kind
        # All other mutable state: until when workers stay down, and which faults are set.
        self._rng = rng
        self._down_until = [0.0] * workers
        self._look = [anyio.Event() for _ in self.workers]
        self._killed = [False] * workers
        self._traps: list[_Trap] = []
        self._fates: dict[int, deque[Fate]] = {}
        self._rough_share = 0.0
        self._tasks: TaskGroup | None = None
        parts.cluster.fate = self._fate
        parts.cluster.reached = self._reached

    def run(self, tasks: TaskGroup) -> None:
        """Start all workers."""
        self._tasks = tasks
        for number in range(len(self.workers)):
            tasks.start_soon(self._keep_running, number)

    async def _keep_running(self, number: int) -> None:
        worker = self.workers[number]
        assert self._tasks is not None
        while True:
            while anyio.current_time() < self._down_until[number]:
                with anyio.CancelScope(deadline=self._down_until[number]):
                    await self._look[number].wait()
            self._killed[number] = False
            self.group.join(worker, self._tasks)
            await worker.live()
            self.group.leave(worker, self._tasks, missed=self._killed[number])

    # --- faults -----------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Everything works again, and all workers are there."""
        self._traps.clear()
        self._fates.clear()
        self._rough_share = self.parts.cluster.away_until = 0.0
        self.group.stale_s = 0.0
        for plan in self.parts.organizations:
            plan.api.calm()
        for number in range(len(self.workers)):
            self._stay_down(number, 0.0)

    def kill(self, number: int, down_s: float) -> None:
        """SIGKILL, and a start after a while."""
        self._stay_down(number, down_s)
        self._killed[number] = True
        self.done["kills"] += self.workers[number].process is not None
        self.workers[number].kill()

    def stop(self, number: int, down_s: float) -> None:
        """SIGTERM, and a start after a while."""
        self._stay_down(number, down_s)
        self.done["stops"] += self.workers[number].process is not None
        self.workers[number].stop()

    def all_down(self, down_s: float, *, killed: bool) -> None:
        """A long downtime of everything."""
        self.done["downtimes"] += 1
        for number in range(len(self.workers)):
            (self.kill if killed else self.stop)(number, down_s)

    def freeze(self, number: int, frozen_s: float) -> None:
        """The process stands still, the group takes it for dead, and then it goes on."""
        worker = self.workers[number]
        if worker.process is not None and self._tasks is not None:
            self.done["freezes"] += 1
            worker.process.freeze(frozen_s)
            self.group.leave(worker, self._tasks, missed=True)
            self._tasks.start_soon(self._thaw, worker, worker.process.name, frozen_s)

    async def _thaw(self, worker: Worker, process: str, frozen_s: float) -> None:
        await anyio.sleep(frozen_s)
        if worker.process is not None and worker.process.name == process and worker not in self.group.members:
            assert self._tasks is not None
            self.group.join(worker, self._tasks)

    def move_shards(self, stale_s: float) -> None:
        """The group hands all shards out differently; who loses one hears of it later."""
        assert self._tasks is not None
        self.group.stale_s = stale_s
        self.group.turn += 1
        self.group.rebalance(self._tasks, 0.0)

    def kafka_away(self, away_s: float) -> None:
        """No broker answers."""
        self.parts.cluster.away_until = anyio.current_time() + away_s

    def rough(self, share: float) -> None:
        """A share of all transactions fails."""
        self._rough_share = share

    def aim(self, shard: int, fates: list[Fate]) -> None:
        """The next transactions of a shard fail in these ways."""
        self._fates.setdefault(shard, deque()).extend(fates)

    def trap(self, shard: int, step: Step, count: int, down_s: float, *, skip: int = 0) -> None:
        """Whoever owns a shard is killed when it reaches a step, so many times; but not the first ``skip`` times."""
        self._traps.append(_Trap(shard, step, count, down_s, skip))

    def switch(self, api: SimulatedApi, name: str, value: object) -> None:
        """Turn one switch of an API."""
        if name == "date_off_s":
            assert isinstance(value, float)
            self.leads_s[api.name] = max(self.leads_s.get(api.name, 0.0), value)
        api.switch(name, value)

    def new_token(self, name: str) -> None:
        """Other credentials are configured."""
        for plan in self.parts.organizations:
            if plan.api.name == name:
                plan.api.fingerprint += "+"

    def reorder(self, api: SimulatedApi, order: Order, paging: Paging) -> None:
        """Walks that begin from now on see rows in another order."""
        api.switches.order, api.switches.paging = order, paging

    def ask(self, api: SimulatedApi, job: str, start: float, end: float, share: float) -> None:
        """An operator wants a range, virtual seconds."""
        now, first, last = server_time(), EPOCH + int(start), EPOCH + int(end)
        request = BackfillRequest(job, api.name, first, last, None, share, now)
        api.asked_before.append((job, now, first, last))
        shard = next(plan.shard for plan in self.parts.organizations if plan.api is api)
        self.parts.cluster.letters.setdefault(shard, []).append(Letter(request.key, request.to_bytes(), now))

    # --- what the cluster asks --------------------------------------------------------------------------------------

    def _fate(self, shard: int, is_barrier: bool) -> Fate | None:
        aimed = self._fates.get(shard)
        if aimed:
            return aimed.popleft()
        if self._rough_share and self._rng.random() < self._rough_share:
            return self._rng.choice(list(Fate))
        return None

    def _reached(self, sink: FakeSink, step: Step) -> None:
        for trap in self._traps:
            if trap.shard == sink.shard and trap.step is step:
                if trap.skip:
                    trap.skip -= 1
                    continue
                trap.left -= 1
                if not trap.left:
                    self._traps.remove(trap)
                self.parts.trace.add(f"{sink.process.name}: reached '{step}' of shard {sink.shard}")
                self.kill(self._number_of(sink), trap.down_s)
                return

    def _number_of(self, sink: FakeSink) -> int:
        name = sink.process.name.partition(".")[0]
        return next(number for number, worker in enumerate(self.workers) if worker.name == name)

    def _stay_down(self, number: int, down_s: float) -> None:
        self._down_until[number] = anyio.current_time() + down_s
        self._look[number].set()
        self._look[number] = anyio.Event()
