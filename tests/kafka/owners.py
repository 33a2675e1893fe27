"""Opens and closes sinks for tests, and stops them at chosen points."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import TopicLayout, ensure_topics


@asynccontextmanager
async def owner(
    settings: KafkaSettings, shard: int = 0, layout: TopicLayout | None = None
) -> AsyncIterator[tuple[TransactionalSink, dict[str, bytes]]]:
    """An open sink and the state that it restored; closed at the end."""
    sink = TransactionalSink(settings, layout or await ensure_topics(settings), shard)
    try:
        yield sink, await sink.open()
    finally:
        await sink.close()


def before_commit(sink: TransactionalSink, happens: Callable[[], Awaitable[None] | None]) -> None:
    """Lets something happen when all records are acknowledged and the commit is about to be asked for.

    aiokafka's producer is changed, not our code: this is the one moment at which nobody outside could interfere.
    """
    producer = sink._producer
    commit = producer.commit_transaction

    async def interrupted() -> None:
        pending = happens()
        if pending is not None:
            await pending
        await commit()

    producer.commit_transaction = interrupted
