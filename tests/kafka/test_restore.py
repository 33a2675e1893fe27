"""The restore of a shard's state: complete or an error, whatever the log looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from collector.core.model import Publication, StateChange
from collector.errors import Fenced, PublishFailed, StartRefused
from collector.kafka.reader import Barrier, restore
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import ensure_topics
from tests.kafka import librdkafka, segments
from tests.kafka.owners import owner
from tests.kafka.publications import publication, settings_for
from tests.kafka_fixtures import KafkaCluster, PrivateKafka

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(90)]


async def test_compacted_state_restores_right(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """When the log cleaner has removed overwritten and tombstoned records, the state is what it was."""
    data_dir = tmp_path / "kafka"
    async with private_kafka(data_dir=data_dir) as cluster:
        settings = settings_for(cluster.bootstrap_servers, "c", state_segment_ms=1000, state_dirty_ratio=0.01)
        layout = await ensure_topics(settings)
        written, model = 0, dict[str, bytes]()
        async with owner(settings, layout=layout) as (sink, _):
            await sink.publish(publication([], {"removed": b"x" * 1000, "kept": b"from the beginning"}))
            model["kept"] = b"from the beginning"
            with anyio.fail_after(30):
                for turn in range(1000):
                    changes = {f"k{number}": b"%d" % turn for number in range(5)}
                    model |= changes
                    removed: dict[str, bytes | None] = {**changes, "removed": None}
                    await sink.publish(publication([], removed))
                    written += len(removed) + 1  # and the commit's marker
                    if segments.record_count(data_dir, settings.state_topic, 0) < written:
                        break
                    await anyio.sleep(0.2)
        assert segments.record_count(data_dir, settings.state_topic, 0) < written, "compaction never ran"
        async with owner(settings, layout=layout) as (_, state):
            assert state == model
        assert await librdkafka.state(settings.bootstrap_servers, settings.state_topic, 0) == model


async def test_empty_control_batches_do_not_stop_the_restore(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """Markers that compaction has emptied, left by other transactional ids, neither stop the restore nor change it."""
    data_dir = tmp_path / "kafka"
    async with private_kafka(data_dir=data_dir) as cluster:
        settings = settings_for(cluster.bootstrap_servers, "e", shards=1)
        await librdkafka.create_topic(
            settings.bootstrap_servers,
            settings.state_topic,
            partitions=1,
            configs={
                "cleanup.policy": "compact",
                "segment.ms": "1000",
                "min.cleanable.dirty.ratio": "0.01",
                "delete.retention.ms": "500",
                "min.compaction.lag.ms": "0",
            },
        )
        layout = await ensure_topics(settings)
        await _leave_transactions_open(settings)
        async with owner(settings, layout=layout) as (sink, _):
            with anyio.fail_after(30):
                for turn in range(1000):
                    await sink.publish(publication([], {f"k{number}": b"%d" % turn for number in range(5)}))
                    if segments.empty_control_batches(data_dir, settings.state_topic, 0) >= 2:
                        break
                    await anyio.sleep(0.15)
        async with owner(settings, layout=layout) as (_, state):
            assert segments.empty_control_batches(data_dir, settings.state_topic, 0) >= 2, "nothing was tested"
        assert state == {f"k{number}": b"%d" % turn for number in range(5)}
        assert await librdkafka.state(settings.bootstrap_servers, settings.state_topic, 0) == state


async def _leave_transactions_open(settings: KafkaSettings) -> None:
    """Four strangers commit and end badly: two by the broker's transaction timeout, two by being fenced."""
    partition = TopicPartition(settings.state_topic, 0)
    for number in range(4):
        arguments: dict[str, Any] = {
            "bootstrap_servers": settings.bootstrap_servers,
            "transactional_id": f"stranger-{number}",
            "transaction_timeout_ms": 1500 if number < 2 else 30_000,
        }
        stranger = AIOKafkaProducer(**arguments)
        await stranger.start()
        for _ in range(5):
            async with stranger.transaction():
                for key in range(5):
                    await stranger.send(partition.topic, b"stranger", f"k{key}".encode(), partition=0)
        await stranger.begin_transaction()
        await (await stranger.send(partition.topic, b"open", b"k0", partition=0))
        if number >= 2:
            successor = AIOKafkaProducer(**arguments)
            await successor.start()
            await successor.stop()
        await stranger.stop()


async def test_reader_that_misses_the_barrier_is_detected(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A reader that is beyond the barrier and has not read it did not see the state: an error, not an empty state."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        await sink.publish(publication([], {"n": b"1"}))
        barrier = await _barrier(settings)
        # What a reader sees that starts at the end: nothing, at a position beyond the barrier.
        policy = {"cleanup.policy": "compact,delete"}  # otherwise the broker refuses to delete records
        await librdkafka.alter_topic(settings.bootstrap_servers, settings.state_topic, policy)
        await librdkafka.delete_records(settings.bootstrap_servers, settings.state_topic, 0)
        with pytest.raises(PublishFailed, match="has not read it"):
            await restore(settings, 0, barrier)


async def test_another_value_at_the_barrier_is_not_ours(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """The barrier is known by its value: another one at the same offset does not end the restore."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings):
        pass  # the first owner writes more behind its barrier
    async with owner(settings):
        barrier = await _barrier(settings)
        with pytest.raises(PublishFailed, match="has not read it"):
            await restore(settings, 0, Barrier(value=b"another", offset=barrier.offset))


async def test_newer_barrier_means_fenced(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """An owner that is slow to restore, and finds that somebody wrote after its barrier, gives up."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings):
        pass  # the first owner writes more behind its barrier
    async with owner(settings):
        barrier = await _barrier(settings)
        await restore(settings, 0, barrier)  # as long as nobody else has written
        async with owner(settings):
            with pytest.raises(Fenced, match="newer owner"):
                await restore(settings, 0, barrier)


async def test_state_written_by_a_stranger_is_refused(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A record whose key is no text cannot be ours: an operator has to look, and is told where."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    layout = await ensure_topics(settings)
    await librdkafka.write(settings.bootstrap_servers, settings.state_topic, 1, b"\xff\xfe", b"?")
    sink = TransactionalSink(settings, layout, 1)
    with pytest.raises(StartRefused, match=r"partition 1 of .*\.state holds a record at offset 0"):
        await sink.open()
    await sink.close()


async def test_large_state_is_read_in_many_fetches(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A state larger than one fetch of the reader is complete."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, compression="none")
    model = {f"k{number}": number.to_bytes(4, "big") * 25_000 for number in range(120)}  # 12 MB in fetches of 8 MiB
    async with owner(settings) as (sink, _):
        for start in range(0, 120, 30):
            changes = [StateChange(key, model[key]) for key in list(model)[start : start + 30]]
            await sink.publish(Publication([], changes))
    async with owner(settings) as (_, state):
        assert state == model


async def _barrier(settings: KafkaSettings) -> Barrier:
    """The newest barrier of shard 0."""
    records = await librdkafka.committed(settings.bootstrap_servers, settings.state_topic)
    newest = [record for record in records if record.partition == 0 and record.key == b"barrier"][-1]
    assert newest.value is not None
    return Barrier(value=newest.value, offset=newest.offset)
