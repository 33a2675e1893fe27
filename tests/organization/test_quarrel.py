"""Two workers that both believe for good that a shard is theirs: nothing is lost or twice, and they calm down."""

from __future__ import annotations

import anyio

from collector.shard import STEADY_S
from tests.organization.fakes import FakeApi
from tests.organization.world import World, make_sessions, run

HOURS_S = 7_200.0


def test_two_that_believe_for_good_do_not_fence_each_other_on_and_on() -> None:
    """As with two group ids on one state topic. Each restores at most every half minute or so, not at every commit."""
    aids = ["101", "102"]
    sessions = make_sessions(aids, 2_000, HOURS_S - 900.0)
    world = World(FakeApi(aids, sessions), poll_interval_s=5.0)
    other = World(FakeApi(aids, sessions), poll_interval_s=5.0, kafka=world.kafka)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            shards = [world.shard(), other.shard()]
            for shard in shards:
                tasks.start_soon(shard.run)
            await anyio.sleep(HOURS_S)
            for shard in shards:
                shard.drain()

    run(main)
    world.assert_each_once(HOURS_S - 900.0)
    assert world.kafka.opened > 2
    assert world.kafka.opened < 2 * HOURS_S / (STEADY_S / 4)
