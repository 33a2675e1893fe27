"""Faults of brokers: killed and started again, frozen and woken up. With three of them, mostly the leaders.

One rule: one broker at a time, and not before every replica is in sync again: more than that no cluster promises.
"""

import contextlib

import anyio
from anyio import to_thread
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # its stubs do not mark what it exports

from collector.local_kafka import LocalKafka
from tests.chaos.plan import Kind, Step

IN_SYNC_DEADLINE_S = 240.0
"""For a killed broker to catch up on a starved machine; usually a few seconds."""

ASK_TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.25
LEADER_SHARE = 0.8
"""So often the victim is the broker that leads most partitions."""


class Brokers:
    """Disturbs the brokers of a cluster.

    Args:
        cluster: that was started here and for this.
    """

    def __init__(self, cluster: LocalKafka) -> None:
        self._cluster = cluster
        self._one_at_a_time = anyio.Lock()

    async def disturb(self, step: Step) -> None:
        """One fault, from a whole cluster to a whole cluster."""
        async with self._one_at_a_time:
            await self.wait_until_in_sync()
            victim = await self._victim(step.choice)
            if step.kind is Kind.BROKER_KILL:
                await self._cluster.kill(victim)
                await anyio.sleep(step.lasts_s)
                await self._cluster.restart(victim)
            else:
                await self._cluster.pause(victim)
                try:
                    await anyio.sleep(step.lasts_s)
                finally:
                    await self._cluster.resume(victim)
            await self.wait_until_in_sync()

    async def wait_until_in_sync(self) -> None:
        """Wait until every partition has a leader and all its replicas are in sync."""
        with anyio.fail_after(IN_SYNC_DEADLINE_S):
            while not await to_thread.run_sync(self._is_in_sync):  # noqa: ASYNC110 - of other processes
                await anyio.sleep(LOOK_EVERY_S)

    async def _victim(self, choice: float) -> int:
        count = len(self._cluster.brokers)
        if choice >= LEADER_SHARE or count == 1:
            return int(choice * 1_000) % count
        leaderships = await to_thread.run_sync(self._leaderships)
        return max(range(count), key=lambda index: leaderships.get(self._cluster.brokers[index].node.node_id, 0))

    def _leaderships(self) -> dict[int, int]:
        found: dict[int, int] = {}
        with contextlib.suppress(KafkaException):
            for topic in self._admin().list_topics(timeout=ASK_TIMEOUT_S).topics.values():
                for partition in topic.partitions.values():
                    found[partition.leader] = found.get(partition.leader, 0) + 1
        return found

    def _is_in_sync(self) -> bool:
        try:
            known = self._admin().list_topics(timeout=ASK_TIMEOUT_S)
        except KafkaException:
            return False
        partitions = [partition for topic in known.topics.values() for partition in topic.partitions.values()]
        return len(known.brokers) == len(self._cluster.brokers) and all(
            partition.leader >= 0 and len(partition.isrs) == len(partition.replicas) for partition in partitions
        )

    def _admin(self) -> AdminClient:
        # A new one each time: an old one may believe in the brokers of before a failover.
        return AdminClient({"bootstrap.servers": self._cluster.bootstrap_servers, "log_level": 0})
