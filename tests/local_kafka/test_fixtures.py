"""The fixtures that other test folders rely on."""

import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.kafka_fixtures import KafkaCluster


@pytest.mark.anyio
async def test_the_shared_broker_serves_transactions(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A committed transaction on the shared broker is readable by a read_committed consumer."""
    topic = f"{kafka_topic_prefix}.events"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    value = uuid.uuid4().bytes
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers, transactional_id=f"{kafka_topic_prefix}.0"
    )
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka_cluster.bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        record = await consumer.getone()
    finally:
        await consumer.stop()
    assert record.value == value
