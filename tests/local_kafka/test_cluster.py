"""Real brokers: start, stop, kill -9, restart, and the errors that a person can do something about."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient

from collector.local_kafka import (
    BrokerFailed,
    LocalKafkaSettings,
    PortInUse,
    ahead_of_time,
    local_kafka,
)
from collector.local_kafka.java import installed_java
from tests.kafka_fixtures import PrivateKafka
from tests.local_kafka.listening import listener
from tests.local_kafka.processes import processes_in, wait_until

pytestmark = pytest.mark.anyio

_TOPIC = TopicPartition("events", 0)
_TIMEOUT_S = 60.0  # a moment on a quiet machine
_CLOSE_TIMEOUT_S = 3.0


async def _create_topic(bootstrap_servers: str, replicas: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        with anyio.fail_after(_TIMEOUT_S):
            await admin.start()
            await admin.create_topics([NewTopic(_TOPIC.topic, 1, replicas)])
    finally:
        await admin.close()


async def _commit(bootstrap_servers: str, value: bytes) -> None:
    """Commit one record in one transaction."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id="test")
    try:
        with anyio.fail_after(_TIMEOUT_S):
            await producer.start()
            await producer.begin_transaction()
            await producer.send_and_wait(_TOPIC.topic, value, partition=_TOPIC.partition)
            await producer.commit_transaction()
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
            await producer.stop()


async def _committed(bootstrap_servers: str, count: int) -> list[bytes]:
    """Read the first `count` committed values."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    try:
        with anyio.fail_after(_TIMEOUT_S):
            await consumer.start()
            consumer.assign([_TOPIC])
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
            await consumer.stop()


async def _known(bootstrap_servers: str) -> tuple[int, bool]:
    """How many brokers this one knows of, and whether the transaction coordinator has its topic."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    try:
        with anyio.fail_after(_TIMEOUT_S):
            await client.bootstrap()
            metadata = await client.fetch_all_metadata()
    finally:
        await client.close()
    return len(metadata.brokers()), "__transaction_state" in metadata.topics(exclude_internal_topics=False)


async def test_data_outlives_kill_and_stop(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """What was committed is there after kill -9 of the broker, and at the next start on the same directory."""
    data_dir = tmp_path / "data"
    async with private_kafka(data_dir=data_dir) as cluster:
        cluster_id, address, first_pid = cluster.cluster_id, cluster.bootstrap_servers, cluster.brokers[0].pid
        await _create_topic(address)
        await _commit(address, b"before kill")
        await cluster.kill(0)
        assert not cluster.brokers[0].is_running
        await cluster.restart(0)
        assert cluster.bootstrap_servers == address
        assert cluster.brokers[0].pid != first_pid
        assert await _committed(address, 1) == [b"before kill"]
        await _commit(address, b"before stop")
    assert processes_in(tmp_path) == []
    async with private_kafka(data_dir=data_dir) as cluster:
        assert cluster.cluster_id == cluster_id
        assert await _committed(cluster.bootstrap_servers, 2) == [b"before kill", b"before stop"]


async def test_a_frozen_broker_goes_on_and_can_be_stopped(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """A broker that was frozen serves again, and leaving the context ends even one that is frozen."""
    async with private_kafka() as cluster:
        await cluster.pause(0)
        await cluster.resume(0)
        await _create_topic(cluster.bootstrap_servers)
        await _commit(cluster.bootstrap_servers, b"after the freeze")
        await cluster.pause(0)
    assert processes_in(tmp_path) == []


async def test_three_brokers(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """Three brokers serve a topic with three replicas while one of them is dead, and it comes back."""
    async with private_kafka(brokers=3) as cluster:
        for address in cluster.bootstrap_servers.split(","):
            assert await _known(address) == (3, True)
        await _create_topic(cluster.bootstrap_servers, replicas=3)
        await _commit(cluster.bootstrap_servers, b"three alive")
        await cluster.kill(2)
        await _commit(cluster.bootstrap_servers, b"two alive")
        await cluster.restart(2)
        assert await _committed(cluster.bootstrap_servers.split(",")[2], 2) == [b"three alive", b"two alive"]
    assert processes_in(tmp_path) == []


async def test_errors_of_the_block_come_out_as_they_are(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """An exception inside the context leaves it unwrapped, and the broker is gone."""
    with pytest.raises(LookupError, match="of the block"):
        async with private_kafka():
            raise LookupError("of the block")
    assert processes_in(tmp_path) == []


async def test_port_in_use(tmp_path: Path) -> None:
    """A taken client port is named before any Java starts."""
    with listener() as port, pytest.raises(PortInUse, match=f"Port {port} "):
        async with local_kafka(LocalKafkaSettings(data_dir=tmp_path / "data", port=port)):
            pytest.fail("started on a port that is taken")


async def test_port_taken_meanwhile(private_kafka: PrivateKafka) -> None:
    """Another program that takes the port of a dead broker makes its restart fail with the port's number."""
    async with private_kafka() as cluster:
        await cluster.kill(0)
        port = cluster.brokers[0].node.client_port
        async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as taken:
            assert taken is not None
            with pytest.raises(PortInUse, match=f"Port {port} "):
                await cluster.restart(0)


async def test_a_property_that_kafka_refuses(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """A broker that cannot start is reported in one line with Kafka's own reason and the log's place."""
    with pytest.raises(BrokerFailed, match=r"(?s)num\.io\.threads.*see .*log") as caught:
        async with private_kafka(properties={"num.io.threads": "none"}):
            pytest.fail("started with a broken property")
    assert "\n" not in str(caught.value)
    assert processes_in(tmp_path) == []


async def test_a_stale_ahead_of_time_cache_is_ignored(tmp_path: Path, kafka_jars: Path) -> None:
    """A start works with a cache file that Java cannot use."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "kafka-4.3.1").symlink_to(kafka_jars)
    settings = LocalKafkaSettings(data_dir=tmp_path / "data", cache_dir=cache)
    java = installed_java(cache / "kafka-4.3.1", settings.heap_mb)
    (await ahead_of_time.find(java, cache)).path.write_bytes(b"not a cache" * 1000)
    async with local_kafka(settings) as cluster:
        await _create_topic(cluster.bootstrap_servers)
        await _commit(cluster.bootstrap_servers, b"all the same")


_PARENT = """
import sys, anyio
from pathlib import Path
from collector.local_kafka import LocalKafkaSettings, local_kafka

async def main():
    async with local_kafka(LocalKafkaSettings(data_dir=Path(sys.argv[1]))) as cluster:
        print(cluster.brokers[0].pid, flush=True)
        await anyio.sleep(600)

anyio.run(main)
"""


async def _start_and_stop(settings: LocalKafkaSettings) -> None:
    async with local_kafka(settings) as cluster:
        assert await _known(cluster.bootstrap_servers) == (1, True)


def test_no_java_outlives_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 of the Python process leaves no Java process, and the data directory can be used again at once."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path / "data")], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert pid in [process.pid for process in processes_in(tmp_path)]
        parent.send_signal(signal.SIGKILL)
        anyio.run(_start_and_stop, LocalKafkaSettings(data_dir=tmp_path / "data"))
        wait_until("Java is gone", lambda: not processes_in(tmp_path))
    finally:
        parent.kill()
        parent.communicate()
