"""Organizations come, go and change while their shard runs, in virtual time: the others are not disturbed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import pytest

from collector.core.identity import Identity, IdentityForm
from collector.core.progress import ProgressSettings
from collector.organization import Organization, OrganizationSettings
from collector.shard import Shard
from tests.core.pages import EPOCH, make_collector
from tests.organization.fakes import FakeApi, FakeKafka, FakeSink
from tests.organization.world import LOOKBACK_S, OVERLAP_S, Diary, VirtualClock, make_sessions, run

BOTH = ("here", "other")
AID = {"here": "101", "other": "102", "later": "103"}
ENDS_S = 1_500.0
"""The last session; everything must be there some polls after."""


class Leavers(Diary):
    """A diary that notes who was removed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def removed(self, shard: int, organization: str) -> None:
        self.names.append(organization)


@dataclass
class Neighbours:
    """One shard, and an API for each organization on it."""

    kafka: FakeKafka = field(default_factory=FakeKafka)
    diary: Leavers = field(default_factory=lambda: Leavers())
    apis: dict[str, FakeApi] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, (name, aid) in enumerate(AID.items()):
            self.apis[name] = FakeApi([aid], make_sessions([aid], 400, ENDS_S, seed=number))

    def organization(self, name: str, quota_share: float = 0.8, form: str = "") -> Organization:
        """A new one, of the same API whenever it is asked for."""

        async def fingerprint() -> str:
            return ""

        progress = ProgressSettings(LOOKBACK_S, OVERLAP_S, 86_400)
        return Organization(
            OrganizationSettings(
                name, None, 4, 30.0, quota_share, progress, identity=IdentityForm(Identity.SESSION, form)
            ),
            source=self.apis[name],
            collector=make_collector(),
            fingerprint=fingerprint,
            clock=VirtualClock(),
            rng=random.Random(1),
            observer=self.diary,
        )

    def shard(self, *names: str) -> Shard:
        """The shard with these organizations on it."""
        return Shard(
            0,
            [self.organization(name) for name in names],
            open_sink=lambda: FakeSink(self.kafka),
            rng=random.Random(2),
            monotonic=VirtualClock().monotonic,
            observer=self.diary,
        )

    def assert_each_once(self, *names: str) -> None:
        """Nothing of these organizations is lost, nothing is there twice."""
        events = self.kafka.events()
        wanted = {s.identifier for name in names for s in self.apis[name].sessions if s.committed < EPOCH + ENDS_S}
        assert not wanted - set(events)
        assert not [identifier for identifier, count in events.items() if count > 1]


def play(world: Neighbours, names: Sequence[str], *steps: tuple[float, Callable[[Shard], None]]) -> None:
    """Run a shard with these organizations, do things to it at their times, drain it at the end."""

    async def main() -> None:
        shard = world.shard(*names)

        async def act() -> None:
            for at, step in steps:
                await anyio.sleep_until(at)
                step(shard)
            await anyio.sleep_until(ENDS_S + 2 * OVERLAP_S)
            shard.drain()

        with anyio.fail_after(ENDS_S + 4 * OVERLAP_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(act)
                await shard.run()

    run(main)


def test_an_added_one_is_collected_and_nobody_restores() -> None:
    """One that the state topic has never heard of starts beside the others."""
    world = Neighbours()
    play(world, ["here"], (700.0, lambda shard: shard.put(world.organization("later"))))
    assert world.kafka.opened == 1
    world.assert_each_once("here", "later")


@pytest.mark.parametrize("at_s", [1.0, 30.05, 30.2, 600.3])
def test_a_changed_one_goes_on_where_it_was(at_s: float) -> None:
    """Whatever it has in hand: its successor knows what was published, and nobody restores."""
    world = Neighbours()
    changes = [(at_s + 0.1 * n, lambda shard: shard.put(world.organization("here", 0.7))) for n in range(5)]
    play(world, BOTH, *changes)
    assert world.kafka.opened == 1
    assert world.diary.names == []
    world.assert_each_once("here", "other")


def test_one_that_remembers_in_another_form_is_restored() -> None:
    """As with another version of the API: what the former one remembers would be misread."""
    world = Neighbours()
    play(world, BOTH, (500.0, lambda shard: shard.put(world.organization("here", form="v6 xml"))))
    assert world.kafka.opened == 2
    world.assert_each_once("here", "other")


def test_a_removed_one_ends_and_the_others_go_on() -> None:
    """It asks nothing more, and it is told that it has ended."""
    world = Neighbours()
    asked: list[int] = []
    play(
        world,
        BOTH,
        (500.0, lambda shard: shard.remove("here")),
        (510.0, lambda _: asked.append(len(world.apis["here"].asked))),
    )
    assert world.diary.names == ["here"]
    assert asked == [len(world.apis["here"].asked)]
    assert world.kafka.opened == 1
    world.assert_each_once("other")


@pytest.mark.parametrize("after_s", [0.0, 0.01, 300.0])
def test_one_that_comes_back_knows_what_was_published(after_s: float) -> None:
    """Also when it has not quite ended yet; if it has, the shard restores."""
    world = Neighbours()
    play(
        world,
        BOTH,
        (500.0, lambda shard: shard.remove("here")),
        (500.0 + after_s, lambda shard: shard.put(world.organization("here"))),
    )
    assert world.kafka.opened <= 2
    world.assert_each_once("here", "other")


def test_one_that_another_worker_collected_is_restored() -> None:
    """The state topic knows more of it than this process does: the restore decides, not an empty memory."""
    world = Neighbours()

    async def main() -> None:
        first, second = world.shard(*BOTH), world.shard("other")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            await anyio.sleep(400.0)
            first.drain()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second.run)
            await anyio.sleep(100.0)
            second.put(world.organization("here"))
            await anyio.sleep(ENDS_S)
            second.drain()

    run(main)
    assert world.kafka.opened == 3
    world.assert_each_once("here", "other")


@pytest.mark.parametrize("seed", range(6))
def test_changes_and_failures_together(seed: int) -> None:
    """Publications that fail while organizations come, go and change: still everything once."""
    world = Neighbours(kafka=FakeKafka(seed, failure_share=0.05))
    rng = random.Random(seed)
    steps: list[tuple[float, Callable[[Shard], None]]] = []
    for number in range(40):
        at = 20.0 + 20.0 * number + rng.random()
        match rng.choice(["change", "remove", "put"]):
            case "change":
                steps.append((at, lambda shard: shard.put(world.organization("other", 0.7))))
            case "remove":
                steps.append((at, lambda shard: shard.remove("here")))
            case "put":
                steps.append((at, lambda shard: shard.put(world.organization("here"))))
    steps.append((900.0, lambda shard: shard.put(world.organization("here"))))
    play(world, BOTH, *steps)
    world.assert_each_once("here", "other")
