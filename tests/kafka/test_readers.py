"""The readers of docs/reading.md see what was committed and nothing else: kcat, Java, librdkafka, aiokafka."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaConsumer

from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import ensure_topics
from collector.local_kafka.jar_cache import jar_directory
from collector.local_kafka.jars import cache_dir
from collector.local_kafka.java import Java, installed_java
from collector.local_kafka.settings import KAFKA_VERSION, LocalKafkaSettings
from tests.kafka import librdkafka
from tests.kafka.owners import before_commit, owner
from tests.kafka.publications import publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(120)]

TOOLS_SHA256 = "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"

COMMITTED = [f"{number:02}" for number in range(12)]
DEADLINE_S = 90
FETCH_S = 20


async def written(cluster: KafkaCluster, prefix: str) -> KafkaSettings:
    """A topic of one partition with committed events, and among them one of an owner that died before its commit."""
    settings = settings_for(cluster.bootstrap_servers, prefix, event_partitions=1)
    layout = await ensure_topics(settings)
    async with owner(settings, layout=layout) as (sink, _):
        for key in COMMITTED[:6]:
            await sink.publish(publication([key], {"n": key.encode()}))
        hanging = anyio.Event()

        async def hang() -> None:
            hanging.set()
            await anyio.sleep_forever()

        before_commit(sink, hang)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.publish, publication(["lost"]))
            await hanging.wait()
            tasks.cancel_scope.cancel()
    async with owner(settings, layout=layout) as (sink, _):
        for key in COMMITTED[6:]:
            await sink.publish(publication([key], {"n": key.encode()}))
    return settings


async def output(command: list[str], cwd: Path) -> list[str]:
    """What a program prints, line by line."""
    with anyio.fail_after(DEADLINE_S):
        done = await anyio.run_process(command, cwd=cwd, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout.decode().split()


async def test_librdkafka_and_aiokafka(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """librdkafka by default, aiokafka when it is asked to; its default shows what was never committed."""
    settings = await written(kafka_cluster, kafka_topic_prefix)
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == COMMITTED
    seen = {}
    for level in ("read_committed", "read_uncommitted"):
        consumer = AIOKafkaConsumer(
            settings.events_topic,
            bootstrap_servers=settings.bootstrap_servers,
            isolation_level=level,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            with anyio.fail_after(DEADLINE_S):
                seen[level] = [(await consumer.getone()).key.decode() for _ in COMMITTED]
        finally:
            await consumer.stop()
    assert seen["read_committed"] == COMMITTED
    assert seen["read_uncommitted"] == [*COMMITTED[:6], "lost", *COMMITTED[6:-1]]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
async def test_kcat(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path) -> None:
    """kcat, as it is."""
    settings = await written(kafka_cluster, kafka_topic_prefix)
    command = ["kcat", "-C", "-b", settings.bootstrap_servers, "-t", settings.events_topic]
    assert await output([*command, "-o", "beginning", "-e", "-q", "-f", "%k\n"], tmp_path) == COMMITTED


@pytest.mark.slow
async def test_console_consumer(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path) -> None:
    """Kafka's own console consumer, with ``--isolation-level read_committed``; without it, it shows too much."""
    tools = None
    with anyio.move_on_after(FETCH_S):
        tools = await anyio.to_thread.run_sync(tools_jar, abandon_on_cancel=True)
    if tools is None:
        pytest.skip("Kafka's tools cannot be fetched")
    jars = await jar_directory(LocalKafkaSettings(data_dir=tmp_path), cache_dir())
    java = installed_java(jars, 256)
    java = Java(java.executable, f"{java.class_path}:{tools}", java.heap_mb)
    settings = await written(kafka_cluster, kafka_topic_prefix)
    (tmp_path / "tmp").mkdir()  # where Java unpacks its codecs
    command = java.command(
        CONSOLE_CONSUMER,
        *("--bootstrap-server", settings.bootstrap_servers, "--topic", settings.events_topic, "--from-beginning"),
        *("--max-messages", str(len(COMMITTED)), "--formatter-property", "print.key=true"),
        *("--formatter-property", "print.value=false"),
    )
    assert await output([*command, "--isolation-level", "read_committed"], tmp_path) == COMMITTED
    assert "lost" in await output(command, tmp_path)


def tools_jar() -> Path | None:
    """Kafka's command-line tools, which a broker does not need; verified. None where they cannot be fetched."""
    from jgo.maven import MavenContext

    try:
        artifact = MavenContext(repo_cache=cache_dir() / "test-tools").project("org.apache.kafka", "kafka-tools")
        path = Path(artifact.at_version(KAFKA_VERSION).artifact().resolve())
    except Exception:  # no network, no repository: many kinds
        return None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == TOOLS_SHA256
    return path
