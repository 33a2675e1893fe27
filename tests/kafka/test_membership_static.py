"""Workers with an instance id: what they own waits for them, for the time of a session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kafka.test_membership import ALL, member, quick, shards_topic, two_heartbeats, until_shared
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(60)]


@pytest.mark.parametrize("restarted", ["leader", "follower"])
async def test_static_member_back_in_time_moves_nothing(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, restarted: str
) -> None:
    """A worker with an instance id that is back within its session has its shards, and nobody else sees any change."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    static = quick(session_timeout_s=20, instance_id="a", rebuild_silence_s=60)
    other = quick(session_timeout_s=20, instance_id="b", rebuild_silence_s=60)
    first, second = (static, other) if restarted == "leader" else (other, static)
    async with member(kafka, first) as one, member(kafka, second) as two:
        await until_shared(one, two)
        before, bystander = (one, two) if restarted == "leader" else (two, one)
        had, seen = before.changes[-1], len(bystander.changes)
        await before.membership.leave()
        await two_heartbeats(bystander)  # it would have been given everything by now
        async with member(kafka, static) as after:
            await after.until(lambda: bool(after.changes))
            assert after.changes == [had]
            await two_heartbeats(bystander)
            assert len(bystander.changes) == seen


async def test_static_member_leaves_for_good(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """The shards of a worker with an instance id move at once if it says that it will not come back."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    patient = quick(session_timeout_s=30, rebuild_silence_s=60)
    async with member(kafka, replace(patient, instance_id="a")) as leaver, member(kafka, patient) as heir:
        await until_shared(leaver, heir)
        await leaver.membership.leave(for_good=True)
        await heir.until(lambda: heir.owned == ALL, 2)


async def test_two_workers_under_one_instance_id_take_turns(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Of two workers under one name the newer one works for a while; they do not throw each other out on and on."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    static = quick(session_timeout_s=1, instance_id="same")
    async with member(kafka, static) as one:
        await one.until(lambda: one.owned == ALL)
        async with member(kafka, static) as two:
            await one.until(lambda: len(one.changes) == 2)
            await two_heartbeats(two)
            assert two.changes == [ALL]
            await one.until(lambda: len(one.changes) == 3)
            assert one.changes == [ALL, frozenset(), ALL]
