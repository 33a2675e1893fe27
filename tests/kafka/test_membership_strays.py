"""What the tests of membership wait for and work against: conditions, members that never do anything, and what a group
says about itself. Holds no tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.protocol.group import JoinGroupRequest

from collector.kafka.connection import client_arguments
from collector.kafka.leave_group import remove_member
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.settings import KafkaSettings

# The broker waits so long for the strays: longer than any test.
STRAY_MS = 60_000


async def holds(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Waits until a condition holds."""
    with anyio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110  # what is waited for happens in logs and in clients, without an event
            await anyio.sleep(0.02)


class Strays:
    """Raw members: the first one takes its place in the group, every other one starts a rebalance that it waits for."""

    def __init__(self, kafka: KafkaSettings, settings: MembershipSettings) -> None:
        self._kafka = kafka
        self._group_id = settings.group(kafka)
        self._clients: list[Any] = []
        self._joins: list[asyncio.Future[Any]] = []
        self.member_ids: set[str] = set()

    async def join(self) -> Any:
        """Joins; the answer comes when everybody has joined."""
        client = AIOKafkaClient(**client_arguments(self._kafka, role="stray"))
        self._clients.append(client)
        await client.bootstrap()
        node = await client.coordinator_lookup(CoordinationType.GROUP, self._group_id)
        metadata = StickyPartitionAssignor._metadata([self._kafka.shards_topic], None).encode()

        def ask(member_id: str) -> Any:
            request = JoinGroupRequest(
                self._group_id, STRAY_MS, STRAY_MS, member_id, None, "consumer", [("sticky", metadata)]
            )
            return client.send(node, request, group=ConnectionGroup.COORDINATION)

        member_id = (await ask("")).member_id
        self.member_ids.add(member_id)
        return asyncio.ensure_future(ask(member_id))

    async def block(self) -> None:
        """Starts a rebalance that cannot end, as the first stray does not take part."""
        self._joins.append(await self.join())

    async def close(self) -> None:
        """Removes them from the group."""
        for member_id in self.member_ids:
            await remove_member(self._kafka, self._group_id, member_id=member_id, timeout_s=5)
        for join in self._joins:
            join.cancel()
        for client in self._clients:
            await client.close()


@asynccontextmanager
async def endless_rebalance(kafka: KafkaSettings, settings: MembershipSettings) -> AsyncIterator[Strays]:
    """A group with a stray in it; ``block`` then starts the rebalance that never ends."""
    strays = Strays(kafka, settings)
    try:
        with anyio.fail_after(20):
            await (await strays.join())
        yield strays
    finally:
        await strays.close()


async def members_of(kafka: KafkaSettings, settings: MembershipSettings) -> set[str]:
    """Member ids in the group, as the broker sees it."""
    admin = AIOKafkaAdminClient(**client_arguments(kafka, role="admin"))
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([settings.group(kafka)])
        return {member[0] for member in answer.groups[0][5]}
    finally:
        await admin.close()
