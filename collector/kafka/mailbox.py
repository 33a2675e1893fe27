"""Letters to the owner of a shard: records in its partition of the shards topic, which anybody may write.

The one rule: a letter changes nothing by itself. Its reader heeds it in a transaction of its own, once, by the letter's
key; so letters may be read again, and stay until the topic's retention removes them.

The worker looks with one reader for all of its shards, from where each of them had come: one question to a broker a
look, as long as nothing is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.core.backfill_jobs import Letter
from collector.errors import PublishFailed
from collector.kafka.closing import close_producer
from collector.kafka.committed_reader import committed_reader
from collector.kafka.connection import client_arguments
from collector.kafka.errors import KafkaUnreachable, describe, unreadable
from collector.kafka.reader import POLL_MS
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import refuse_other_shards

ENDS_FRESH_S = 1.0
"""The ends of all partitions are asked for together, this often at most, however many organizations look."""


class Mailbox:
    """Reads the letters of this worker's shards. Mutable: the reader, made anew after any error, and known ends.

    Args:
        settings: see there; ``admin_timeout_s`` bounds a look.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._open: Any = None  # the context that closes the reader
        self._reader: Any = None
        self._ends: dict[TopicPartition, int] = {}
        self._ends_at = 0.0

    async def read(self, shard: int, offset: int | None) -> tuple[list[Letter], int]:
        """The letters from an offset on.

        Args:
            shard: partition of the shards topic.
            offset: where to go on; None: at the first record that is there.

        Returns:
            The letters in the order in which they were written, and the offset to go on at.

        Raises:
            PublishFailed: they could not be read; try again later.
        """
        partition = TopicPartition(self._settings.shards_topic, shard)
        try:
            async with asyncio.timeout(self._settings.admin_timeout_s), self._lock:
                try:
                    return await self._read(partition, offset)
                except BaseException:
                    await self._close()
                    raise
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            raise PublishFailed(
                f"kafka: partition {shard} of {self._settings.shards_topic} at {self._settings.bootstrap_servers} "
                f"cannot be read ({describe(error)}); requests of operators wait"
            ) from error

    async def aclose(self) -> None:
        """Close the reader."""
        async with self._lock:
            await self._close()

    async def _read(self, partition: TopicPartition, offset: int | None) -> tuple[list[Letter], int]:
        if self._reader is None:
            self._open = committed_reader(self._settings, role="mailbox", start_at="earliest")
            self._reader = await self._open.__aenter__()
        reader = self._reader
        end = await self._end(partition)
        if offset is not None and offset == end:
            return [], end
        reader.assign([partition])
        begin = (await reader.beginning_offsets([partition]))[partition]
        # An offset beyond the end means that the topic was made anew.
        reader.seek(partition, begin if offset is None or offset > end else max(begin, offset))
        letters: list[Letter] = []
        while await reader.position(partition) < end:
            letters += _letters((await reader.getmany(partition, timeout_ms=POLL_MS)).get(partition, []))
        self._ends[partition] = await reader.position(partition)
        return letters, self._ends[partition]

    async def _end(self, partition: TopicPartition) -> int:
        now = asyncio.get_running_loop().time()
        if partition not in self._ends or now - self._ends_at >= ENDS_FRESH_S:
            self._ends = await self._reader.end_offsets([*self._ends.keys() | {partition}])
            self._ends_at = now
        return self._ends[partition]

    async def _close(self) -> None:
        opened, self._open, self._reader = self._open, None, None
        self._ends = {}
        if opened is not None:
            await opened.__aexit__(None, None, None)


async def all_letters(settings: KafkaSettings, *, shard: int | None = None) -> list[Letter]:
    """The letters to the owners of all shards, those to one owner in the order in which they were written.

    Args:
        settings: see there; ``restore_timeout_s`` bounds it.
        shard: to the owner of this one only; None: to all.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: the topics have another number of shards than is configured.
    """
    letters: list[Letter] = []
    partitions = [
        TopicPartition(settings.shards_topic, number) for number in range(settings.shards) if shard in (None, number)
    ]
    try:
        await refuse_other_shards(settings)
        async with committed_reader(settings, role="letters", start_at="earliest") as reader:
            reader.assign(partitions)
            async with asyncio.timeout(settings.restore_timeout_s):
                left = {p: end for p, end in (await reader.end_offsets(partitions)).items() if end > 0}
                while left:
                    for records in (await reader.getmany(*left, timeout_ms=POLL_MS)).values():
                        letters += _letters(records)
                    left = {p: end for p, end in left.items() if await reader.position(p) < end}
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise unreadable(f"reading {settings.shards_topic}", settings.bootstrap_servers, error) from error
    return letters


def _letters(records: Iterable[Any]) -> list[Letter]:
    return [
        Letter(record.key.decode("utf-8", "replace"), record.value, record.timestamp / 1000)
        for record in records
        if record.key is not None and record.value is not None
    ]


async def write_letters(settings: KafkaSettings, shard: int, letters: Mapping[str, bytes]) -> None:
    """Write letters to the owner of a shard, whoever that is, now or later.

    Args:
        settings: see there; ``start_timeout_s`` and ``send_timeout_s`` apply.
        shard: partition of the shards topic.
        letters: key -> value.

    Raises:
        KafkaUnreachable: no acknowledgement in time; it may be written nevertheless, and writing again does no harm.
    """
    producer = AIOKafkaProducer(
        **client_arguments(settings, role="letters"), acks="all", enable_idempotence=True, compression_type=None
    )
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            await producer.start()
        async with asyncio.timeout(settings.send_timeout_s):
            for key, value in letters.items():
                await producer.send_and_wait(settings.shards_topic, value, key=key.encode(), partition=shard)
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise KafkaUnreachable(
            f"kafka: the request could not be written to {settings.shards_topic} at {settings.bootstrap_servers} "
            f"({describe(error)}); ask again"
        ) from error
    finally:
        await close_producer(producer, settings.close_timeout_s)
