"""Questions to the cluster about topics, and their creation, with aiokafka's administration client.

The one rule: it reports what the brokers say as plain values, and judges nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from collector.kafka.closing import finish_within
from collector.kafka.connection import client_arguments
from collector.kafka.settings import KafkaSettings
from collector.kafka.topic_rules import ObservedTopic, WantedTopic

_NO_LEADER = -1


@asynccontextmanager
async def cluster(settings: KafkaSettings) -> AsyncIterator[Cluster]:
    """A started administration client. The caller sets the deadline; closing has its own.

    Raises:
        KafkaError, OSError: no broker answered.
    """
    admin = AIOKafkaAdminClient(**client_arguments(settings, role="admin"))
    try:
        await admin.start()
        yield Cluster(admin, brokers=len((await admin.describe_cluster())["brokers"]))
    finally:
        await finish_within(settings.close_timeout_s, admin.close())


class Cluster:
    """The verbs we need. ``size`` is the number of brokers that were alive when we connected."""

    def __init__(self, admin: Any, *, brokers: int) -> None:
        self._admin = admin
        self.size = brokers

    async def topics(self, names: Sequence[str]) -> dict[str, ObservedTopic]:
        """Those of the named topics that exist, with their settings.

        All topics are listed and ours picked: a broker with ``auto.create.topics.enable`` would create a missing topic
        that is asked for by name, with settings that nobody chose.
        """
        listed = {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics()}
        partitions = {name: listed[name] for name in names if listed.get(name)}
        configs = await self._configs(list(partitions)) if partitions else {}
        return {
            name: ObservedTopic(
                name=name,
                partitions=len(partitions[name]),
                replication_factor=min(len(partition["replicas"]) for partition in partitions[name]),
                configs=configs[name],
                leaderless=sum(partition["leader"] == _NO_LEADER for partition in partitions[name]),
            )
            for name in partitions
            if name in configs
        }

    async def create(self, topics: Sequence[WantedTopic]) -> dict[str, str]:
        """Creates topics. One that another worker has just created counts as created.

        Returns:
            The topics that were refused, with the broker's reason.
        """
        response = await self._admin.create_topics(
            [
                NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=dict(topic.configs))
                for topic in topics
            ]
        )
        refused = {}
        for name, code, *message in response.topic_errors:
            error = for_code(code)
            if error not in (NoError, TopicAlreadyExistsError):
                refused[name] = " ".join(filter(None, [error.__name__, *message]))
        return refused

    async def _configs(self, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
        """Effective settings by topic: none where we may not look, no entry where the broker has not heard of it."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs: dict[str, Mapping[str, str]] = {}
        for response in await self._admin.describe_configs(resources):
            for code, message, _, name, entries in response.resources:
                error = for_code(code)
                if error is NoError:
                    configs[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
                elif error is TopicAuthorizationFailedError:
                    configs[name] = {}
                elif error is not UnknownTopicOrPartitionError:
                    raise error(message)
        return configs
