"""A real Apache Kafka on this machine, without Java or Docker: for trying the collector out, and for its tests.

    async with local_kafka(LocalKafkaSettings(data_dir=Path("kafka"))) as cluster:
        ...  # cluster.bootstrap_servers

Production needs none of this: it is the optional extra `local`.
"""

from collector.local_kafka.cluster import LocalKafka, local_kafka
from collector.local_kafka.errors import (
    BrokerFailed,
    DataDirUnusable,
    JarBroken,
    JarsUnavailable,
    LocalKafkaError,
    LocalKafkaNotInstalled,
    PortInUse,
)
from collector.local_kafka.settings import FAST_TEST_PROPERTIES, KAFKA_VERSION, LocalKafkaSettings

__all__ = [
    "FAST_TEST_PROPERTIES",
    "KAFKA_VERSION",
    "BrokerFailed",
    "DataDirUnusable",
    "JarBroken",
    "JarsUnavailable",
    "LocalKafka",
    "LocalKafkaError",
    "LocalKafkaNotInstalled",
    "LocalKafkaSettings",
    "PortInUse",
    "local_kafka",
]
