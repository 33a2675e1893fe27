"""`ShardKeeper` with shards that only an operator can mend: the others go on, and nothing is silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest

from collector.errors import StartRefused
from collector.service.ownership import REFUSED_RETRY_S, ShardKeeper
from tests.organization.world import run


@dataclass
class Told:
    """What the keeper tells."""

    refusals: list[int] = field(default_factory=list)

    def placed(self, organizations: Any) -> None: ...

    def assigned(self, ours: Any) -> None: ...

    def refused(self, number: int, error: Exception, retry_s: float) -> None:
        self.refusals.append(number)

    def released(self, number: int, organizations: Sequence[str], *, is_lost: bool) -> None: ...


class OneShard:
    """Runs until it is drained; a bad one refuses."""

    def __init__(self, number: int, factory: Shards) -> None:
        self.number, self.organizations, self._factory = number, list[Any](), factory
        self._drained = anyio.Event()

    def drain(self) -> None:
        self._drained.set()

    async def run(self, *, until_caught_up: bool, failures_max: int | None) -> None:
        await anyio.sleep(1.0 + self.number)
        self._factory.began.append(self.number)
        if self.number in self._factory.bad:
            raise StartRefused(f"shard {self.number}: put the state back")
        if not until_caught_up:
            await self._drained.wait()

    async def aclose(self) -> None: ...


@dataclass
class Shards:
    """Three shards, some bad."""

    bad: set[int]
    began: list[int] = field(default_factory=list)

    def organizations_by_shard(self) -> dict[int, list[str]]:
        return {number: [f"org-{number}"] for number in range(3)}

    def shard(self, number: int) -> OneShard:
        return OneShard(number, self)


def keeper_of(shards: Shards, told: Told, *, once: bool = False) -> ShardKeeper:
    """A keeper that owns all three."""
    keeper = ShardKeeper(cast(Any, shards), observer=cast(Any, told), once=once)
    keeper.own(range(3))
    return keeper


def test_the_others_go_on_and_it_is_tried_again() -> None:
    """Its remedy is said again every few minutes; once it is mended it runs, and a stop ends all at once."""
    shards, told = Shards({1}), Told()

    async def main() -> None:
        keeper = keeper_of(shards, told)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            await anyio.sleep(2.5 * REFUSED_RETRY_S)
            shards.bad.clear()
            await anyio.sleep(2 * REFUSED_RETRY_S)
            keeper.drain()
            tasks.cancel_scope.deadline = anyio.current_time() + 10.0
        assert not tasks.cancel_scope.cancelled_caught

    run(main)
    assert told.refusals == [1, 1, 1]
    assert shards.began == [0, 1, 2, 1, 1, 1]


def test_a_stop_does_not_wait_for_the_next_try() -> None:
    """Nor does a shard that another worker has by now."""
    for ends in (lambda keeper: keeper.drain(), lambda keeper: (keeper.own([0, 2]), keeper.drain())):
        shards, told = Shards({1}), Told()

        async def main(shards: Shards = shards, told: Told = told, ends: Any = ends) -> None:
            keeper = keeper_of(shards, told)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keeper.run)
                await anyio.sleep(30.0)
                ends(keeper)
                tasks.cancel_scope.deadline = anyio.current_time() + 10.0
            assert not tasks.cancel_scope.cancelled_caught

        run(main)
        assert told.refusals == [1]


def test_it_ends_when_nothing_else_is_left() -> None:
    """All shards of ours wait for an operator: the error is theirs, and the process ends with it."""
    shards, told = Shards({0, 1, 2}), Told()

    async def main() -> None:
        with anyio.fail_after(REFUSED_RETRY_S), pytest.raises(ExceptionGroup) as group:
            await keeper_of(shards, told).run()
        assert group.group_contains(StartRefused, match="put the state back")

    run(main)
    assert told.refusals == [0, 1, 2]


def test_once_collects_the_others_and_ends_with_the_error() -> None:
    """A single run takes what it can, and says at the end what it could not."""
    shards, told = Shards({0}), Told()

    async def main() -> None:
        with anyio.fail_after(60.0), pytest.raises(StartRefused, match="shard 0"):
            await keeper_of(shards, told, once=True).run()

    run(main)
    assert shards.began == [0, 1, 2]
