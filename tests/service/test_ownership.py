"""What runs follows what the group says, in virtual time: gained, lost, gained again, cut off, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import trio
from prometheus_client import CollectorRegistry

from collector.core.model import MonoS
from collector.service.ownership import LOST_DRAIN_S, ShardKeeper
from collector.telemetry.metrics import Metrics
from collector.telemetry.ownership import OwnershipTelemetry
from collector.telemetry.status import GroupStatus, StatusBoard
from tests.organization.world import run

HOLDING = {0: ["a"], 1: ["b", "c"], 5: ["d"]}
"""Shards that hold organizations; the group hands out others too."""


class FakeShard:
    """Runs until it is drained, and then for as long as its pages take."""

    organizations = ()

    def __init__(self, number: int, pages_s: float) -> None:
        self.number = number
        self._pages_s = pages_s
        self._drained = anyio.Event()
        self.ran = self.ended = self.closed = False

    def drain(self) -> None:
        self._drained.set()

    async def run(self, **options: object) -> None:
        self.ran = True
        await self._drained.wait()
        await anyio.sleep(self._pages_s)
        self.ended = True

    async def aclose(self) -> None:
        self.closed = True


class FakeFactory:
    """Remembers every shard it made."""

    def __init__(self, pages_s: float) -> None:
        self.pages_s = pages_s
        self.made: list[FakeShard] = []

    def organizations_by_shard(self) -> dict[int, list[str]]:
        return dict(HOLDING)

    def shard(self, number: int) -> FakeShard:
        self.made.append(FakeShard(number, self.pages_s))
        return self.made[-1]


class World:
    """A keeper, and what it runs."""

    def __init__(self, pages_s: float = 0.1) -> None:
        self.board = StatusBoard("1", lambda: 0.0, lambda: MonoS(0.0))
        self.metrics = Metrics(CollectorRegistry())
        self.telemetry = OwnershipTelemetry(self.metrics, self.board)
        self.factory = FakeFactory(pages_s)
        self.keeper = ShardKeeper(self.factory, observer=self.telemetry)  # type: ignore[arg-type]

    @property
    def running(self) -> list[int]:
        """Numbers of the shards that run now."""
        return sorted(shard.number for shard in self.factory.made if shard.ran and not shard.closed)

    def play(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run the keeper; drain it when the script is over; it must end."""

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.keeper.run)
                await script()
                self.keeper.drain()
                with anyio.fail_after(60.0):
                    while self.running:  # noqa: ASYNC110  # virtual time
                        await anyio.sleep(0.01)

        run(main)
        assert all(shard.closed for shard in self.factory.made)


async def pause(seconds: float = 0.01) -> None:
    """Let everything happen that can."""
    await anyio.sleep(seconds)


def test_what_is_ours_and_holds_anything_runs() -> None:
    """Shards without organizations open no producer; those of others do not run here."""
    world = World()

    async def script() -> None:
        world.keeper.own({0, 2, 3, 5})
        await pause()
        assert world.running == [0, 5]
        states = {number: status.state for number, status in world.board.shards.items()}
        assert states == {0: "restoring", 1: "elsewhere", 5: "restoring"}

    world.play(script)


def test_what_is_lost_ends_and_what_stays_is_not_disturbed() -> None:
    """Only the lost one is drained; nothing is started twice."""
    world = World()

    async def script() -> None:
        world.keeper.own({0, 1, 5})
        await pause()
        world.keeper.own({0, 5})
        await pause(1.0)
        assert world.running == [0, 5]
        assert [shard.ended for shard in world.factory.made] == [False, True, False]
        assert len(world.factory.made) == 3

    world.play(script)


def test_what_does_not_end_in_time_is_cut_off() -> None:
    """Pages in hand have their seconds and no more: by then the new owner has fenced us."""
    world = World(pages_s=1_000.0)

    async def script() -> None:
        world.keeper.own({1})
        await pause()
        lost_at = trio.current_time()
        world.keeper.own(set())
        while world.running:  # virtual time
            await pause()
        assert LOST_DRAIN_S <= trio.current_time() - lost_at < LOST_DRAIN_S + 1
        assert not world.factory.made[0].ended
        world.factory.pages_s = 0.1

    world.play(script)


def test_what_is_gained_again_starts_anew_when_it_has_ended() -> None:
    """A drained shard is used up; two of one number never run at the same time."""
    world = World(pages_s=2.0)

    async def script() -> None:
        world.keeper.own({1})
        await pause()
        world.keeper.own(set())
        await pause()
        world.keeper.own({1})
        await pause(1.0)
        assert (len(world.factory.made), world.running) == (1, [1])
        await pause(2.0)
        assert (len(world.factory.made), world.running) == (2, [1])

    world.play(script)


def test_readiness_is_of_what_is_ours() -> None:
    """A member that was given nothing is ready; one that is no member, or has not restored what it has, is not."""
    world = World()
    member = False
    world.telemetry.joined(GroupStatus("g", None, lambda: member))
    ready, phases, waits = [], [], []
    world.board.phase = "collecting"
    for is_member, ours, restored in [(False, (), ()), (True, (), ()), (True, (1,), ()), (True, (1,), (1,))]:
        member = is_member
        world.telemetry.assigned(frozenset(ours))
        for number in restored:
            world.board.shards[number].owned = True
        ready.append(world.board.ready)
        phases.append(world.board.snapshot()["phase"])
        waits.append(world.board.waits_for())
    assert ready == [False, True, False, True]
    assert waits == [
        ["this worker is no member of the group g now: it joins, or Kafka is away"], [], ["shard 1 being restored"], []
    ]  # fmt: skip
    assert phases == ["joining", "standby", "collecting", "collecting"]
