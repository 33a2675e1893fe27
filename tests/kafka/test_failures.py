"""Workers and brokers that die, freeze and come back: what was committed stays, what was not never shows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from collector.errors import PublishFailed
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.tail import tail
from collector.kafka.topics import TopicLayout, ensure_topics
from tests.kafka import librdkafka
from tests.kafka.owners import before_commit, owner
from tests.kafka.publications import publication, settings_for
from tests.kafka_fixtures import KafkaCluster, PrivateKafka

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(90)]

PROJECT = Path(__file__).parents[2]

# Short deadlines: these tests wait for them to pass.
IMPATIENT = {
    "start_timeout_s": 2.0,
    "send_timeout_s": 1.5,
    "commit_timeout_s": 1.5,
    "close_timeout_s": 0.5,
    "restore_timeout_s": 2.0,
    "admin_timeout_s": 2.0,
    "request_timeout_ms": 1000,
}


async def test_worker_killed_between_send_and_commit(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Records of a worker that was killed with -9 before its commit are never readable; the successor starts before."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    arguments = [sys.executable, "-m", "tests.kafka.crashing_worker", settings.bootstrap_servers, kafka_topic_prefix]
    async with await anyio.open_process(arguments, cwd=PROJECT, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdout is not None
        assert (await worker.stdout.receive()).decode().strip() == "sent"
        worker.kill()
    async with owner(settings) as (sink, state):
        assert state == {"n": b"1"}
        await sink.publish(publication(["b"], {"n": b"2"}))
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b"]


@pytest.mark.slow
async def test_broker_killed_in_mid_transaction(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """A broker that dies between send and commit, or is restarted in order, costs a failed publish and nothing else."""
    async with private_kafka() as cluster:
        settings = settings_for(cluster.bootstrap_servers, kafka_topic_prefix, **IMPATIENT)
        layout = await ensure_topics(settings)
        async with owner(settings, layout=layout) as (sink, _):
            await sink.publish(publication(["a"], {"n": b"1"}))

            async def kill() -> None:
                await cluster.kill(0)

            before_commit(sink, kill)
            with pytest.raises(PublishFailed, match="committing failed"):
                await sink.publish(publication(["b"], {"n": b"2"}))
        successor = TransactionalSink(settings, layout, 0)
        with pytest.raises(PublishFailed, match=r"taking over failed|cannot be read"):
            await successor.open()
        await successor.close()

        await cluster.restart(0)
        async with owner(settings, layout=layout) as (sink, state):
            assert state == {"n": b"1"}
            await sink.publish(publication(["b"], {"n": b"2"}))
        await cluster.restart(0)  # this time in order
        async with owner(settings, layout=layout) as (sink, state):
            assert state == {"n": b"2"}
            await sink.publish(publication(["c"], {"n": b"3"}))
        assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b", "c"]
        assert await librdkafka.state(settings.bootstrap_servers, settings.state_topic, 0) == {"n": b"3"}


@pytest.mark.slow
async def test_frozen_broker_cannot_make_anything_wait_for_ever(
    private_kafka: PrivateKafka, kafka_topic_prefix: str
) -> None:
    """While the broker is silent every call ends by its deadline with its own error, and closing leaves no task."""
    async with private_kafka() as cluster:
        settings = settings_for(cluster.bootstrap_servers, kafka_topic_prefix, **IMPATIENT)
        layout = await ensure_topics(settings)
        sinks = [TransactionalSink(settings, layout, shard) for shard in (0, 1)]
        for sink in sinks:
            await sink.open()
        tasks = asyncio.all_tasks()

        async def freeze() -> None:
            await cluster.pause(0)

        before_commit(sinks[0], freeze)
        with pytest.raises(PublishFailed, match="committing failed"):
            await sinks[0].publish(publication(["a"], {"n": b"1"}))
        with pytest.raises(PublishFailed, match="sending failed"):
            await sinks[1].publish(publication(["b"], {"n": b"1"}))
        late = TransactionalSink(settings, layout, 0)
        with pytest.raises(PublishFailed, match=r"taking over failed|cannot be read"):
            await late.open()
        with pytest.raises(KafkaUnreachable):
            await ensure_topics(settings)
        with pytest.raises(KafkaUnreachable):
            _ = [record async for record in tail(settings, max_records=1)]
        for sink in (*sinks, late):
            await sink.close()
        await _until_gone(tasks)

        await cluster.resume(0)
        await _reopen_and_agree(settings.bootstrap_servers, kafka_topic_prefix, layout)


async def _until_gone(before: set[asyncio.Task[object]]) -> None:
    """Waits until no task lives that was not there before, or that belongs to aiokafka."""
    for _ in range(100):
        left = [task for task in asyncio.all_tasks() if task not in before or "aiokafka" in repr(task)]
        if not left:
            break
        await anyio.sleep(0.05)
    assert left == []


async def _reopen_and_agree(servers: str, prefix: str, layout: TopicLayout) -> None:
    """After the freeze, state and events of both shards say the same, whichever way the commits went."""
    settings = settings_for(servers, prefix)
    keys = []
    for shard, key in enumerate(("a", "b")):
        state = await _state_in_the_end(settings, shard, layout)
        assert state in ({}, {"n": b"1"})
        if state:
            keys.append(key)
    assert await librdkafka.keys(servers, settings.events_topic) == keys


async def _state_in_the_end(settings: KafkaSettings, shard: int, layout: TopicLayout) -> dict[str, bytes]:
    """Opens sinks until one succeeds: a broker whose session expired at first answers that there are no brokers."""
    with anyio.fail_after(20):
        while True:
            try:
                async with owner(settings, shard, layout) as (_, state):
                    return state
            except PublishFailed:
                await anyio.sleep(0.2)
