"""Kafka brokers for tests: one shared by the whole run, and private ones for tests that kill, freeze or restart them.

The one rule: a shared broker is never disturbed; tests keep apart by the names of their topics, groups and ids.

    def test_x(kafka_cluster, kafka_topic_prefix): ...        # any kind of test, synchronous ones too
    async def test_y(private_kafka):                          # with @pytest.mark.anyio
        async with private_kafka(brokers=3) as cluster: ...
"""

import itertools
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from anyio.from_thread import start_blocking_portal

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafka, LocalKafkaSettings, local_kafka


class PrivateKafka(Protocol):
    """Starts a cluster of the test's own."""

    def __call__(
        self, *, brokers: int = 1, properties: Mapping[str, str] | None = None, data_dir: Path | None = None
    ) -> AbstractAsyncContextManager[LocalKafka]:
        """Return the cluster as an async context manager."""


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """A cluster that tests share and must not disturb.

    Args:
        bootstrap_servers: host and port of its brokers, separated by commas.
    """

    bootstrap_servers: str


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker for the whole run, started at its first use; or the one that `KAFKA_BOOTSTRAP_SERVERS` names."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield KafkaCluster(given)
        return
    # Nobody kills this broker, so nothing is gained by fencing it when a busy machine delays its heartbeats.
    patient = {"broker.session.timeout.ms": "30000"}
    settings = LocalKafkaSettings(
        data_dir=tmp_path_factory.mktemp("kafka") / "shared",
        properties={**FAST_TEST_PROPERTIES, **patient},
        heap_mb=384,
    )
    # An event loop of its own, in a thread: tests of any scope and any event loop use the same broker.
    with (
        start_blocking_portal("asyncio", name="kafka_cluster") as portal,
        portal.wrap_async_context_manager(local_kafka(settings)) as cluster,
    ):
        yield KafkaCluster(cluster.bootstrap_servers)


@pytest.fixture
def kafka_topic_prefix() -> str:
    """A prefix for names of topics, groups and transactional ids that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def private_kafka(tmp_path: Path) -> PrivateKafka:
    """A function that returns a cluster of the test's own, as an async context manager.

    Its arguments: `brokers` (1 or 3), `properties` (over the fast ones), `data_dir` (to start the same cluster again).
    """
    numbers = itertools.count(1)

    def factory(
        *, brokers: int = 1, properties: Mapping[str, str] | None = None, data_dir: Path | None = None
    ) -> AbstractAsyncContextManager[LocalKafka]:
        settings = LocalKafkaSettings(
            data_dir=data_dir or tmp_path / f"kafka-{next(numbers)}",
            brokers=brokers,
            properties={**FAST_TEST_PROPERTIES, **(properties or {})},
        )
        return local_kafka(settings)

    return factory
