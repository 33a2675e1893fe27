"""A Kafka cluster as a shard's sink meets it: transactional ids, epochs, fencing, transactions, a state topic.

Rule: faithful where the collector could notice; `tests/contracts` holds it to the same tests as the real sink on a real
broker. What is committed is told to ``readers`` at once; nothing else of a transaction ever shows.

What it models:
    - taking over bumps the epoch of the shard's transactional id and aborts what its predecessor left open;
    - a transaction is sent, then decided: between the two its owner may be fenced, die or lose its connection;
    - an answer may be lost before or after the decision, and a decision may come after the client's deadline (unless
      a successor fenced it by then);
    - a restore shows what was committed before the own barrier; a newer barrier means fenced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import anyio

from collector.core.backfill_jobs import Letter
from collector.core.model import Publication, Record
from collector.errors import Fenced, PublishFailed, RecordsRejected
from tests.simulation.process import Process
from tests.simulation.trace import Trace

SEND_TIMEOUT_S = 10.0
COMMIT_TIMEOUT_S = 10.0
START_TIMEOUT_S = 15.0
"""Deadlines of the real sink (`KafkaSettings`)."""

TRANSACTION_TIMEOUT_S = 30.0
"""A transaction that stays open longer is aborted by the broker, and its owner fenced."""


class Fate(StrEnum):
    """What becomes of a transaction besides its ordinary commit."""

    REFUSED = "refused"  # an error before anything was decided; it stays open until a successor aborts it
    ANSWER_LOST = "answer lost"  # committed, and then an error
    HANGS = "hangs"  # nothing arrives at the broker; the deadline of sending passes
    LATE = "late"  # the deadline of the commit passes, and the broker decides afterwards


class Step(StrEnum):
    """Where a sink can be met, in the order of its life."""

    TAKING_OVER = "taking over"
    EPOCH_BUMPED = "epoch bumped"
    SENDING = "sending"
    SENT = "sent"
    COMMITTED = "committed"
    RESTORED = "restored"


@dataclass(slots=True)
class _Transaction:
    epoch: int
    begun: float
    publication: Publication
    barrier: str | None
    decided_at: float | None = None  # of a commit that is on its way


@dataclass(slots=True)
class _Shard:
    """One transactional id and its partition of the state topic."""

    epoch: int = 0
    place: str = ""  # where the owner runs
    open: _Transaction | None = None
    barrier: str | None = None
    state: dict[str, bytes] = field(default_factory=dict)


READY, BUSY, UNKNOWN = "ready", "in the middle of a transaction", "unusable: an earlier outcome is unknown"
"""Phases of a sink, besides "not opened" and "closed"."""


class FakeCluster:
    """What is durable, who owns it, and what goes wrong.

    Args:
        rng: decides latencies.
        trace: is told of everything.
        latency_s: of one exchange with the broker, at least and at most, seconds.
    """

    def __init__(
        self, rng: Random | None = None, trace: Trace | None = None, latency_s: tuple[float, float] = (0.005, 0.03)
    ) -> None:
        self._rng, self._trace = rng or Random(0), trace or Trace()
        self._latency_s = latency_s
        self._shards: dict[int, _Shard] = {}
        self.readers: list[Callable[[Record], None]] = []
        self.fate: Callable[[int, bool], Fate | None] = lambda shard, is_barrier: None
        self.refuses: Callable[[Record], bool] = lambda record: False
        self.reached: Callable[[FakeSink, Step], None] = lambda sink, step: None
        self.away_until = 0.0
        self.opened = self.read_again = self.transactions = self.failures = self.fencings = self.refusals = 0
        self.restored = self.take_overs = self.tombstones = 0
        self.letters: dict[int, list[Letter]] = {}  # what was written to the owner of a shard

    def state_of(self, shard: int) -> dict[str, bytes]:
        """The committed state of a shard."""
        self._decide(shard)
        return self._shards.setdefault(shard, _Shard()).state

    # --- what a sink asks for -----------------------------------------------------------------------------------

    async def exchange(self, process: Process, deadline_s: float) -> None:
        """One request to a broker and its answer."""
        await process.pause(self._rng.uniform(*self._latency_s))
        if self.away_until > anyio.current_time():
            await process.pause(min(self.away_until - anyio.current_time(), deadline_s))
            if self.away_until > anyio.current_time():
                raise PublishFailed("the broker does not answer")

    def take_over(self, shard: int, place: str = "") -> int:
        """InitProducerId: fence whoever was before, and end its transaction."""
        self._decide(shard)
        owned = self._shards.setdefault(shard, _Shard())
        self.take_overs += owned.epoch > 0 and owned.place != place
        owned.place = place
        owned.epoch += 1
        owned.open = None
        self.opened += 1
        self._trace.add(f"kafka: shard {shard} epoch {owned.epoch}")
        return owned.epoch

    def send(self, shard: int, epoch: int, publication: Publication, barrier: str | None) -> None:
        """Records arrive at the broker inside a transaction."""
        self._require(shard, epoch)
        self._shards[shard].open = _Transaction(epoch, anyio.current_time(), publication, barrier)
        if any(self.refuses(record) for record in publication.records):
            self.refusals += 1
            raise RecordsRejected("a batch was refused", topic="events", partition=0, reason="MessageSizeTooLargeError")

    def commit(self, shard: int, epoch: int) -> None:
        """EndTxn arrives."""
        self._require(shard, epoch)
        transaction = self._shards[shard].open
        assert transaction is not None
        self._apply(shard, transaction)

    def commit_later(self, shard: int, epoch: int, decided_at: float) -> None:
        """EndTxn will arrive: unless its owner is fenced by then, it counts."""
        self._require(shard, epoch)
        transaction = self._shards[shard].open
        assert transaction is not None
        transaction.decided_at = decided_at

    def restore(self, shard: int, barrier: str) -> dict[str, bytes]:
        """The state up to the barrier of the reader."""
        self._decide(shard)
        owned = self._shards[shard]
        if owned.barrier != barrier:
            self.fencings += 1
            raise Fenced("fenced: a newer owner has written its barrier")
        self.restored += 1
        return dict(owned.state)

    # --- what happens at the broker -----------------------------------------------------------------------------

    def _require(self, shard: int, epoch: int) -> None:
        self._decide(shard)
        owned = self._shards[shard]
        transaction = owned.open
        if transaction is not None and transaction.begun + TRANSACTION_TIMEOUT_S < anyio.current_time():
            owned.epoch += 1
            owned.open = None
        if owned.epoch != epoch:
            self.fencings += 1
            self._trace.add(f"kafka: shard {shard} epoch {epoch} is fenced by {owned.epoch}")
            raise Fenced("fenced")

    def _decide(self, shard: int) -> None:
        """Commits that were on their way have arrived by now."""
        owned = self._shards.get(shard)
        transaction = None if owned is None else owned.open
        if transaction is None or transaction.decided_at is None:
            return
        if transaction.decided_at <= anyio.current_time():
            self._apply(shard, transaction)

    def _apply(self, shard: int, transaction: _Transaction) -> None:
        owned = self._shards[shard]
        owned.open = None
        if transaction.barrier is not None:
            owned.barrier = transaction.barrier
        records, changes = transaction.publication.records, transaction.publication.changes
        for key, value in changes:
            if value is None:
                self.tombstones += owned.state.pop(key, None) is not None
            else:
                owned.state[key] = value
        self.transactions += transaction.barrier is None
        self._trace.add(f"kafka: shard {shard} epoch {transaction.epoch} committed {len(records)} + {len(changes)}")
        for record in records:
            for reader in self.readers:
                reader(record)


class FakeSink:
    """One owner of a shard; the same phases as the real one, and as unusable after a failure.

    Args:
        cluster: where it publishes.
        shard: partition of the state topic.
        process: whose it is; a dead one's calls have no effect.
    """

    def __init__(self, cluster: FakeCluster, shard: int = 0, process: Process | None = None) -> None:
        self.cluster, self.shard, self.process = cluster, shard, process or Process()
        self.worn_out = False
        self.phase = "not opened"
        self._epoch = 0
        self._barriers = 0

    async def open(self) -> dict[str, bytes]:
        """Become the owner, and return the committed state."""
        assert self.phase == "not opened", "a sink is opened once"
        self.phase = UNKNOWN  # until it is known
        await self.cluster.exchange(self.process, START_TIMEOUT_S)
        self._reach(Step.TAKING_OVER)
        self._epoch = self.cluster.take_over(self.shard, self.process.name.partition(".")[0])
        self._reach(Step.EPOCH_BUMPED)
        barrier = f"{self.shard}/{self._epoch}"
        await self._transact(Publication([], ()), barrier)
        await self.cluster.exchange(self.process, START_TIMEOUT_S)
        state = self.cluster.restore(self.shard, barrier)
        self._reach(Step.RESTORED)
        self.phase = READY
        return state

    async def publish(self, publication: Publication) -> None:
        """Commit all of it, or raise: the outcome is unknown."""
        self.process.check()
        assert self.phase != BUSY, "one transaction at a time"
        if self.phase != READY:
            raise PublishFailed(f"the sink is {self.phase}")
        if not publication.records and not publication.changes:
            return
        self.phase = BUSY
        try:
            await self._transact(publication, None)
        except BaseException:
            self.phase = UNKNOWN
            raise
        self.phase = READY

    async def read_again(self) -> dict[str, bytes]:
        """The committed state up to a new barrier."""
        self.process.check()
        assert self.phase != BUSY, "one transaction at a time"
        if self.phase != READY:
            raise PublishFailed(f"the sink is {self.phase}")
        self.phase = UNKNOWN  # until it is known
        self._barriers += 1
        barrier = f"{self.shard}/{self._epoch}/{self._barriers}"
        await self._transact(Publication([], ()), barrier)
        await self.cluster.exchange(self.process, START_TIMEOUT_S)
        state = self.cluster.restore(self.shard, barrier)
        self.cluster.read_again += 1
        self.phase = READY
        return state

    async def close(self) -> None:
        """Let go; what is open stays open."""
        self.phase = "closed"
        if self.process.alive:
            await anyio.sleep(0.02)

    async def _transact(self, publication: Publication, barrier: str | None) -> None:
        cluster, process = self.cluster, self.process
        try:
            fate = cluster.fate(self.shard, barrier is not None)
            self._reach(Step.SENDING)
            await cluster.exchange(process, SEND_TIMEOUT_S)
            if fate is Fate.HANGS:
                await process.pause(SEND_TIMEOUT_S)
                raise PublishFailed("sending did not end")
            cluster.send(self.shard, self._epoch, publication, barrier)
            self._reach(Step.SENT)
            await cluster.exchange(process, COMMIT_TIMEOUT_S)
            if fate is Fate.REFUSED:
                raise PublishFailed("the commit was refused")
            if fate is Fate.LATE:
                cluster.commit_later(self.shard, self._epoch, anyio.current_time() + COMMIT_TIMEOUT_S + 0.4)
                await process.pause(COMMIT_TIMEOUT_S)
                raise PublishFailed("the commit did not end")
            cluster.commit(self.shard, self._epoch)
            self._reach(Step.COMMITTED)
            await cluster.exchange(process, COMMIT_TIMEOUT_S)
            if fate is Fate.ANSWER_LOST:
                raise PublishFailed("the commit's answer was lost")
        except PublishFailed:
            cluster.failures += 1
            raise

    def _reach(self, step: Step) -> None:
        self.process.check()
        self.cluster.reached(self, step)
        self.process.check()
