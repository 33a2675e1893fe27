"""What is in Kafka according to another library: librdkafka, through confluent-kafka.

The one rule: nothing of the code under test is used here, so that a mistake cannot confirm itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from anyio import to_thread
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not mark what it exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

_TIMEOUT_S = 20.0


class Committed(NamedTuple):
    """A record that a ``read_committed`` reader sees."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp_ms: int


async def committed(bootstrap_servers: str, topic: str) -> list[Committed]:
    """Every committed record of a topic, from the first offset to the last stable one, by partition."""
    return await to_thread.run_sync(_committed, bootstrap_servers, topic)


async def keys(bootstrap_servers: str, topic: str) -> list[str]:
    """The keys of all committed records, sorted; a duplicate shows twice."""
    return sorted((record.key or b"").decode() for record in await committed(bootstrap_servers, topic))


async def state(bootstrap_servers: str, topic: str, partition: int) -> dict[str, bytes]:
    """The state of a shard as folded by hand: last value a key, tombstones, barriers and the origin left out."""
    folded: dict[str, bytes] = {}
    for record in await committed(bootstrap_servers, topic):
        if record.partition == partition and record.key not in (None, b"barrier", b"origin"):
            assert record.key is not None
            if record.value is None:
                folded.pop(record.key.decode(), None)
            else:
                folded[record.key.decode()] = record.value
    return folded


def _committed(bootstrap_servers: str, topic: str) -> list[Committed]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        records, open_partitions = [], set(partitions)
        deadline = time.monotonic() + _TIMEOUT_S
        while open_partitions:
            assert time.monotonic() < deadline, f"{topic}: partitions {open_partitions} never came to their end"
            message = consumer.poll(0.5)
            if message is None:
                continue
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                continue
            records.append(
                Committed(
                    int(message.partition() or 0),
                    int(message.offset() or 0),
                    message.key(),
                    message.value(),
                    message.headers(),
                    message.timestamp()[1],
                )
            )
        return sorted(records, key=lambda record: record[:2])
    finally:
        consumer.close()


async def create_topic(
    bootstrap_servers: str, name: str, *, partitions: int, configs: Mapping[str, str] | None = None
) -> None:
    """A topic with one replica and the given settings, known to the broker when this returns."""

    def create() -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(configs or {}))
        admin.create_topics([topic])[name].result(_TIMEOUT_S)

    await to_thread.run_sync(create)


async def delete_topic(bootstrap_servers: str, name: str) -> None:
    """Removes a topic; returns when the brokers no longer list it."""

    def delete() -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        admin.delete_topics([name])[name].result(_TIMEOUT_S)
        deadline = time.monotonic() + _TIMEOUT_S
        while name in admin.list_topics(timeout=_TIMEOUT_S).topics:
            assert time.monotonic() < deadline, f"{name} is still listed"
            time.sleep(0.05)

    await to_thread.run_sync(delete)


async def alter_topic(bootstrap_servers: str, name: str, configs: Mapping[str, str]) -> None:
    """Changes settings of a topic, all others stay; returns when the broker says so itself."""

    def alter() -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in configs.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)
        # The controller has it then; brokers hear of it a moment later.
        deadline = time.monotonic() + _TIMEOUT_S
        asked = ConfigResource(ResourceType.TOPIC, name)
        while True:
            known: Mapping[str, Any] = admin.describe_configs([asked])[asked].result(_TIMEOUT_S)
            if all(known[key].value == value for key, value in configs.items()):
                return
            assert time.monotonic() < deadline, f"{name} never got {configs}"
            time.sleep(0.05)

    await to_thread.run_sync(alter)


async def topic_configs(bootstrap_servers: str, name: str) -> dict[str, str]:
    """The effective settings of a topic."""

    def describe() -> dict[str, str]:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        resource = ConfigResource(ResourceType.TOPIC, name)
        entries: Mapping[str, Any] = admin.describe_configs([resource])[resource].result(_TIMEOUT_S)
        return {key: entry.value for key, entry in entries.items()}

    return await to_thread.run_sync(describe)


async def partition_count(bootstrap_servers: str, name: str) -> int:
    """How many partitions a topic has; 0 when it does not exist."""

    def count() -> int:
        topics = AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=_TIMEOUT_S).topics
        return len(topics[name].partitions) if name in topics else 0

    return await to_thread.run_sync(count)


async def delete_records(bootstrap_servers: str, topic: str, partition: int) -> None:
    """Removes everything that a partition holds; its offsets go on."""

    def delete() -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        place = TopicPartition(topic, partition, OFFSET_END)
        admin.delete_records([place])[place].result(_TIMEOUT_S)

    await to_thread.run_sync(delete)


async def write(bootstrap_servers: str, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
    """One record outside any transaction, as a stranger would write it."""

    def produce() -> None:
        producer = Producer({"bootstrap.servers": bootstrap_servers})
        producer.produce(topic, key=key, value=value, partition=partition)
        assert producer.flush(_TIMEOUT_S) == 0

    await to_thread.run_sync(produce)
