"""Reads back which events were published of a span of time.

The one rule: whatever was acknowledged before the call is seen if it was committed, wherever it stands. Offsets do not
follow record timestamps (late and backfilled sessions stand at the end), so a reading goes to the end of every
partition; and it goes to the *high watermark* as it was at the call: what ``read_committed`` calls the end lies before
any open transaction, of any other shard too, and our own last commits may stand behind it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import PublishFailed, TooManyEvents
from collector.kafka.administration import cluster
from collector.kafka.closing import close_consumer
from collector.kafka.committed_reader import committed_reader
from collector.kafka.connection import client_arguments
from collector.kafka.errors import describe
from collector.kafka.reader import POLL_MS
from collector.kafka.settings import KafkaSettings

IDS_MAX = 1_000_000
"""Ids that are held in memory for one span: some 110 MB."""

_MS = 1000


async def published_ids(
    settings: KafkaSettings, source: str, start: int, end: int, by_page: bool, *, ids_max: int = IDS_MAX
) -> set[str]:
    """The ids of the events of one account group whose sessions took place from ``start`` to ``end``.

    Args:
        settings: see there; ``restore_timeout_s`` is how long the reader may make no progress.
        source: ``ce_source`` of the events.
        start: first second.
        end: last second.
        by_page: identities are page rows: event ids; otherwise session ids.
        ids_max: more are not held.

    Raises:
        PublishFailed: it could not be read to its end; try again later.
        TooManyEvents: there are more than ``ids_max``.
    """
    ids: set[str] = set()
    try:
        partitions = await _partitions(settings)
        spans = await _offsets(settings, partitions, max(0, start) * _MS)
        async with committed_reader(settings, role="published", start_at="earliest") as reader:
            reader.assign(list(spans))
            left = {partition: last for partition, (_, last) in spans.items()}
            for partition, (first, _) in spans.items():
                reader.seek(partition, first)
            async with asyncio.timeout(settings.restore_timeout_s) as deadline:
                position = -1
                while left:
                    for records in (await reader.getmany(*left, timeout_ms=POLL_MS)).values():
                        for record in records:
                            if (found_id := _id_of(record, source.encode(), start, end, by_page)) is not None:
                                ids.add(found_id)
                    if len(ids) > ids_max:
                        raise TooManyEvents(f"more than {ids_max} events of {source} within {end - start} s")
                    positions = {p: await reader.position(p) for p in left}
                    left = {p: last for p, last in left.items() if positions[p] < last}
                    if (reached := sum(positions.values())) != position:
                        position = reached
                        deadline.reschedule(asyncio.get_running_loop().time() + settings.restore_timeout_s)
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise PublishFailed(
            f"kafka: {settings.events_topic} at {settings.bootstrap_servers} could not be read back ({describe(error)})"
        ) from error
    return ids


async def _partitions(settings: KafkaSettings) -> list[TopicPartition]:
    name = settings.events_topic
    async with asyncio.timeout(settings.admin_timeout_s), cluster(settings) as brokers:
        known = await brokers.topics((name,))
    if name not in known:
        raise PublishFailed(f"kafka: there is no topic {name} at {settings.bootstrap_servers}, or no right to see it")
    return [TopicPartition(name, number) for number in range(known[name].partitions)]


async def _offsets(
    settings: KafkaSettings, partitions: list[TopicPartition], time_ms: int
) -> dict[TopicPartition, tuple[int, int]]:
    """Where to read: from the first record that is not older than the time to the high watermark, if there is any.

    Asked without ``read_committed``: with it, brokers answer no offset behind an open transaction.
    """
    consumer = AIOKafkaConsumer(
        **client_arguments(settings, role="published-ends"), group_id=None, isolation_level="read_uncommitted"
    )
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            await consumer.start()
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.offsets_for_times(dict.fromkeys(partitions, time_ms))
            return {
                partition: (found.offset, ends[partition])
                for partition, found in begins.items()
                if found is not None and found.offset < ends[partition]
            }
    finally:
        await close_consumer(consumer, settings.close_timeout_s)


def _id_of(record: Any, source: bytes, start: int, end: int, by_page: bool) -> str | None:
    """The id of an event, if it is one of the account group and the span."""
    headers = dict(record.headers)
    if headers.get("ce_source") != source or record.value is None:
        return None
    try:
        # The record timestamp may be the time of collection, by choice, and was perhaps at the time.
        took_place = datetime.fromisoformat(headers["ce_time"].decode()).timestamp()
        if not start <= took_place <= end:
            return None
        if by_page:
            event_id: str = headers["ce_id"].decode()
            return event_id.rpartition("#")[0] if "ce_revision" in headers else event_id
        return str(orjson.loads(record.value)["userSessionId"])
    except (KeyError, ValueError, TypeError):
        return None
