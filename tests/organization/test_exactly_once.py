"""The promise, end to end over the two ports: whatever fails, each session can be read once."""

from __future__ import annotations

import anyio
import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.core.model import Publication
from tests.organization.fakes import FakeApi, FakeKafka
from tests.organization.world import LOOKBACK_S, OVERLAP_S, World, make_sessions, run
from tests.simulation.cluster import FakeSink

AIDS = ["11", "12", "13"]
QUIET_S = 2.0 * OVERLAP_S


def small_world(seed: int = 0, failure_share: float = 0.0, until_s: float = 600.0) -> World:
    """Three account groups, 300 sessions, late ones among them."""
    return World(
        FakeApi(AIDS, make_sessions(AIDS, 300, until_s, seed)), FakeKafka(seed, failure_share), seed=seed, concurrency=3
    )


def test_ten_quiet_minutes() -> None:
    """No trouble: every session once, no 429, no restore after the first."""
    world = small_world()

    async def main() -> None:
        await world.collect_for(600.0 + QUIET_S)

    run(main)
    world.assert_each_once(600.0 + QUIET_S - 60.0)
    assert world.kafka.opened == 1
    assert world.diary.rejected == 0
    assert not world.diary.failures


@settings(max_examples=8)
@given(seed=st.integers(0, 1_000_000))
@example(seed=0)
def test_publications_that_fail_with_unknown_outcome(seed: int) -> None:
    """One publication in three fails, committed or not: nothing is lost, nothing comes twice."""
    world = small_world(seed, failure_share=0.33)

    async def main() -> None:
        await world.collect_for(600.0)
        world.kafka._failure_share = 0.0
        await world.collect_for(QUIET_S)

    run(main, seed)
    world.assert_each_once(600.0 + QUIET_S - 60.0)
    assert world.kafka.opened > 2


@settings(max_examples=8)
@given(seed=st.integers(0, 1_000_000), lives=st.lists(st.floats(0.1, 60.0), min_size=3, max_size=6))
@example(seed=1, lives=[0.29, 0.47, 0.61, 5.0])
@example(seed=94, lives=[1.0, 1.0, 1.125])  # killed in the very moment in which a commit's answer is lost
def test_processes_that_die_and_stop(seed: int, lives: list[float]) -> None:
    """Each process is cancelled (as a kill would) or drained after a while: the next one goes on exactly there."""
    world = small_world(seed, failure_share=0.1)

    async def main() -> None:
        for number, life_s in enumerate(lives):
            if number % 2:
                await world.collect_for(life_s)
            else:
                with anyio.move_on_after(life_s):
                    await world.shard().run()
        world.kafka._failure_share = 0.0
        await anyio.sleep(max(0.0, 600.0 - sum(lives)))
        await world.collect_for(QUIET_S)

    run(main, seed)
    world.assert_each_once(600.0)


def test_a_crash_at_every_moment_of_the_first_seconds() -> None:
    """Cancelled at each of 100 moments: in a request, between two, in a publication, before and after its commit."""
    for moment in range(100):
        world = small_world(until_s=1.0)

        async def main(world: World = world, moment: int = moment) -> None:
            with anyio.move_on_after(0.04 + moment * 0.013):
                await world.shard().run()
            assert world.diary.in_flight <= world.concurrency
            await anyio.sleep(OVERLAP_S)
            await world.catch_up()

        run(main)
        world.assert_each_once(1.0)


def test_a_drain_at_every_moment_of_the_first_seconds() -> None:
    """A drain lets pages in hand be published, asks nothing new, and ends soon, whenever it comes."""
    for moment in range(60):
        world = small_world(until_s=1.0)

        async def main(world: World = world, moment: int = moment) -> int:
            await world.collect_for(moment * 0.023)
            asked = len(world.api.asked)
            await anyio.sleep(OVERLAP_S)
            assert len(world.api.asked) == asked
            assert not world.diary.losses
            await world.catch_up()
            return asked

        run(main)
        world.assert_each_once(1.0)


def test_a_drain_does_not_wait_for_answers() -> None:
    """Requests on their way are given up by a drain: a slow API does not delay the end."""
    world = small_world()
    world.api.latency_s = lambda: 40.0

    async def main() -> float:
        await world.collect_for(60.0)
        return trio.current_time()

    assert run(main) <= 62.0


def test_two_owners_at_once() -> None:
    """A second process takes the shard over while the first believes it owns it: nothing comes twice."""
    world = small_world()

    async def main() -> None:
        first, second = world.shard(), world.shard()
        with anyio.move_on_after(600.0 + QUIET_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(first.run)
                await anyio.sleep(20.0)
                tasks.start_soon(second.run)
                await anyio.sleep(60.0)
                first.drain()

    world.api.being_asked = _Unbounded()
    run(main)
    world.assert_each_once(600.0)


class _Unbounded(dict[str, int]):
    """Two processes may ask for one account group at the same time; the assertion of the fake is for one."""

    def __missing__(self, key: str) -> int:
        return 0

    def __getitem__(self, key: str) -> int:
        return 1

    def __setitem__(self, key: str, value: int) -> None: ...


def test_a_worn_out_sink_is_replaced() -> None:
    """A sink that asks for it is closed after a commit and a new one is opened; nothing is lost or repeated."""
    world = small_world()
    opened: list[FakeSink] = []

    class WearsOut(FakeSink):
        async def publish(self, publication: Publication) -> None:
            await super().publish(publication)
            self.worn_out = len(opened) < 4

    def open_sink() -> FakeSink:
        opened.append(WearsOut(world.kafka))
        return opened[-1]

    async def main() -> None:
        shard = world.shard()
        shard._open_sink = open_sink
        with anyio.move_on_after(600.0 + QUIET_S):
            await shard.run()

    run(main)
    assert len(opened) == 4
    world.assert_each_once(600.0)


def test_a_new_process_goes_on_where_the_last_one_stopped() -> None:
    """After an outage longer than the first run's reach, the first windows begin where everything was settled."""
    world = small_world(until_s=600.0)

    async def main() -> None:
        await world.collect_for(300.0)
        await anyio.sleep(2.0 * LOOKBACK_S)
        await world.catch_up()

    run(main)
    world.assert_each_once(2.0 * LOOKBACK_S)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_second_run_repeats_nothing(concurrency: int) -> None:
    """Catching up twice: the second time, nothing is left to publish."""
    world = small_world(until_s=0.0)
    world.concurrency = concurrency

    async def main() -> int:
        await anyio.sleep(OVERLAP_S + 10.0)
        await world.catch_up()
        count = len(world.kafka.records)
        await world.catch_up()
        return count

    assert run(main) == len(world.kafka.records) == 300
