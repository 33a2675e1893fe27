"""Topics that change under a running collector: what takes less is heeded from then on, what is gone is refused."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from collector.core.collect import PageCollector
from collector.core.event import EventForm
from collector.core.model import Destination, Publication, Record, StateChange
from collector.core.seen import SeenSessions
from collector.errors import PublishFailed, RecordsRejected, StartRefused
from collector.kafka.opening import CLOCK_MARGIN_S, LATER_HEADERS_BYTES, OpenedSink, SinkOpener
from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import ensure_topics
from tests.core.pages import AID, SCHEMA, make_page, make_provenance, regular_id, v6_row
from tests.kafka import librdkafka
from tests.kafka.publications import event, publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(90)]

HOUR_MS = 3_600_000

# Shorter than usual, as the tests wait for them to pass, and long enough for a machine that does much else.
QUICK = {
    "start_timeout_s": 6.0,
    "send_timeout_s": 4.0,
    "commit_timeout_s": 4.0,
    "restore_timeout_s": 6.0,
    "admin_timeout_s": 20.0,
    "request_timeout_ms": 2000,
}


@asynccontextmanager
async def opened(opener: SinkOpener, shard: int = 0) -> AsyncIterator[tuple[OpenedSink, dict[str, bytes]]]:
    """An open sink and its state; closed at the end."""
    sink = opener(shard)
    try:
        yield sink, await sink.open()
    finally:
        await sink.close()


async def opener_for(cluster: KafkaCluster, prefix: str, **overrides: object) -> tuple[SinkOpener, KafkaSettings]:
    """An opener on topics of its own."""
    settings = settings_for(cluster.bootstrap_servers, prefix, **overrides)
    return SinkOpener(settings, await ensure_topics(settings)), settings


def page_of(opener: SinkOpener, rows: list[dict[str, object]]) -> tuple[Publication, dict[str, int]]:
    """A page as it is published under the limits of the moment, and its dead letters by reason."""
    collector = PageCollector(SCHEMA, EventForm(SCHEMA.identifier), 800_000, limits=opener.limits)
    what = collector.collect(make_page(rows), SeenSessions("seen/", AID, 0), make_provenance(collected_at=time.time()))
    letters = {reason.value: count for reason, count in what.dead_letters.items()}
    return Publication(what.records, [StateChange("n", b"1")]), letters


def session(suffix: str, age_s: float = 5.0, **fields: object) -> dict[str, object]:
    """A row of the API."""
    date = int(time.time() - age_s)
    return v6_row(regular_id(date // 60 * 60, suffix), date, **fields)


async def test_topic_that_takes_smaller_records(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """max.message.bytes is lowered: one refusal, then what is too large is a dead letter, and batches are smaller."""
    opener, settings = await opener_for(kafka_cluster, kafka_topic_prefix, compression="none")
    rng = random.Random(1)
    large = {"visitedSite": rng.randbytes(20_000).hex()}
    rows = [session(f"{number:08}", visitedSite=rng.randbytes(500).hex()) for number in range(40)]
    assert not opener.limits.are_narrow
    await librdkafka.alter_topic(settings.bootstrap_servers, settings.events_topic, {"max.message.bytes": "9000"})
    async with opened(opener) as (sink, _):
        page, letters = page_of(opener, [*rows, session("large000", **large)])
        assert letters == {}
        with pytest.raises(RecordsRejected, match="MessageSizeTooLarge"):
            await sink.publish(page)
    async with opened(opener) as (sink, state):
        assert state == {}
        assert opener.limits.event_bytes_max == 9000 - 61 - 40 - LATER_HEADERS_BYTES
        page, letters = page_of(opener, [*rows, session("large000", **large)])
        assert letters == {"too_large": 1}
        await sink.publish(page)
    assert len(await librdkafka.keys(settings.bootstrap_servers, settings.events_topic)) == 40
    assert len(await librdkafka.keys(settings.bootstrap_servers, settings.dead_letters_topic)) == 1


async def test_topic_that_takes_no_old_records(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """message.timestamp.before.max.ms is lowered: one refusal, then what is too old is a dead letter."""
    opener, settings = await opener_for(kafka_cluster, kafka_topic_prefix)
    before = {"message.timestamp.before.max.ms": str(HOUR_MS)}
    await librdkafka.alter_topic(settings.bootstrap_servers, settings.events_topic, before)
    rows = [session("aaaaaaaa"), session("bbbbbbbb", age_s=7200)]
    async with opened(opener) as (sink, _):
        with pytest.raises(RecordsRejected, match="InvalidTimestamp"):
            await sink.publish(page_of(opener, [dict(row) for row in rows])[0])
    async with opened(opener) as (sink, state):
        assert state == {}
        assert opener.limits.event_age_max_s == 3600 - CLOCK_MARGIN_S
        page, letters = page_of(opener, rows)
        assert letters == {"too_old_for_topic": 1}
        await sink.publish(page)
    servers = settings.bootstrap_servers
    assert [key[-8:] for key in await librdkafka.keys(servers, settings.events_topic)] == ["aaaaaaaa"]
    assert [key[-8:] for key in await librdkafka.keys(servers, settings.dead_letters_topic)] == ["bbbbbbbb"]


async def test_limits_of_a_foreign_topic_are_known_at_the_start(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """An events topic that somebody else made, with a limit beyond what the configuration writes, is taken as it is."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    configs = {"message.timestamp.before.max.ms": str(48 * HOUR_MS)}
    await librdkafka.create_topic(settings.bootstrap_servers, settings.events_topic, partitions=1, configs=configs)
    opener = SinkOpener(settings, await ensure_topics(settings, oldest_record_s=24 * 3600))
    async with opened(opener) as (sink, _):
        page, letters = page_of(opener, [session("aaaaaaaa"), session("bbbbbbbb", age_s=50 * 3600)])
        assert letters == {"too_old_for_topic": 1}
        await sink.publish(page)


async def test_record_ahead_of_the_broker_is_refused_and_not_looped_over(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """What cannot be known beforehand stays a refusal that names topic and partition, every time."""
    opener, settings = await opener_for(kafka_cluster, kafka_topic_prefix)
    after = {"message.timestamp.after.max.ms": str(HOUR_MS)}
    await librdkafka.alter_topic(settings.bootstrap_servers, settings.events_topic, after)
    ahead = Record(Destination.EVENTS, b"ahead", b"{}", [], int(time.time() * 1000) + 2 * HOUR_MS)
    for _ in range(2):
        async with opened(opener) as (sink, _):
            with pytest.raises(RecordsRejected, match="InvalidTimestamp") as caught:
                await sink.publish(Publication([ahead, event("good")], []))
            assert caught.value.topic == settings.events_topic
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == []


@pytest.mark.parametrize("topic", ["events", "dlq", "state", "shards"])
async def test_topic_that_is_deleted_under_us(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, topic: str) -> None:
    """Each of the four: nothing is committed without it, and the next sink is refused with the command to create it."""
    opener, settings = await opener_for(kafka_cluster, kafka_topic_prefix, **QUICK)
    name = f"{kafka_topic_prefix}.{topic}"
    page = Publication([event("lost"), event("x")._replace(destination=Destination.DEAD_LETTERS)], [])
    async with opened(opener) as (sink, _):
        await sink.publish(publication(["first"], {"n": b"1"}))
        await librdkafka.delete_topic(settings.bootstrap_servers, name)
        if topic != "shards":  # which is not needed before the next opening
            with pytest.raises(PublishFailed):
                await sink.publish(page._replace(changes=[StateChange("n", b"2")]))
    if topic == "shards":
        with pytest.raises(PublishFailed):
            async with opened(opener):
                pass
    with pytest.raises(StartRefused, match=rf"{name} was deleted.*kafka-topics\.sh .* --create .*--topic {name}"):
        async with opened(opener):
            pass
    if topic != "events":
        assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["first"]


async def test_unsafe_settings_are_refused_after_a_failure(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """A state topic that may forget by now is refused at the next opening after a failure, with the remedy."""
    opener, settings = await opener_for(kafka_cluster, kafka_topic_prefix)
    servers = settings.bootstrap_servers
    async with opened(opener) as (sink, _):
        await sink.publish(publication(["first"], {"n": b"1"}))
    await librdkafka.alter_topic(servers, settings.state_topic, {"cleanup.policy": "delete"})
    opener.failed(PublishFailed("something"))
    with pytest.raises(StartRefused, match=r"cleanup\.policy=compact"):
        async with opened(opener):
            pass
    await librdkafka.alter_topic(servers, settings.state_topic, {"cleanup.policy": "compact"})
    async with opened(opener) as (_, state):
        assert state == {"n": b"1"}
