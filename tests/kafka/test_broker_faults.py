"""Leaders and coordinators that die, replicas that are missing, transactions and ids that the broker gives up."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import to_thread
from anyio.streams.buffered import BufferedByteReceiveStream
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # its stubs do not mark what it exports

from collector.errors import Fenced, PublishFailed
from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import TopicLayout, ensure_topics
from collector.local_kafka import LocalKafka
from tests.kafka import librdkafka
from tests.kafka.owners import before_commit, owner
from tests.kafka.publications import publication, settings_for
from tests.kafka.test_failures import PROJECT
from tests.kafka_fixtures import KafkaCluster, PrivateKafka

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(170)]

TRANSACTIONS = "__transaction_state"
DEADLINE_S = 60


async def leader(servers: str, topic: str, partition: int) -> int:
    """Which broker leads a partition, as an index into the cluster's brokers."""

    def ask() -> int:
        metadata = AdminClient({"bootstrap.servers": servers}).list_topics(topic, timeout=20)
        return int(metadata.topics[topic].partitions[partition].leader)

    with anyio.fail_after(DEADLINE_S):
        while True:
            if (node_id := await to_thread.run_sync(ask)) >= 1:
                return node_id - 1
            await anyio.sleep(0.2)  # it is being elected


def coordinator_partition(transactional_id: str, partitions: int) -> int:
    """The partition whose leader coordinates the transactions of an id: Java's ``String.hashCode``, made positive."""
    hashed = 0
    for character in transactional_id:
        hashed = (31 * hashed + ord(character)) & 0xFFFFFFFF
    return (hashed & 0x7FFFFFFF) % partitions


class Counter:
    """A worker that counts upwards, an event and a state for each number, and starts over as a shard does."""

    def __init__(self, settings: KafkaSettings, layout: TopicLayout) -> None:
        self._settings, self._layout = settings, layout
        self.failures: list[PublishFailed] = []

    async def count_to(self, target: int, *, fault: Callable[[], Awaitable[None]], at: int, idle: bool) -> None:
        """Count, with a fault at one number: in the middle of its transaction, or before it begins."""
        done = False

        async def once() -> None:
            nonlocal done
            if not done:
                done = True
                await fault()

        with anyio.fail_after(DEADLINE_S * 2):
            while True:
                try:
                    async with owner(self._settings, layout=self._layout) as (sink, state):
                        reached = int(state.get("reached", b"0"))
                        while reached < target:
                            if reached == at and idle:
                                await once()
                            elif reached == at:
                                before_commit(sink, once)
                            await sink.publish(publication([f"{reached:03}"], {"reached": b"%d" % (reached + 1)}))
                            reached += 1
                    return
                except PublishFailed as error:
                    self.failures.append(error)
                    await anyio.sleep(0.2)

    async def is_exact(self, target: int) -> None:
        """Every number is readable once, and the state says so."""
        servers = self._settings.bootstrap_servers
        keys = await librdkafka.keys(servers, self._settings.events_topic)
        assert keys == [f"{number:03}" for number in range(target)]
        state = await librdkafka.state(servers, self._settings.state_topic, 0)
        assert state == {"reached": b"%d" % target}


@pytest.mark.slow
async def test_leaders_and_coordinators_die(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """Three brokers: killed with -9 or frozen, in a transaction or between two, each number stays there once."""
    async with private_kafka(brokers=3) as cluster:
        settings = settings_for(cluster.bootstrap_servers, kafka_topic_prefix, shards=1, request_timeout_ms=2000)
        counter = Counter(settings, await ensure_topics(settings))
        await counter.count_to(2, fault=anyio.lowlevel.checkpoint, at=0, idle=True)
        id_partition = coordinator_partition(settings.transactional_id(0), 4)
        places = {"state": (settings.state_topic, 0), "coordinator": (TRANSACTIONS, id_partition)}
        target = 2
        for place, idle in (("state", False), ("coordinator", False), ("coordinator", True)):
            victim = await leader(cluster.bootstrap_servers, *places[place])
            target += 4

            async def kill(victim: int = victim) -> None:
                await cluster.kill(victim)

            await counter.count_to(target, fault=kill, at=target - 2, idle=idle)
            await counter.is_exact(target)
            await cluster.restart(victim)
        victim = await leader(cluster.bootstrap_servers, *places["state"])
        await freeze_while_counting(cluster, counter, victim, target + 4)


async def freeze_while_counting(cluster: LocalKafka, counter: Counter, victim: int, target: int) -> None:
    """The leader of the state is silent, its session ends, another one leads; then it wakes up and knows nothing."""

    async def freeze() -> None:
        await cluster.pause(victim)

    await counter.count_to(target, fault=freeze, at=target - 2, idle=False)
    await cluster.resume(victim)
    await counter.is_exact(target)


@pytest.mark.slow
async def test_too_few_replicas(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """NOT_ENOUGH_REPLICAS: by the deadline the publish fails, nothing is readable; with replicas it goes on."""
    async with private_kafka(brokers=3) as cluster:
        servers = cluster.bootstrap_servers
        settings = settings_for(servers, kafka_topic_prefix, shards=1, event_partitions=1, request_timeout_ms=2000)
        layout = await ensure_topics(settings)
        async with owner(settings, layout=layout) as (sink, _):
            await sink.publish(publication(["a"], {"n": b"1"}))
            leads = await leader(servers, settings.events_topic, 0)
            await librdkafka.alter_topic(servers, settings.events_topic, {"min.insync.replicas": "3"})
            victim = (leads + 1) % 3
            await cluster.kill(victim)
            with pytest.raises(PublishFailed):
                await sink.publish(publication(["lost"], {"n": b"2"}))
        await cluster.restart(victim)
        counted = 0
        with anyio.fail_after(DEADLINE_S):
            while not counted:
                try:
                    async with owner(settings, layout=layout) as (sink, state):
                        assert state == {"n": b"1"}
                        await sink.publish(publication(["b"], {"n": b"2"}))
                        counted = 1
                except PublishFailed:
                    await anyio.sleep(0.5)
        assert await librdkafka.keys(servers, settings.events_topic) == ["a", "b"]


@pytest.mark.slow
async def test_transaction_that_the_broker_gave_up(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A worker frozen for longer than the transaction timeout holds readers up for so long, and commits nothing."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, event_partitions=1)
    layout = await ensure_topics(settings)
    arguments = [sys.executable, "-m", "tests.kafka.paused_worker", settings.bootstrap_servers, kafka_topic_prefix]
    async with await anyio.open_process(arguments, cwd=PROJECT, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        said = BufferedByteReceiveStream(worker.stdout)
        try:
            with anyio.fail_after(DEADLINE_S):
                assert await said.receive_until(b"\n", 100) == b"sent"
                worker.send_signal(signal.SIGSTOP)
                async with owner(settings, 1, layout) as (other, _):
                    await other.publish(publication(["behind"]))
                # The reader waits for the end of the open transaction, which only the broker can bring about.
                while "behind" not in (
                    keys := await librdkafka.keys(settings.bootstrap_servers, settings.events_topic)
                ):
                    assert keys == ["a"]
                    await anyio.sleep(0.2)
                worker.send_signal(signal.SIGCONT)
                await worker.stdin.send(b"\n")
                assert await said.receive_until(b"\n", 100) in (b"Fenced", b"PublishFailed")
        finally:
            worker.kill()
    async with owner(settings, 0, layout) as (sink, state):
        assert state == {"n": b"1"}
        await sink.publish(publication(["b"], {"n": b"2"}))
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b", "behind"]


@pytest.mark.slow
async def test_idle_for_longer_than_the_broker_keeps_ids(private_kafka: PrivateKafka, kafka_topic_prefix: str) -> None:
    """The broker has forgotten the transactional id (default: 7 days): one failed publish, then it goes on."""
    forgetful = {
        "transactional.id.expiration.ms": "8000",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "300",
    }
    async with private_kafka(properties=forgetful) as cluster:
        settings = settings_for(cluster.bootstrap_servers, kafka_topic_prefix, shards=1)
        layout = await ensure_topics(settings)
        async with owner(settings, layout=layout) as (sink, _):
            published, forgotten = 0, None
            with anyio.fail_after(DEADLINE_S * 2):
                while forgotten is None:
                    try:
                        await sink.publish(publication([str(published)], {"n": b"%d" % published}))
                    except PublishFailed as error:
                        forgotten = error
                    else:
                        published += 1
                        # A busy broker may take longer to forget than the first of these pauses.
                        await anyio.sleep(10.0 * published)
        assert isinstance(forgotten, Fenced)
        assert "InvalidProducerIdMapping" in str(forgotten)
        async with owner(settings, layout=layout) as (sink, state):
            assert state == ({"n": b"%d" % (published - 1)} if published else {})
            await sink.publish(publication([str(published)], {"n": b"%d" % published}))
        keys = await librdkafka.keys(settings.bootstrap_servers, settings.events_topic)
        assert keys == [str(number) for number in range(published + 1)]
