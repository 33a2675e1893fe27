"""Reads the state topic from outside: what its owners have made durable, without taking anything over.

The one rule: it only looks. No barrier, no transactional id, no consumer group; so it fences nobody, and what is
committed while it reads may be missing. An owner restores through `collector.kafka.reader` instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import StartRefused
from collector.kafka.administration import cluster
from collector.kafka.committed_reader import committed_reader
from collector.kafka.errors import unreadable
from collector.kafka.settings import KafkaSettings

# How long a poll waits for data, milliseconds; between polls the positions are looked at.
POLL_MS = 300

FOLLOW_S = 1.0
"""How often whoever follows a key hears that nothing happened."""


async def read_state(settings: KafkaSettings, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """What was committed in all shards when the call began: the last value of each key, without tombstones.

    Args:
        settings: ``restore_timeout_s`` is how long the reader may make no progress.
        wanted: keys to keep; the ids already published are most of a state.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: there is no such topic.
    """
    state: dict[str, bytes] = {}
    try:
        async with committed_reader(settings, role="state", start_at="earliest") as consumer:
            partitions = await _partitions(settings)
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
async def follow_state(settings: KafkaSettings, shard: int, key: str) -> AsyncIterator[AsyncIterator[bytes | None]]:
    """What becomes of a key: each value that is committed once the block has begun, and None every `FOLLOW_S` without.

    Args:
        settings: see there.
        shard: partition of the state topic.
        key: of the state.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: there is no such topic.
    """
    try:
        async with committed_reader(settings, role="follow", start_at="latest") as consumer:
            partition = (await _partitions(settings))[shard]
            consumer.assign([partition])
            async with asyncio.timeout(settings.admin_timeout_s):
                await consumer.position(partition)  # fixed now: whatever is written from here on is seen
            yield _values(consumer, key)
    except (KafkaError, TimeoutError, OSError, AssertionError) as error:
        raise unreadable(f"following {settings.state_topic}", settings.bootstrap_servers, error) from error


async def _values(consumer: Any, key: str) -> AsyncIterator[bytes | None]:
    while True:
        found = False
        for records in (await consumer.getmany(timeout_ms=round(FOLLOW_S * 1000))).values():
            for record in records:
                if record.key == key.encode() and record.value is not None:
                    found = True
                    yield record.value
        if not found:
            yield None


async def _partitions(settings: KafkaSettings) -> list[TopicPartition]:
    name = settings.state_topic
    async with asyncio.timeout(settings.admin_timeout_s), cluster(settings) as brokers:
        known = await brokers.topics((name,))
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
