"""Workers share the shards: every shard has one owner, and moves only if it must.

Members here live in the process of the test; those that are killed and frozen are in `test_membership_processes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from collector.kafka.administration import cluster
from collector.kafka.leave_group import remove_member
from collector.kafka.membership import ShardMembership
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.settings import KafkaSettings
from collector.kafka.topic_rules import WantedTopic
from tests.kafka.publications import settings_for
from tests.kafka.test_membership_strays import endless_rebalance, holds, members_of
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(60)]

SHARDS = 16
ALL = frozenset(range(SHARDS))

# The broker of the tests allows what others refuse. Long enough for a busy machine, short enough to wait for.
QUICK = {"session_timeout_s": 2.0, "heartbeat_interval_s": 0.2, "rebalance_timeout_s": 2.0, "backoff_max_s": 1.0}


def quick(**overrides: Any) -> MembershipSettings:
    """Settings whose deadlines tests can wait for."""
    return MembershipSettings(**({"rebuild_silence_s": 5.0} | QUICK | overrides))


class Member:
    """A membership and everything it has reported."""

    def __init__(self, kafka: KafkaSettings, settings: MembershipSettings) -> None:
        self.changes: list[frozenset[int]] = []
        self._changed = asyncio.Event()
        self.membership = ShardMembership(kafka, settings, changed=self._note)

    @property
    def owned(self) -> frozenset[int]:
        """The set reported last."""
        return self.changes[-1] if self.changes else frozenset()

    def _note(self, owned: frozenset[int]) -> None:
        self.changes.append(owned)
        self._changed.set()

    async def until(self, reached: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Waits for reports until a condition holds."""
        with anyio.fail_after(timeout_s):
            while not reached():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def member(kafka: KafkaSettings, settings: MembershipSettings | None = None) -> AsyncIterator[Member]:
    """A member for as long as the context lasts."""
    one = Member(kafka, settings or quick())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.membership.run)
        yield one
        tasks.cancel_scope.cancel()


async def shards_topic(bootstrap_servers: str, prefix: str, **overrides: Any) -> KafkaSettings:
    """Settings, once the shards topic exists with a leader for every partition."""
    kafka = settings_for(bootstrap_servers, prefix, shards=SHARDS, **overrides)
    with anyio.fail_after(20):
        async with cluster(kafka) as brokers:
            await brokers.create([WantedTopic(kafka.shards_topic, SHARDS, 1, {})])
            while not (found := await brokers.topics([kafka.shards_topic])) or found[kafka.shards_topic].leaderless:
                await anyio.lowlevel.checkpoint()  # the question itself takes its time
    return kafka


def is_shared(owners: Iterable[frozenset[int]]) -> bool:
    """Whether every shard has exactly one owner, and no owner has two more than another."""
    sets = list(owners)
    sizes = [len(owned) for owned in sets]
    return sorted(shard for owned in sets for shard in owned) == sorted(ALL) and max(sizes) - min(sizes) <= 1


async def test_one_member_gets_all_and_a_second_one_half(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """The first member is given everything in one report, and the second takes half without disturbing the rest."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with member(kafka) as first:
        await first.until(lambda: first.owned == ALL)
        async with member(kafka) as second:
            await until_shared(first, second)
        assert first.changes[:2] == [ALL, ALL - second.changes[0]]


async def test_three_members_are_even_and_little_moves(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Sixteen shards on three members are 5, 5 and 6, and only what must move does."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with member(kafka) as first, member(kafka) as second:
        await until_shared(first, second)
        before = first.owned, second.owned
        async with member(kafka) as third:
            await until_shared(first, second, third)
            assert sorted(map(len, (first.owned, second.owned, third.owned))) == [5, 5, 6]
            assert first.owned < before[0]
            assert second.owned < before[1]
        await until_shared(first, second)
        assert first.owned >= before[0] - third.changes[0]


async def test_planned_leave_is_taken_over_at_once(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Who leaves has nothing any more, and others own it within two seconds, however long a session is."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    patient = quick(session_timeout_s=30, rebuild_silence_s=60)
    async with member(kafka, patient) as leaver, member(kafka, patient) as heir:
        await until_shared(leaver, heir)
        await leaver.membership.leave()
        assert leaver.owned == frozenset()
        await heir.until(lambda: heir.owned == ALL, 2)


async def test_removed_member_stops_and_comes_back(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A member that hears that it is none any more owns nothing from then on, until it is given something anew."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with member(kafka) as removed, member(kafka) as other:
        await until_shared(removed, other)
        seen = len(removed.changes)
        assert removed.membership._client is not None
        member_id = removed.membership._client.member_id
        await remove_member(kafka, quick().group(kafka), member_id=member_id, timeout_s=5)
        await removed.until(lambda: len(removed.changes) == seen + 2)
        assert removed.changes[-2] == frozenset()
        await until_shared(removed, other)


async def test_leave_while_the_group_waits_for_others(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A member whose join is pending, because another one does not join, leaves at once all the same."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    patient = quick(session_timeout_s=30, rebalance_timeout_s=30, rebuild_silence_s=60)
    async with member(kafka, patient) as leaver:
        await leaver.until(lambda: leaver.owned == ALL)
        async with endless_rebalance(kafka, patient) as strays:
            await leaver.until(lambda: len(leaver.owned) == SHARDS // 2)
            await strays.block()
            await rebalancing(leaver)
            assert len(await members_of(kafka, patient) - strays.member_ids) == 1
            with anyio.fail_after(3):
                await leaver.membership.leave()
            assert await members_of(kafka, patient) <= strays.member_ids


async def test_endless_rebalance_ends_the_tenure(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Work goes on while the group settles; when that takes too long the shards are given up, then regained."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    settings = quick(session_timeout_s=1, rebalance_timeout_s=1)
    async with member(kafka, settings) as one:
        await one.until(lambda: one.owned == ALL)
        async with endless_rebalance(kafka, settings) as strays:
            await one.until(lambda: len(one.owned) == SHARDS // 2)
            half = one.owned
            await strays.block()
            await one.until(lambda: one.owned != half)
            assert one.owned == frozenset()
        await one.until(lambda: one.owned == ALL)


async def test_missing_topic_is_waited_for(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Brokers that do not know the topic, as shortly after their start, give a member nothing, and later everything."""
    kafka = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, shards=SHARDS)
    with capture_logs() as logs:
        async with member(kafka, quick(rebuild_errors=2)) as one:
            await holds(lambda: any(f"no partitions of {kafka.shards_topic}" in str(line) for line in logs))
            await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
            await one.until(lambda: bool(one.changes))
            assert one.changes == [ALL]


async def test_refused_session_timeout_is_explained(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """What only an operator can heal is logged with its remedy."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    with capture_logs() as logs:
        async with member(kafka, quick(session_timeout_s=0.09, heartbeat_interval_s=0.03)):
            await holds(lambda: any("group.min.session.timeout.ms" in str(line.get("remedy")) for line in logs))


async def test_dead_client_is_replaced(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A client that knows no brokers ends in an assertion and would never do anything again: another one is made."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with member(kafka) as one:
        await one.until(lambda: one.owned == ALL)
        assert one.membership._client is not None
        consumer = one.membership._client._consumer
        consumer._client.cluster._brokers.clear()  # seen once after a broker had been frozen; cause unknown
        consumer._coordinator.coordinator_dead()
        await one.until(lambda: len(one.changes) == 3)
        assert one.changes == [ALL, frozenset(), ALL]


async def test_failing_callback_ends_the_run(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """aiokafka swallows what listeners raise; a mistake of the caller's must not vanish like that."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)

    def fail(owned: frozenset[int]) -> None:
        raise LookupError(sorted(owned))

    with pytest.raises(ExceptionGroup) as raised:
        await ShardMembership(kafka, quick(), changed=fail).run()
    assert raised.group_contains(LookupError)


async def test_leave_before_run(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A stop that comes first is not forgotten."""
    kafka = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    one = Member(kafka, quick())
    await one.membership.leave()
    await one.membership.run()
    assert one.changes == []


async def until_shared(*members: Member) -> None:
    """Waits until every shard has one owner among the members, evenly."""
    await holds(lambda: is_shared([one.owned for one in members]))


async def rebalancing(one: Member) -> None:
    """Waits until a member has heard that the group settles anew."""
    await holds(lambda: one.membership._tenure.rebalancing)


async def two_heartbeats(one: Member) -> None:
    """Waits until a member has asked twice more whether the group changes."""
    for _ in range(2):
        await next_sign_of_life(one)


async def next_sign_of_life(one: Member) -> None:
    """Waits until the broker has answered a request that was sent from now on."""
    now_s = asyncio.get_running_loop().time()
    await holds(lambda: one.membership._tenure.alive_s >= now_s, 40)
