"""The plain loop: what a capable programmer writes in an hour with the same libraries.

httpx, orjson and aiokafka, four account groups at the same time; no transaction, no dedupe, no validation, no envelope,
no memory of where it was. Everything is acknowledged before the next page is asked for.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaProducer

from tests.bench.layout import ACCOUNT_GROUPS, FIRST_AID, SESSIONS_PATH
from tests.bench.usage import tell

BATCH_BYTES = 900_000
"""As the collector's: a page fits into one batch."""

_HEADERS = {"Authorization": "Bearer bench", "Content-Type": "application/json"}

Row = dict[str, Any]
Deliver = Callable[[list[Row]], Awaitable[None]]


async def run(base_url: str, bootstrap_servers: str, topic: str, *, batched: bool, compression: str) -> int:
    """Collect everything once.

    Args:
        base_url: of the API, with the view.
        bootstrap_servers: of Kafka.
        topic: exists.
        batched: a page as one batch (``create_batch``, ``send_batch``) instead of a ``send`` a record.
        compression: codec of the batches, or none.

    Returns:
        How many records were acknowledged.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        compression_type=None if compression == "none" else compression,
        max_batch_size=BATCH_BYTES,
    )
    await producer.start()
    try:
        partitions = len(await producer.partitions_for(topic))
        deliver = _in_batches(producer, topic, partitions) if batched else _one_by_one(producer, topic)
        async with httpx.AsyncClient(base_url=base_url, headers=_HEADERS) as client:
            aids = [str(FIRST_AID + number) for number in range(ACCOUNT_GROUPS)]
            return sum(await asyncio.gather(*(_walk(client, aid, deliver) for aid in aids)))
    finally:
        await producer.stop()


async def _walk(client: httpx.AsyncClient, aid: str, deliver: Deliver) -> int:
    records = 0
    url: str | None = f"{SESSIONS_PATH}?aid={aid}"
    while url is not None:
        response = await client.post(url, content=b"{}")
        response.raise_for_status()
        page = orjson.loads(response.content)
        rows = page["results"]
        if rows:
            await deliver(rows)
        records += len(rows)
        url = page["_links"].get("next", {}).get("href")
    return records


def _one_by_one(producer: AIOKafkaProducer, topic: str) -> Deliver:
    async def deliver(rows: list[Row]) -> None:
        sent = [await producer.send(topic, orjson.dumps(row), key=row["id"].encode()) for row in rows]
        await asyncio.gather(*sent)

    return deliver


def _in_batches(producer: AIOKafkaProducer, topic: str, partitions: int) -> Deliver:
    """A page goes to one partition whole, each page to the next one: less work than looking at keys."""
    turn = count()

    async def deliver(rows: list[Row]) -> None:
        partition = next(turn) % partitions
        batch = producer.create_batch()
        sent = []
        for row in rows:
            key, value = row["id"].encode(), orjson.dumps(row)
            if batch.append(timestamp=None, key=key, value=value) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)

    return deliver


def _main(base_url: str, bootstrap_servers: str, topic: str, call: str, compression: str) -> None:
    collecting = run(base_url, bootstrap_servers, topic, batched=call == "send_batch", compression=compression)
    tell(lambda: asyncio.run(collecting))


if __name__ == "__main__":
    _main(*sys.argv[1:])
