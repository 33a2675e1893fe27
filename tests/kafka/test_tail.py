"""What people see of the topics."""

from __future__ import annotations

import anyio
import pytest

from collector.core.model import Publication
from collector.errors import StartRefused
from collector.kafka.tail import TailRecord, tail
from tests.kafka.owners import owner
from tests.kafka.publications import EVENT_TIME_MS, dead_letter, event, publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(60)]


async def test_from_the_beginning(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Committed records of the asked topics come with everything they carry, up to the asked number."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, event_partitions=1)
    async with owner(settings) as (sink, _):
        await sink.publish(Publication([event("a", b"1"), event("b", b"2"), dead_letter("c")], []))
    seen = [record async for record in tail(settings, from_beginning=True, max_records=1)]
    headers = (("ce_id", b"a"), ("n", b"1"))
    assert seen == [TailRecord(settings.events_topic, 0, 0, EVENT_TIME_MS, b"a", headers, b"1")]

    both = [settings.events_topic, settings.dead_letters_topic]
    seen = [record async for record in tail(settings, both, from_beginning=True, max_records=3)]
    assert {record.key for record in seen} == {b"a", b"b", b"c"}


async def test_from_now_on(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Without a beginning only records that arrive later are shown, as soon as they are committed."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    seen: list[bytes | None] = []
    async with owner(settings) as (sink, _):
        await sink.publish(publication(["old"]))

        async def follow() -> None:
            seen.extend([record.key async for record in tail(settings, max_records=1)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            number = 0
            while not seen:
                await sink.publish(publication([f"new-{number}"]))
                number += 1
                await anyio.sleep(0.05)
    (key,) = seen
    assert key is not None
    assert key.startswith(b"new-")


async def test_unknown_topic(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A topic that does not exist is an error, and is not created by looking at it."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    with pytest.raises(StartRefused, match=r"no topic nowhere"):
        _ = [record async for record in tail(settings, ["nowhere"])]


async def test_nothing_asked_for(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Zero records are no records, and end at once."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings):
        assert [record async for record in tail(settings, max_records=0)] == []
