"""Two brokers behind one face: the simulation's cluster, and a real one read by another library.

Rule: a contract test knows only what is here and the port, so that it cannot tell which one it talks to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from collector.core.model import Destination, Record
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import TopicLayout
from collector.ports import Sink
from tests.kafka import librdkafka
from tests.kafka.owners import before_commit
from tests.simulation.cluster import FakeCluster, FakeSink, Fate, Step

RECORD_BYTES_REFUSED = 3_000
"""Records with a value this large are refused by the broker once `Broker.refuse_large_events` was called."""


class Broker(Protocol):
    """What a contract test may do besides using sinks."""

    def sink(self, shard: int = 0) -> Sink:
        """A new sink, not opened."""

    async def events(self) -> list[str]:
        """Keys of all events that can be read, sorted; one that is there twice shows twice."""

    async def dead_letters(self) -> list[str]:
        """The same of dead letters."""

    async def state(self, shard: int = 0) -> dict[str, bytes]:
        """The durable state of a shard as a reader sees it."""

    def before_commit(self, sink: Sink, happens: Callable[[], Awaitable[None]]) -> None:
        """Let something happen in the next publication: everything was sent, nothing is decided."""

    def lose_answer(self, sink: Sink) -> None:
        """The next commit takes effect, and its answer never arrives."""

    async def refuse_large_events(self) -> None:
        """From now on the broker takes no events of ``RECORD_BYTES_REFUSED`` and more."""


class FakeBroker:
    """The simulation's cluster."""

    def __init__(self) -> None:
        self._cluster = FakeCluster(latency_s=(0.0, 0.001))
        self._records: list[Record] = []
        self._cluster.readers.append(self._records.append)

    def sink(self, shard: int = 0) -> Sink:
        return FakeSink(self._cluster, shard)

    async def events(self) -> list[str]:
        return self._keys(Destination.EVENTS)

    async def dead_letters(self) -> list[str]:
        return self._keys(Destination.DEAD_LETTERS)

    async def state(self, shard: int = 0) -> dict[str, bytes]:
        return dict(self._cluster.state_of(shard))

    def before_commit(self, sink: Sink, happens: Callable[[], Awaitable[None]]) -> None:
        exchange = self._cluster.exchange
        sent = False

        def reached(who: FakeSink, step: Step) -> None:
            nonlocal sent
            sent = sent or (who is sink and step is Step.SENT)

        async def interrupted(*arguments: float) -> None:
            nonlocal sent
            if sent:
                self._cluster.exchange = exchange  # type: ignore[method-assign]
                sent = False
                await happens()
            await exchange(*arguments)  # type: ignore[arg-type]

        self._cluster.reached = reached
        self._cluster.exchange = interrupted  # type: ignore[method-assign, assignment]

    def lose_answer(self, sink: Sink) -> None:
        fates: list[Fate | None] = [Fate.ANSWER_LOST]
        self._cluster.fate = lambda shard, is_barrier: fates.pop() if fates and not is_barrier else None

    async def refuse_large_events(self) -> None:
        self._cluster.refuses = lambda record: (
            record.destination is Destination.EVENTS and len(record.value) >= RECORD_BYTES_REFUSED
        )

    def _keys(self, destination: Destination) -> list[str]:
        return sorted(record.key.decode() for record in self._records if record.destination is destination)


class RealBroker:
    """A real broker and the real sink; librdkafka reads."""

    def __init__(self, settings: KafkaSettings, layout: TopicLayout) -> None:
        self._settings, self._layout = settings, layout

    def sink(self, shard: int = 0) -> Sink:
        return TransactionalSink(self._settings, self._layout, shard)

    async def events(self) -> list[str]:
        return await librdkafka.keys(self._settings.bootstrap_servers, self._settings.events_topic)

    async def dead_letters(self) -> list[str]:
        return await librdkafka.keys(self._settings.bootstrap_servers, self._settings.dead_letters_topic)

    async def state(self, shard: int = 0) -> dict[str, bytes]:
        return await librdkafka.state(self._settings.bootstrap_servers, self._settings.state_topic, shard)

    def before_commit(self, sink: Sink, happens: Callable[[], Awaitable[None]]) -> None:
        assert isinstance(sink, TransactionalSink)
        before_commit(sink, happens)

    def lose_answer(self, sink: Sink) -> None:
        assert isinstance(sink, TransactionalSink)
        producer = sink._producer
        commit = producer.commit_transaction

        async def unheard() -> None:
            await commit()
            raise ConnectionError("the answer was lost on purpose")

        producer.commit_transaction = unheard

    async def refuse_large_events(self) -> None:
        await librdkafka.alter_topic(
            self._settings.bootstrap_servers, self._settings.events_topic, {"max.message.bytes": "2000"}
        )
