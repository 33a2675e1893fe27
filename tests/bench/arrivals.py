"""What has arrived in a topic, counted by another library than those that wrote it (librdkafka)."""

from __future__ import annotations

import time
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_ANSWER_TIMEOUT_S = 20.0
_COUNT_TIMEOUT_S = 120.0
"""A million records take some three seconds."""

_CHUNK_RECORDS = 5_000

_QUIET = {"log_level": "2"}
"""Nothing below critical: the library tells on standard error about its own background thread."""


class Arrived(NamedTuple):
    """Committed records of a topic, and how many different keys they have."""

    records: int
    keys: int


def arrived(bootstrap_servers: str, topic: str) -> Arrived:
    """Count what a ``read_committed`` reader sees of a topic.

    Raises:
        TimeoutError: some partition never came to its end.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 16_384,
            **_QUIET,
        }
    )
    keys: set[bytes] = set()
    records = 0
    deadline = time.monotonic() + _COUNT_TIMEOUT_S
    try:
        unfinished = set(consumer.list_topics(topic, timeout=_ANSWER_TIMEOUT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unfinished])
        while unfinished:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: the end of partitions {unfinished} was not reached")
            for message in consumer.consume(_CHUNK_RECORDS, timeout=0.2):
                error = message.error()
                if error is None:
                    records += 1
                    keys.add(message.key() or b"")
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition())
    finally:
        consumer.close()
    return Arrived(records, len(keys))


def create_topic(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Make a topic with one replica."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **_QUIET})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(_ANSWER_TIMEOUT_S)


def delete_topics(bootstrap_servers: str, prefix: str) -> None:
    """Delete every topic that begins with a prefix, so that its disk space is there for the next run."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **_QUIET})
    topics = [name for name in admin.list_topics(timeout=_ANSWER_TIMEOUT_S).topics if name.startswith(prefix)]
    for deleted in admin.delete_topics(topics).values() if topics else ():
        deleted.result(_ANSWER_TIMEOUT_S)
