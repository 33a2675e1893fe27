"""Brokers that are killed, frozen, or not there yet: membership heals by itself, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from collector.local_kafka import LocalKafka
from tests.kafka.test_membership import ALL, QUICK, Member, is_shared, member, next_sign_of_life, quick, shards_topic
from tests.kafka.test_membership_strays import holds
from tests.kafka_fixtures import PrivateKafka

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(90)]

# Short deadlines: these tests wait for them to pass.
IMPATIENT = {"start_timeout_s": 1.0, "close_timeout_s": 0.5}


async def test_broker_killed_and_restarted(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """A broker that is away for longer than a session ends the tenure of its members; back, it has them all again."""
    async with private_kafka() as cluster:
        kafka = await shards_topic(cluster.bootstrap_servers, kafka_topic_prefix, **IMPATIENT)
        async with member(kafka) as before:
            await before.until(lambda: before.owned == ALL)
            await cluster.kill(0)
            await before.until(lambda: before.owned == frozenset())
            async with member(kafka) as meanwhile:
                await cluster.restart(0)
                await until_together(before, meanwhile)


async def test_short_outage_is_not_noticed(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """A broker that is restarted, or frozen, for less than a session disturbs nobody."""
    async with private_kafka() as cluster:
        kafka = await shards_topic(cluster.bootstrap_servers, kafka_topic_prefix, **IMPATIENT)
        async with member(kafka, quick(session_timeout_s=30, rebuild_silence_s=60)) as one:
            await one.until(lambda: one.owned == ALL)
            await cluster.kill(0)
            await cluster.restart(0)
            await next_sign_of_life(one)
            await cluster.pause(0)
            await until_overdue(one)
            await cluster.resume(0)
            await next_sign_of_life(one)
            assert one.changes == [ALL]


async def test_broker_frozen_at_start(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """Workers that start while the broker is frozen, so long that the cluster gives it up, join when it goes on.

    Leaving while it is frozen takes seconds, and no task of the client lives on to join again.
    """
    async with private_kafka() as cluster:
        kafka = await shards_topic(cluster.bootstrap_servers, kafka_topic_prefix, **IMPATIENT)
        tasks = asyncio.all_tasks()
        await cluster.pause(0)
        with capture_logs() as logs:
            async with member(kafka) as one, member(kafka) as other:
                await until_failed(logs, times=4)  # a second each: longer than the broker's own session
                await cluster.resume(0)
                await until_together(one, other)
                await cluster.pause(0)
                with anyio.fail_after(10):
                    await one.membership.leave()
        await until_gone(tasks)
        await cluster.resume(0)
        await wait_until_it_answers(cluster, kafka_topic_prefix)


async def until_together(one: Member, other: Member) -> None:
    """Waits until two members share all shards."""
    await holds(lambda: is_shared([one.owned, other.owned]), 40)


async def until_overdue(one: Member) -> None:
    """Waits until a heartbeat has been without an answer for an interval."""
    now_s = asyncio.get_running_loop().time
    await holds(lambda: now_s() > one.membership._tenure.alive_s + 2 * QUICK["heartbeat_interval_s"])


async def until_failed(logs: list[MutableMapping[str, Any]], times: int) -> None:
    """Waits until clients were given up."""
    await holds(lambda: sum(line["event"] == "membership_client_failed" for line in logs) >= times)


async def until_gone(before: set[asyncio.Task[object]]) -> None:
    """Waits until no task of aiokafka lives that was not there before."""
    await holds(lambda: not [task for task in asyncio.all_tasks() - before if "aiokafka" in repr(task)])


async def wait_until_it_answers(cluster: LocalKafka, prefix: str) -> None:
    """Lets a thawed broker come to itself, so that it stops in order."""
    await shards_topic(cluster.bootstrap_servers, prefix)
