"""Two organizations on one shard, in virtual time: what is wrong with one of them is not felt by the other."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import anyio
import pytest
import trio

from collector.core.model import Page, PageRequest, Publication
from collector.core.restarts import REST_MAX_S
from collector.core.watchdog import GRACE_S, LOOK_EVERY_S
from collector.errors import ApiRejected, OrganizationStalled, PageMalformed, Rejection, Stalled, StartRefused
from collector.organization.gate import OrganizationStopped
from collector.organization.walker import PAGE_ROWS_MAX
from collector.ports import Admit, at_once
from tests.organization.fakes import FakeApi, FakeKafka
from tests.organization.test_changes import AID, BOTH, ENDS_S, Neighbours, play
from tests.organization.world import make_sessions, run
from tests.simulation.cluster import FakeSink

SEVERAL = ["201", "202", "203", "204"]
"""Account groups of an organization that has more than one page in hand."""


def breaks(world: Neighbours, name: str, what: Callable[[], Exception | None]) -> None:
    """The API of this organization raises what it is told, or answers."""
    fetch = world.apis[name].fetch

    async def broken(request: PageRequest, admit: Admit = at_once) -> Page:
        page = await fetch(request, admit)
        error = what()
        if error is not None:
            raise error
        return page

    world.apis[name].fetch = broken  # type: ignore[method-assign]


def between(begins_s: float, ends_s: float, error: Exception) -> Callable[[], Exception | None]:
    """This error in this time."""
    return lambda: error if begins_s <= trio.current_time() < ends_s else None


def test_a_page_of_too_many_rows_is_no_page() -> None:
    """It would be one decision and one transaction, for which everybody else waits: it is refused, and said why."""
    world = Neighbours()
    world.apis["here"] = FakeApi(["301"], make_sessions(["301"], PAGE_ROWS_MAX + 1, -1_000.0), page_rows=10**9)
    play(world, BOTH)
    assert any("rows on a page" in text for aid, text in world.diary.failures if aid == "301")
    assert world.kafka.opened == 1
    world.assert_each_once("other")


def hangs_at(world: Neighbours, name: str, begins_s: float) -> None:
    """The first request after this moment never ends, whatever its own deadline says."""
    fetch = world.apis[name].fetch
    hung: list[float] = []

    async def hanging(request: PageRequest, admit: Admit = at_once) -> Page:
        if trio.current_time() >= begins_s and not hung:
            hung.append(trio.current_time())
            await anyio.sleep_forever()
        return await fetch(request, admit)

    world.apis[name].fetch = hanging  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error",
    [
        ApiRejected(Rejection.UNAUTHORIZED, "401"),
        ApiRejected(Rejection.UNREACHABLE, "no whole answer within 30 s"),
        PageMalformed("no page"),
        RuntimeError("a defect"),
    ],
    ids=["wrong-token", "hanging", "malformed", "defect"],
)
def test_trouble_of_one_is_not_the_others(error: Exception) -> None:
    """The other one is walked as if it were alone, nobody restores, and in the end nothing is missing."""
    alone, world = Neighbours(), Neighbours()
    breaks(world, "here", between(300.0, 900.0, error))
    play(alone, ["other"])
    play(world, BOTH)
    assert world.kafka.opened == 1
    assert world.diary.losses == []
    world.assert_each_once("other")
    assert not [key for key, count in world.kafka.events().items() if count > 1]
    finished = [Counter(aid for _, aid in each.diary.finished)[AID["other"]] for each in (alone, world)]
    assert finished[1] >= finished[0] - 2


@pytest.mark.parametrize("seed", range(3))
def test_one_that_fails_again_and_again_loses_and_repeats_nothing(seed: int) -> None:
    """It fails while pages of it wait for their commit: what became of them is read, not guessed."""
    world, rng = Neighbours(), random.Random(seed)
    world.apis["here"] = FakeApi(SEVERAL, make_sessions(SEVERAL, 800, ENDS_S, seed=seed), page_rows=5)
    world.apis["here"].latency_s = lambda: rng.choice([0.0, 0.02, 0.05])
    breaks(
        world, "here", lambda: RuntimeError("a defect") if trio.current_time() < 1_000 and rng.random() < 0.1 else None
    )
    play(world, BOTH)
    assert len(world.diary.failed_alone) >= 5
    assert {name for name, _ in world.diary.failed_alone} == {"here"}
    assert world.kafka.opened == 1
    assert world.kafka.read_again >= 5
    world.assert_each_once("here", "other")


def test_failures_of_one_and_of_the_producer_together() -> None:
    """An organization that fails, on a shard whose publications fail with an unknown outcome: still everything once."""
    world, rng = Neighbours(kafka=FakeKafka(3, failure_share=0.05)), random.Random(3)
    breaks(
        world, "here", lambda: RuntimeError("a defect") if trio.current_time() < 1_000 and rng.random() < 0.1 else None
    )
    play(world, BOTH)
    assert world.kafka.opened > 1
    assert world.diary.failed_alone
    world.assert_each_once("here", "other")


def test_one_that_rests_ends_at_once_when_everything_does() -> None:
    """A stop does not wait for the pause before an organization starts over."""
    world, rests_long = Neighbours(), trio.Event()
    breaks(world, "here", between(0.0, 1e9, RuntimeError("a defect")))

    def failed(name: str, error: Exception, retry_s: float) -> None:
        if retry_s > 100.0:
            rests_long.set()

    world.diary.organization_failed = failed  # type: ignore[method-assign]

    async def main() -> None:
        shard = world.shard(*BOTH)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shard.run)
            await rests_long.wait()
            shard.drain()
            tasks.cancel_scope.deadline = trio.current_time() + 10.0
        assert not tasks.cancel_scope.cancelled_caught

    run(main)


def test_a_state_that_cannot_be_read_stops_one_organization() -> None:
    """It is said again every few minutes; when the state is put right, that organization goes on without a restart."""
    world = Neighbours()
    world.kafka.state[f"progress/here/{AID['here']}"] = b'{"version":99}'
    play(world, BOTH, (2 * REST_MAX_S, lambda _: world.kafka.state.pop(f"progress/here/{AID['here']}")))
    assert world.kafka.opened == 1
    assert len(world.diary.failed_alone) >= 2
    assert all(name == "here" and isinstance(error, StartRefused) for name, error in world.diary.failed_alone)
    world.assert_each_once("here", "other")


@pytest.mark.parametrize("wrong", ["token", "state"])
def test_once_collects_the_others_before_it_ends(wrong: str) -> None:
    """``until_caught_up``: one that cannot be collected is an error at the end, when the others are complete."""
    world = Neighbours()
    expected: type[Exception] = OrganizationStopped
    if wrong == "token":
        world.apis["here"].fault = lambda request: ApiRejected(Rejection.UNAUTHORIZED, "401")
    else:
        expected = StartRefused
        world.kafka.state[f"progress/here/{AID['here']}"] = b'{"version":99}'

    async def main() -> None:
        await anyio.sleep(ENDS_S + 300.0)
        with pytest.raises(expected, match="here"), anyio.fail_after(1_000.0):
            await world.shard(*BOTH).run(until_caught_up=True)

    run(main)
    assert not world.kafka.events().keys() & {session.identifier for session in world.apis["here"].sessions}
    world.assert_each_once("other")


def test_the_watchdog_starts_a_hanging_organization_over() -> None:
    """A request that never ends, beyond its own deadline: that organization alone starts over, and it is said where."""
    world = Neighbours()
    hangs_at(world, "here", 400.0)
    play(world, BOTH)
    assert world.kafka.opened == 1
    ((name, error),) = world.diary.failed_alone
    assert name == "here"
    assert isinstance(error, OrganizationStalled)
    assert AID["here"] in str(error)
    assert "page 1" in str(error)
    assert "40 s is the most" in str(error)
    world.assert_each_once("here", "other")


def test_what_waits_as_long_as_it_may_is_left_alone() -> None:
    """An API that takes its whole timeout, a quota that is used up, a closed gate: none of it is a stall."""
    world = Neighbours()
    world.apis["here"].latency_s = lambda: 29.0
    world.apis["other"].fault = lambda request: (
        ApiRejected(Rejection.UNAUTHORIZED, "401") if trio.current_time() < 600.0 else None
    )
    play(world, BOTH)
    assert world.diary.failed_alone == []
    assert world.kafka.opened == 1


@pytest.mark.parametrize("step", ["open", "publish", "read_again", "close"])
def test_the_watchdog_gives_up_a_sink_that_never_comes_back(step: str) -> None:
    """It ignores its own deadlines: the shard starts over with another one, and everything is there once."""
    world = Neighbours()
    sinks: list[FakeSink] = []

    class Hangs(FakeSink):
        async def open(self) -> dict[str, bytes]:
            await self._hang("open")
            return await super().open()

        async def publish(self, publication: Publication) -> None:
            await self._hang("publish")
            await super().publish(publication)

        async def read_again(self) -> dict[str, bytes]:
            await self._hang("read_again")
            return await super().read_again()

        async def close(self) -> None:
            await self._hang("close")
            await super().close()

        async def _hang(self, now: str) -> None:
            if self is sinks[0] and now == step and (now == "open" or trio.current_time() > 200.0):
                await anyio.sleep_forever()

    def open_sink() -> FakeSink:
        sinks.append(Hangs(world.kafka))
        return sinks[-1]

    def once_from(begins_s: float) -> Callable[[], bool]:
        left = [True]
        return lambda: trio.current_time() > begins_s and bool(left) and left.pop()

    fails, is_lost = once_from(300.0), once_from(400.0)
    if step == "read_again":
        breaks(world, "here", lambda: RuntimeError("a defect") if fails() else None)
    if step == "close":
        world.kafka.fails = lambda: "before" if is_lost() else None  # type: ignore[method-assign]

    async def main() -> None:
        shard = world.shard(*BOTH)
        shard._open_sink = open_sink
        with anyio.fail_after(ENDS_S + 3_000.0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(shard.run)
                await anyio.sleep(ENDS_S + 1_000.0)
                shard.drain()

    run(main)
    assert len(sinks) == 2
    stalls = [error.part for error in world.diary.losses if isinstance(error, Stalled)]
    expected = {"open": ["restore"], "read_again": ["restore"], "publish": ["commit"]}
    assert stalls == expected.get(step, [])
    world.assert_each_once("here", "other")


def test_a_stall_is_found_soon_after_its_limit() -> None:
    """Its own limit, the grace, and two looks at most."""
    world = Neighbours()
    hangs_at(world, "here", 400.0)
    told: list[float] = []
    world.diary.organization_failed = lambda *_: told.append(trio.current_time())  # type: ignore[method-assign]
    play(world, BOTH)
    (at,) = told
    assert at <= 400.0 + 31.0 + 30.0 + GRACE_S + 2 * LOOK_EVERY_S
