"""The name that is made up for a worker: the same after a crash, another one for another process."""

import subprocess
import sys
from pathlib import Path

import pytest

from collector.kafka.membership_settings import MembershipSettings
from collector.service.instance import AutomaticInstance
from tests.kafka.test_membership import ALL, member, quick, shards_topic, until_shared
from tests.kafka_fixtures import KafkaCluster

PROJECT = Path(__file__).parents[2]
HOLD = """
import sys
from collector.service.instance import AutomaticInstance
held = AutomaticInstance(sys.argv[1])
print(held.instance_id, flush=True)
sys.stdin.read()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's; elsewhere no name is made up")


def holder(group: str) -> tuple["subprocess.Popen[str]", str]:
    """A process that holds a name, and the name."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, group], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    """kill -9."""
    process.kill()
    process.communicate()


@linux
def test_a_successor_has_the_name_of_the_dead_and_nobody_that_of_the_living(kafka_topic_prefix: str) -> None:
    """Each living process has a name of its own; kill -9 sets it free at once."""
    first, second = holder(kafka_topic_prefix), holder(kafka_topic_prefix)
    try:
        assert first[1] != second[1]
        end(first[0])
        third = holder(kafka_topic_prefix)
        end(third[0])
        assert third[1] == first[1]
        other_group = AutomaticInstance(kafka_topic_prefix + "-other")
        assert other_group.instance_id == first[1]
        other_group.close()
    finally:
        end(second[0])
        if first[0].poll() is None:
            end(first[0])


@pytest.mark.anyio
@pytest.mark.kafka
@pytest.mark.timeout(90)
async def test_a_made_up_name_that_another_machine_has_is_given_up(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Nobody chose it, so nobody has to repair it: both work on, and share."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with member(kafka, automatic(session_timeout_s=6.0)) as one:
        await one.until(lambda: one.owned == ALL)
        async with member(kafka, automatic(session_timeout_s=6.0)) as two:
            await until_shared(one, two)


@pytest.mark.anyio
@pytest.mark.kafka
@pytest.mark.timeout(90)
async def test_a_planned_stop_under_a_made_up_name_leaves_at_once(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Only the crash is to be survived by the name."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    patient = quick(session_timeout_s=30, rebuild_silence_s=80)
    made_up = automatic(session_timeout_s=30, rebuild_silence_s=80)
    async with member(kafka, patient) as heir, member(kafka, made_up) as leaver:
        await until_shared(leaver, heir)
        await leaver.membership.leave()
        await heir.until(lambda: heir.owned == ALL)


def automatic(**overrides: float) -> MembershipSettings:
    """Settings with a made-up name."""
    return quick(**({"rebuild_silence_s": 20.0} | overrides), instance_id="made-up.0", instance_is_automatic=True)
