"""A reader that sees committed records only, opened and closed under deadlines.

The one rule: ``read_committed``, an explicit place to start, and no consumer group; aiokafka's own defaults are
``read_uncommitted`` and ``latest``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer

from collector.kafka.closing import close_consumer
from collector.kafka.connection import client_arguments
from collector.kafka.empty_control_batch import prepare_reader
from collector.kafka.settings import KafkaSettings

# One fetch of a state partition. The default of 1 MiB makes a restore of 80 MB twice as slow; memory is held only
# while a shard restores.
PARTITION_FETCH_BYTES = 8 * 1024 * 1024

# Errors come from a poll without any pause, 200 a second were measured.
BACKOFF_FIRST_S = 0.1
BACKOFF_LAST_S = 1.0


@asynccontextmanager
async def committed_reader(
    settings: KafkaSettings, *, role: str, start_at: Literal["earliest", "latest"]
) -> AsyncIterator[Any]:
    """A started consumer without partitions; the caller assigns them.

    Args:
        settings: see there; ``start_timeout_s`` and ``close_timeout_s`` apply.
        role: what it reads for; part of the client id.
        start_at: where a partition without a position begins.

    Raises:
        StartRefused: this aiokafka cannot read all logs.
        KafkaError, TimeoutError, OSError: no broker answered; the caller names them for people.
    """
    prepare_reader()
    consumer = AIOKafkaConsumer(
        **client_arguments(settings, role=role),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset=start_at,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            await consumer.start()
        yield consumer
    finally:
        await close_consumer(consumer, settings.close_timeout_s)


def next_backoff_s(backoff_s: float) -> float:
    """How long to pause after one more error in a row, in seconds."""
    return min(backoff_s * 2, BACKOFF_LAST_S)
