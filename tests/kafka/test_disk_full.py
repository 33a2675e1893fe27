"""Disks of brokers that are full: what was committed stays, nothing partial shows, and with room it goes on."""

from __future__ import annotations

import anyio
import pytest

from collector.core.model import Publication, StateChange
from collector.errors import PublishFailed
from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import TopicLayout, ensure_topics
from tests.kafka import librdkafka
from tests.kafka.disks import fill, needs_limits, segment_bytes
from tests.kafka.owners import owner
from tests.kafka.publications import event, settings_for
from tests.kafka.test_broker_faults import Counter, leader
from tests.kafka_fixtures import PrivateKafka

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400), needs_limits]

DEADLINE_S = 60
LARGE_BYTES = 200_000

# Shorter than usual, as the tests wait for them to pass, and long enough for a machine that does much else.
QUICK = {"start_timeout_s": 6.0, "send_timeout_s": 4.0, "commit_timeout_s": 4.0, "request_timeout_ms": 2000}


def large(key: str, n: int) -> Publication:
    """An event that needs room, and the state that goes with it."""
    return Publication([event(key, b"x" * LARGE_BYTES)], [StateChange("n", b"%d" % n)])


async def test_one_of_two_disks_is_full(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """KAFKA_STORAGE_ERROR: the broker lives on; the publish fails and says which partition nobody leads, and why."""
    disks = {"log.dirs": "data,other", "metadata.log.dir": "metadata"}
    async with private_kafka(properties=disks) as cluster:
        servers, (broker,) = cluster.bootstrap_servers, cluster.brokers
        settings = settings_for(servers, kafka_topic_prefix, shards=1, event_partitions=1, compression="none", **QUICK)
        layout = await ensure_topics(settings)
        async with owner(settings, layout=layout) as (sink, _):
            await sink.publish(large("a", 1))
            await readable(servers, settings.events_topic, "a")
            fill(broker, segment_bytes(broker, settings.events_topic, 0) + LARGE_BYTES // 2)
            with pytest.raises(PublishFailed, match=f"no broker leads {settings.events_topic}-0.*disk"):
                await sink.publish(large("lost", 2))
        assert broker.is_running
        await cluster.restart(0)
        await publish_in_the_end(settings, layout, {"n": b"1"}, large("b", 2))
        assert await librdkafka.keys(servers, settings.events_topic) == ["a", "b"]
        assert await librdkafka.state(servers, settings.state_topic, 0) == {"n": b"2"}


async def readable(servers: str, topic: str, key: str) -> None:
    """Waits until a commit shows in the events: a partition that loses its only leader before may never show it."""
    with anyio.fail_after(DEADLINE_S):
        while key not in await librdkafka.keys(servers, topic):  # noqa: ASYNC110 - in another process
            await anyio.sleep(0.1)


async def publish_in_the_end(
    settings: KafkaSettings, layout: TopicLayout, restored: dict[str, bytes], publication: Publication
) -> None:
    """Opens sinks until one succeeds, which must restore this state, and publishes."""
    with anyio.fail_after(DEADLINE_S):
        while True:
            try:
                async with owner(settings, layout=layout) as (sink, state):
                    assert state == restored
                    await sink.publish(publication)
                    return
            except PublishFailed:
                await anyio.sleep(0.2)


async def test_the_disk_of_a_leader_is_full(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """Three brokers: the one whose disk is full ends, the next leader goes on, and each number stays there once."""
    async with private_kafka(brokers=3) as cluster:
        settings = settings_for(cluster.bootstrap_servers, kafka_topic_prefix, shards=1, request_timeout_ms=2000)
        counter = Counter(settings, await ensure_topics(settings))
        victim = await leader(cluster.bootstrap_servers, settings.state_topic, 0)

        async def full() -> None:
            fill(cluster.brokers[victim])

        await counter.count_to(5, fault=full, at=3, idle=False)
        with anyio.fail_after(DEADLINE_S):
            await cluster.brokers[victim].wait()
        await counter.is_exact(5)
