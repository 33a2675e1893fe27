"""Workers that are killed, frozen, replaced and restarted: processes of their own, seen by a member in the test.

Run as a program this module is such a worker: it prints each set it owns as one line of JSON, and leaves on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import anyio
import pytest
import structlog
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from collector.kafka.membership import ShardMembership
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.settings import KafkaSettings
from tests.kafka.publications import settings_for
from tests.kafka.test_membership import ALL, SHARDS, is_shared, member, quick, shards_topic, two_heartbeats
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(60)]

PROJECT = Path(__file__).parents[2]
LINE_BYTES_MAX = 4096


class Worker:
    """A membership in another process."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def next_change(self, timeout_s: float = 20.0) -> frozenset[int]:
        """The next set it reports."""
        with anyio.fail_after(timeout_s):
            return frozenset(json.loads(await self._lines.receive_until(b"\n", LINE_BYTES_MAX)))

    async def until_half(self) -> frozenset[int]:
        """The first report that is half of the shards: which of two members came first does not matter."""
        while len(owned := await self.next_change()) != SHARDS // 2:
            pass
        return owned


@asynccontextmanager
async def worker(kafka: KafkaSettings, settings: MembershipSettings) -> AsyncIterator[Worker]:
    """A worker process for as long as the context lasts; killed at its end."""
    prefix = kafka.state_topic.removesuffix(".state")
    arguments = [
        sys.executable,
        "-m",
        "tests.kafka.test_membership_processes",
        kafka.bootstrap_servers,
        prefix,
        json.dumps(asdict(settings)),
    ]
    async with await anyio.open_process(arguments, cwd=PROJECT, stderr=subprocess.DEVNULL) as process:
        try:
            yield Worker(process)
        finally:
            if process.returncode is None:
                process.kill()


async def main() -> None:
    """The worker."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is for reports
    kafka = settings_for(sys.argv[1], sys.argv[2], shards=SHARDS)

    def say(owned: frozenset[int]) -> None:
        sys.stdout.write(json.dumps(sorted(owned)) + "\n")
        sys.stdout.flush()

    membership = ShardMembership(kafka, MembershipSettings(**json.loads(sys.argv[3])), changed=say)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(membership.run)
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                await membership.leave()
                return


async def test_killed_worker_is_replaced(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """The shards of a worker that was killed with -9 have a new owner two seconds after its session at the latest."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with worker(kafka, quick()) as dying, member(kafka) as heir:
        await dying.until_half()
        await heir.until(lambda: len(heir.owned) == SHARDS // 2)
        dying.process.kill()
        await heir.until(lambda: heir.owned == ALL, quick().session_timeout_s + 2)


async def test_terminated_worker_leaves(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A worker that is asked to stop hands over within two seconds, without waiting for its session to end."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    patient = quick(session_timeout_s=30, rebuild_silence_s=60)
    async with worker(kafka, patient) as leaver, member(kafka, patient) as heir:
        await leaver.until_half()
        await heir.until(lambda: len(heir.owned) == SHARDS // 2)
        leaver.process.terminate()
        await heir.until(lambda: heir.owned == ALL, 2)
        with anyio.fail_after(10):
            assert await leaver.process.wait() == 0


async def test_frozen_worker_learns_that_it_lost_its_shards(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """A worker frozen for longer than its session says first that it owns nothing, and then joins like a new one."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with worker(kafka, quick()) as sleeper, member(kafka) as heir:
        await sleeper.until_half()
        await heir.until(lambda: len(heir.owned) == SHARDS // 2)
        sleeper.process.send_signal(signal.SIGSTOP)
        await heir.until(lambda: heir.owned == ALL)
        sleeper.process.send_signal(signal.SIGCONT)
        assert await sleeper.next_change() == frozenset()
        shared = await sleeper.next_change()
        await heir.until(lambda: is_shared([shared, heir.owned]))


async def test_static_worker_killed_and_back_in_time(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A worker with an instance id may even be killed: back in time it has its shards, and nobody noticed."""
    kafka = await shards_topic(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    static = quick(session_timeout_s=30, rebuild_silence_s=60, instance_id="a")
    async with member(kafka, quick(session_timeout_s=30, rebuild_silence_s=60)) as bystander:
        async with worker(kafka, static) as killed:
            had = await killed.until_half()
            await bystander.until(lambda: is_shared([had, bystander.owned]))
            seen = list(bystander.changes)
        async with worker(kafka, static) as back:
            assert await back.next_change() == had
            await two_heartbeats(bystander)
            assert bystander.changes == seen


if __name__ == "__main__":
    asyncio.run(main())
