"""The independent reader: it sees what is committed, all of it, and only that."""

import time

import orjson
import pytest
from anyio import to_thread
from confluent_kafka import Producer

from collector.composition import kafka_settings
from collector.config import KafkaSection
from collector.demo.reader import read_everything
from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import ensure_topics
from tests.kafka_fixtures import KafkaCluster


def _event(identifier: str, aid: str = "7625") -> bytes:
    return orjson.dumps({"userSessionId": identifier, "aid": aid, "date": "2026-08-01T12:00:00Z"})


def _write(settings: KafkaSettings) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap_servers, "transactional.id": f"writer-{settings.events_topic}"}
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    for identifier in ("a", "b", "b"):
        producer.produce(settings.events_topic, _event(identifier))
    headers: dict[str, str | bytes | None] = {"te.errors.aid": b"7626", "te.errors.reason": b"no_identity"}
    producer.produce(settings.dead_letters_topic, b"[bad]", headers=headers)
    producer.commit_transaction(20)
    producer.begin_transaction()
    producer.produce(settings.events_topic, _event("never"))
    producer.flush(20)
    producer.abort_transaction(20)


@pytest.mark.kafka
@pytest.mark.anyio
async def test_reads_every_committed_record_once(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A duplicate in the topic is counted as one, an aborted record is not there, dead letters are kept apart."""
    section = KafkaSection(bootstrap_servers=kafka_cluster.bootstrap_servers, topic_prefix=kafka_topic_prefix)
    settings = kafka_settings(section)
    await ensure_topics(settings)
    await to_thread.run_sync(_write, settings)
    received = await read_everything(settings, 4, time.time)
    assert received.events == {"a": 1, "b": 2}
    assert received.duplicates == 1
    assert received.dead_letters == {b"[bad]": 1}
    assert received.groups["7625"].events == 3
    assert received.groups["7626"].dead_letters == {"no_identity": 1}
