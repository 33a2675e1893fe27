"""An independent look at the topics: librdkafka, read committed, from the first offset to the last."""

from collections import Counter
from dataclasses import dataclass, field

import confluent_kafka

POLL_S = 30.0


@dataclass
class Committed:
    """What a read_committed reader of a topic sees."""

    keys: Counter[str] = field(default_factory=Counter)
    values: list[bytes] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, bytes]] = field(default_factory=list)


def read_committed(bootstrap_servers: str, topic: str) -> Committed:
    """Read a whole topic."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "end-to-end-verifier",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        metadata = consumer.list_topics(topic, timeout=POLL_S).topics[topic]
        if metadata.error is not None:
            return Committed()
        partitions = list(metadata.partitions)
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0) for partition in partitions])
        result, ended = Committed(), set()
        while len(ended) < len(partitions):
            message = consumer.poll(POLL_S)
            assert message is not None, f"{topic}: the reader is stuck before the end"
            if message.error() is not None:
                assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
                continue
            result.keys[(message.key() or b"").decode()] += 1
            headers = dict(message.headers() or ())
            result.headers.append(headers)
            if "ce_id" in headers:
                result.ids[headers["ce_id"].decode()] += 1
            result.values.append(message.value())
        return result
    finally:
        consumer.close()
