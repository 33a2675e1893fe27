"""Kafka's jars for tests that need them without a broker."""

from pathlib import Path

import anyio
import pytest

from collector.local_kafka import LocalKafkaSettings
from collector.local_kafka.jar_cache import jar_directory
from collector.local_kafka.jars import cache_dir


@pytest.fixture(scope="session")
def kafka_jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of verified jars in the user's cache, fetched if this is the first time."""
    settings = LocalKafkaSettings(data_dir=tmp_path_factory.mktemp("unused"))
    return anyio.run(jar_directory, settings, cache_dir())
