"""Shows people what is in the topics, as a ``read_committed`` consumer sees it.

The one rule: it only looks. No consumer group, no commits, no transactional id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import StartRefused
from collector.kafka.administration import cluster
from collector.kafka.committed_reader import committed_reader
from collector.kafka.errors import unreadable
from collector.kafka.settings import KafkaSettings

# How long one poll waits for records, milliseconds; only a bound, since polls follow each other.
POLL_MS = 1000


@dataclass(frozen=True, slots=True)
class TailRecord:
    """One committed record.

    Args:
        topic: where it is.
        partition: the same.
        offset: the same.
        timestamp_ms: record timestamp, milliseconds since 1970.
        key: bytes, or None.
        headers: names and values, in order.
        value: bytes; None is a tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None


async def tail(
    settings: KafkaSettings,
    topics: Sequence[str] | None = None,
    *,
    from_beginning: bool = False,
    max_records: int | None = None,
) -> AsyncIterator[TailRecord]:
    """Follows topics until ``max_records`` were seen, for ever without it. Order holds within a partition only.

    Args:
        settings: see there.
        topics: which ones; None: the events topic.
        from_beginning: from the oldest record, instead of what arrives from now on.
        max_records: end after so many, >= 0; None: never.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: a topic does not exist.
    """
    names = tuple(topics) if topics is not None else (settings.events_topic,)
    left = max_records
    try:
        async with committed_reader(
            settings, role="tail", start_at="earliest" if from_beginning else "latest"
        ) as consumer:
            await _assign(consumer, settings, names)
            while left is None or left > 0:
                for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=left)).values():
                    for record in records:
                        yield _tail_record(record)
                    left = None if left is None else left - len(records)
    except (KafkaError, TimeoutError, OSError, AssertionError) as error:
        raise unreadable(f"reading {', '.join(names)}", settings.bootstrap_servers, error) from error


async def _assign(consumer: Any, settings: KafkaSettings, names: Sequence[str]) -> None:
    """Takes all partitions, and fixes now where each begins, so that nothing that arrives meanwhile is missed."""
    async with asyncio.timeout(settings.admin_timeout_s):
        async with cluster(settings) as brokers:
            known = await brokers.topics(names)
        missing = [name for name in names if name not in known]
        if missing:
            raise StartRefused(
                f"kafka: there is no topic {', '.join(missing)} at {settings.bootstrap_servers}, or no right to see it"
            )
        partitions = [TopicPartition(name, number) for name in names for number in range(known[name].partitions)]
        consumer.assign(partitions)
        for partition in partitions:
            await consumer.position(partition)


def _tail_record(record: Any) -> TailRecord:
    return TailRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        headers=tuple(record.headers),
        value=record.value,
    )
