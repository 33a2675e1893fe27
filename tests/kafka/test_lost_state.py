"""A state that was lost is never taken for one that never was: refused with the remedy, running or down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.errors import PublishFailed, StartRefused
from collector.kafka.origin import WITNESS_RENEWED_S, Origin, Witness, judge
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import TopicLayout, ensure_topics
from tests.kafka import librdkafka
from tests.kafka.owners import owner
from tests.kafka.publications import publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(90)]

REMEDY = r"kafka\.accept_empty_state"


async def used(servers: str, prefix: str) -> tuple[KafkaSettings, TopicLayout]:
    """Two shards that have each published something."""
    settings = settings_for(servers, prefix)
    layout = await ensure_topics(settings)
    for shard in (0, 1):
        async with owner(settings, shard, layout) as (sink, state):
            assert state == {}
            await sink.publish(publication([f"first-{shard}"], {"n": b"1"}))
    return settings, layout


async def made_anew(settings: KafkaSettings, topic: str) -> None:
    """The topic is deleted and created again, as a careful operator would create it."""
    await librdkafka.delete_topic(settings.bootstrap_servers, topic)
    policy = "compact" if topic == settings.state_topic else "delete"
    await librdkafka.create_topic(
        settings.bootstrap_servers, topic, partitions=settings.shards, configs={"cleanup.policy": policy}
    )


async def truncated(settings: KafkaSettings, partition: int) -> None:
    """All records of one partition of the state are removed; its offsets go on."""
    servers, topic = settings.bootstrap_servers, settings.state_topic
    await librdkafka.alter_topic(servers, topic, {"cleanup.policy": "compact,delete"})  # else the broker refuses
    await librdkafka.delete_records(servers, topic, partition)
    await librdkafka.alter_topic(servers, topic, {"cleanup.policy": "compact"})


async def refused(settings: KafkaSettings, layout: TopicLayout, shard: int, **remembered: dict[int, str]) -> str:
    """The refusal with which opening the shard ends."""
    sink = TransactionalSink(settings, layout, shard, **remembered)
    with pytest.raises(StartRefused, match=REMEDY) as caught:
        await sink.open()
    await sink.close()
    return str(caught.value)


async def test_state_made_anew_while_down(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Each shard refuses, also at the second try, when its partition holds barriers again; until it is accepted."""
    settings, layout = await used(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    await made_anew(settings, settings.state_topic)
    for shard in (0, 1, 0, 1):
        assert f"partition {shard} of {settings.state_topic}" in await refused(settings, layout, shard)

    async with owner(replace(settings, accept_empty_state=True), 0, layout) as (sink, state):
        assert state == {}
        await sink.publish(publication([], {"n": b"2"}))
    async with owner(settings, 0, layout) as (_, state):  # it was accepted once: nothing is odd about it any more
        assert state == {"n": b"2"}
    await refused(settings, layout, 1)


async def test_state_of_one_partition_removed(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Deleted records of one partition: that shard is refused, the other one goes on."""
    settings, layout = await used(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    await truncated(settings, 1)
    await refused(settings, layout, 1)
    async with owner(settings, 0, layout) as (_, state):
        assert state == {"n": b"1"}


async def test_state_made_anew_while_running(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A sink that was open all the time commits nothing into the new topic, and its successor is refused."""
    settings, layout = await used(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings, 0, layout) as (sink, _):
        await sink.publish(publication(["second"], {"n": b"2"}))
        await made_anew(settings, settings.state_topic)
        with pytest.raises(PublishFailed, match="committed state is gone"):
            await sink.publish(publication(["lost"], {"n": b"3"}))
    await refused(settings, layout, 0)
    keys = await librdkafka.keys(settings.bootstrap_servers, settings.events_topic)
    assert keys == ["first-0", "first-1", "second"]


async def test_state_and_witness_made_anew(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """With both topics gone the process that owned the shard remembers, and a start sees that there are events."""
    settings, layout = await used(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    remembered: dict[int, str] = {}
    sink = TransactionalSink(settings, layout, 0, origins=remembered)
    await sink.open()
    await sink.close()
    assert list(remembered) == [0]
    await made_anew(settings, settings.state_topic)
    await made_anew(settings, settings.shards_topic)
    with pytest.raises(StartRefused, match=REMEDY):
        await ensure_topics(settings)
    await refused(settings, layout, 0, origins=remembered)


async def test_witness_made_anew(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """The shards topic holds nothing that is needed: the state is known by itself, and witnessed again."""
    settings, layout = await used(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    await made_anew(settings, settings.shards_topic)
    async with owner(settings, 0, layout) as (_, state):
        assert state == {"n": b"1"}
    await made_anew(settings, settings.state_topic)
    await refused(settings, layout, 0)


async def test_witness_is_not_written_at_every_opening(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """The shards topic does not grow with the number of openings; other records in it harm nobody."""
    settings, layout = await used(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    await librdkafka.write(settings.bootstrap_servers, settings.shards_topic, 0, b"request", b"\xff")
    await librdkafka.write(settings.bootstrap_servers, settings.shards_topic, 0, b"origin", b"\xff")
    for _ in range(3):
        async with owner(settings, 0, layout):
            pass
    keys = await librdkafka.keys(settings.bootstrap_servers, settings.shards_topic)
    assert sorted(keys) == ["origin", "origin", "origin", "request"]  # one a shard, and the strangers


def test_judgement() -> None:
    """Every combination of origin, witness and what the process remembers."""
    origin, now = Origin("a", 0), 1e9
    same, other = Witness("a", now - 60), Witness("b", now - 60)

    fresh = judge(None, None, log_start=7, known=None, now=now)
    assert (fresh.lost, fresh.write_origin, fresh.write_witness) == (None, True, True)
    assert fresh.origin.log_start == 7

    fine = judge(origin, same, log_start=0, known="a", now=now)
    assert (fine.lost, fine.origin, fine.write_origin, fine.write_witness) == (None, origin, False, False)
    # Another process accepted a loss: what the witness says counts for more than what this one remembers.
    assert judge(origin, same, log_start=0, known="b", now=now).lost is None
    for renewed in (None, Witness("a", now - WITNESS_RENEWED_S - 1)):
        verdict = judge(origin, renewed, log_start=0, known=None, now=now)
        assert (verdict.lost, verdict.write_origin, verdict.write_witness) == (None, False, True)

    for lost in (
        judge(None, same, log_start=0, known=None, now=now),
        judge(None, None, log_start=0, known="a", now=now),
        judge(origin, other, log_start=0, known="a", now=now),
        judge(origin, None, log_start=0, known="b", now=now),
        judge(origin, same, log_start=1, known="a", now=now),
    ):
        assert lost.lost
        assert lost.origin.identity not in ("a", "b")
        assert lost.write_origin
        assert lost.write_witness
