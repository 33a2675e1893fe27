"""Reads the state topic from outside: what its owners have made durable, without taking anything over.

The one rule: it only looks. No barrier, no transactional id, no consumer group; so it fences nobody, and what is
committed while it reads may be missing. An owner restores through `collector.kafka.reader` instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import StartRefused
from collector.kafka.administration import cluster
from collector.kafka.committed_reader import committed_reader
from collector.kafka.errors import unreadable
from collector.kafka.reader import POLL_MS
from collector.kafka.settings import KafkaSettings
from collector.kafka.topic_rules import ObservedTopic, shard_counts

FOLLOW_S = 1.0
"""How often whoever follows keys hears that nothing happened."""

SIGN_OF_LIFE_EVERY_S = 10.0
SIGN_OF_LIFE_WITHIN_S = 5.0
"""A poll of brokers that are gone is as silent as one of brokers that have nothing; so in silence they are asked."""


class News(NamedTuple):
    """What was committed of a key that is followed; None instead of a value: it was deleted."""

    key: str
    value: bytes | None


class Silence(NamedTuple):
    """Nothing was committed for `FOLLOW_S`; ``is_away``: as far as is known, because no broker answers."""

    is_away: bool


async def read_state(
    settings: KafkaSettings, wanted: Callable[[str], bool], *, shard: int | None = None
) -> dict[str, bytes]:
    """What was committed in all shards when the call began: the last value of each key, without tombstones.

    Args:
        settings: ``restore_timeout_s`` is how long the reader may make no progress.
        wanted: keys to keep; the ids already published are most of a state.
        shard: of this one only; None: of all.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: there is no such topic, or with a shard it has another number of them than is configured.
    """
    state: dict[str, bytes] = {}
    try:
        async with committed_reader(settings, role="state", start_at="earliest") as consumer:
            partitions = await (_partitions(settings) if shard is None else _partition_of(settings, shard))
            consumer.assign(partitions)
            async with asyncio.timeout(settings.restore_timeout_s) as deadline:
                # With read_committed: behind the last record of a transaction that is decided.
                left = {p: end for p, end in (await consumer.end_offsets(partitions)).items() if end > 0}
                while left:
                    for records in (await consumer.getmany(*left, timeout_ms=POLL_MS)).values():
                        _fold(records, state, wanted)
                        deadline.reschedule(asyncio.get_running_loop().time() + settings.restore_timeout_s)
                    # Positions pass markers and aborted records, of which the poll says nothing.
                    left = {p: end for p, end in left.items() if await consumer.position(p) < end}
    except (KafkaError, TimeoutError, OSError, AssertionError) as error:
        raise unreadable(f"reading {settings.state_topic}", settings.bootstrap_servers, error) from error
    return state


@asynccontextmanager
async def follow_state(
    settings: KafkaSettings, shard: int, wanted: Callable[[str], bool]
) -> AsyncIterator[AsyncIterator[News | Silence]]:
    """What becomes of keys: all that is committed once the block has begun, and a `Silence` now and then without.

    Brokers that go away are waited for: what is committed when they are back is seen.

    Args:
        settings: see there.
        shard: partition of the state topic.
        wanted: keys to follow.

    Raises:
        KafkaUnreachable: no broker answered in time, or the broker refuses to let us read.
        StartRefused: there is no such topic, or it has another number of shards than is configured.
    """
    async with AsyncExitStack() as stack:
        try:
            consumer = await stack.enter_async_context(committed_reader(settings, role="follow", start_at="latest"))
            (partition,) = await _partition_of(settings, shard)
            consumer.assign([partition])
            async with asyncio.timeout(settings.admin_timeout_s):
                await consumer.position(partition)  # fixed now: whatever is written from here on is seen
            news = await stack.enter_async_context(aclosing(_news(settings, consumer, partition, wanted)))
        except (KafkaError, TimeoutError, OSError, AssertionError) as error:
            raise unreadable(f"following {settings.state_topic}", settings.bootstrap_servers, error) from error
        yield news  # outside: what the block raises is no news of Kafka


async def _news(
    settings: KafkaSettings, consumer: Any, partition: TopicPartition, wanted: Callable[[str], bool]
) -> AsyncGenerator[News | Silence, None]:
    clock = asyncio.get_running_loop().time
    answered_at, is_away = clock(), False
    while True:
        try:
            polled = (await consumer.getmany(timeout_ms=round(FOLLOW_S * 1000))).values()
        except (KafkaError, TimeoutError, OSError, AssertionError) as error:
            if not (isinstance(error, KafkaError) and error.retriable):
                raise unreadable(f"following {settings.state_topic}", settings.bootstrap_servers, error) from error
            await asyncio.sleep(FOLLOW_S)  # errors come without any pause
            polled = ()
        if polled:
            answered_at, is_away = clock(), False
        found = False
        for record in (record for records in polled for record in records):
            key = (record.key or b"").decode("utf-8", "replace")
            if wanted(key):
                found = True
                yield News(key, record.value)
        if found:
            continue
        if is_away or clock() - answered_at >= SIGN_OF_LIFE_EVERY_S:
            is_away = not await _is_alive(consumer, partition)
            answered_at = clock()
        yield Silence(is_away)


async def _is_alive(consumer: Any, partition: TopicPartition) -> bool:
    """Whether the partition's leader answers."""
    try:
        async with asyncio.timeout(SIGN_OF_LIFE_WITHIN_S):
            await consumer.end_offsets([partition])
    except (KafkaError, TimeoutError, OSError, AssertionError):
        return False
    return True


async def refuse_other_shards(settings: KafkaSettings) -> None:
    """Refuse to address a shard when the topics have another number of them: it would be another owner's.

    Raises:
        KafkaError, OSError, TimeoutError: no broker answered.
        StartRefused: they have.
    """
    _refuse_other_shards(settings, await _topics(settings, settings.state_topic, settings.shards_topic))


def _refuse_other_shards(settings: KafkaSettings, topics: Mapping[str, ObservedTopic]) -> None:
    if found := shard_counts(settings, topics):
        raise StartRefused(f"kafka: {found[0]}")


async def _topics(settings: KafkaSettings, *names: str) -> dict[str, ObservedTopic]:
    async with asyncio.timeout(settings.admin_timeout_s), cluster(settings) as brokers:
        return await brokers.topics(names)


async def _partition_of(settings: KafkaSettings, shard: int) -> list[TopicPartition]:
    return [(await _partitions(settings, is_by_shard=True))[shard]]


async def _partitions(settings: KafkaSettings, *, is_by_shard: bool = False) -> list[TopicPartition]:
    name = settings.state_topic
    known = await _topics(settings, name)
    if is_by_shard:
        _refuse_other_shards(settings, known)
    if name not in known:
        raise StartRefused(
            f"kafka: there is no topic {name} at {settings.bootstrap_servers}, or no right to see it; it is created by "
            "the first start of the collector"
        )
    return [TopicPartition(name, number) for number in range(known[name].partitions)]


def _fold(records: list[Any], state: dict[str, bytes], wanted: Callable[[str], bool]) -> None:
    for record in records:
        key = (record.key or b"").decode("utf-8", "replace")
        if not wanted(key):
            continue
        if record.value is None:
            state.pop(key, None)
        else:
            state[key] = record.value
