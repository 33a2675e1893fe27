"""A record that Kafka refuses stops its account group, and nobody else; when it is taken, nothing is missing."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from collector.core.isolation import ALONE_S, Isolation
from collector.core.model import MonoS, Owner, Record
from tests.organization.fakes import FakeApi, FakeKafka
from tests.organization.world import OVERLAP_S, World, make_sessions, run

AIDS = [str(aid) for aid in range(11, 19)]
BAD = "11"


def of(*aids: str) -> list[Owner]:
    """Account groups of one organization."""
    return [Owner("example", aid) for aid in aids]


def refuses_some_of(*aids: str) -> FakeKafka:
    """A Kafka that refuses a third of the sessions of these account groups."""
    kafka = FakeKafka()

    def refuses(record: Record) -> bool:
        key = record.key.decode()
        return key.partition(":")[0].lstrip("0") in aids and key[-1] in "036"

    kafka.refuses = refuses
    return kafka


@pytest.mark.parametrize("latency_s", [0.0, 0.1], ids=["together", "apart"])
def test_only_the_account_group_whose_record_is_refused_waits(latency_s: float) -> None:
    """The others are complete and walked as often as ever, each once; the shard starts over a few times only."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 800, 300.0)), refuses_some_of(BAD), concurrency=8)
    world.api.latency_s = lambda: latency_s

    async def main() -> None:
        await world.collect_for(600.0 + OVERLAP_S)

    run(main)
    assert {session.aid for session in world.missing(600.0)} == {BAD}
    assert max(world.kafka.events().values()) == 1
    walks = Counter(aid for _, aid in world.diary.finished)
    assert min(walks[aid] for aid in AIDS if aid != BAD) >= 20
    assert world.diary.parked_aids == [BAD]
    # Found in two, and then once or twice a try: after 1, 2, 4, 8, 10 minutes.
    assert 2 <= world.kafka.refusals <= 12


def test_what_was_refused_is_complete_once_it_is_taken() -> None:
    """The topic's settings were corrected: the page comes again, within ten minutes, and nothing of it is missing."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 400, 300.0)), refuses_some_of(BAD))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 1_500.0)
            await anyio.sleep(400.0)
            assert world.missing(100.0)
            world.kafka.refuses = lambda record: False

    run(main)
    world.assert_each_once(1_400.0)


def test_several_account_groups_are_found_one_after_the_other() -> None:
    """Three account groups with refused records: all three wait, all others are complete."""
    bad = AIDS[:3]
    world = World(FakeApi(AIDS, make_sessions(AIDS, 800, 0.0)), refuses_some_of(*bad), concurrency=8)

    async def main() -> None:
        await world.collect_for(600.0)

    run(main)
    assert {session.aid for session in world.missing(300.0)} == set(bad)
    assert sorted(world.diary.parked_aids) == bad


def test_once_ends_although_kafka_refuses_an_account_group() -> None:
    """``until_caught_up``: the account group is given up and named with Kafka's reason; the others are complete."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 400, 0.0)), refuses_some_of(BAD))

    async def main() -> None:
        await anyio.sleep(OVERLAP_S)
        await world.catch_up()

    run(main)
    assert {session.aid for session in world.missing(OVERLAP_S)} == {BAD}
    assert world.organization.given_up == {BAD: "a batch was refused"}


def test_everybody_goes_alone_until_the_one_is_known() -> None:
    """After a refusal of several nobody shares, for a while; after the refusal of one only that one does not."""
    isolation = Isolation()
    one, two, three = of("1", "2", "3")
    assert isolation.may_share(one, MonoS(0.0))
    assert isolation.rejected([one, two], MonoS(10.0)) is None
    assert not any(isolation.may_share(owner, MonoS(10.0 + ALONE_S - 1)) for owner in (one, two, three, None))
    assert all(isolation.may_share(owner, MonoS(10.0 + ALONE_S)) for owner in (one, two, three))

    assert isolation.rejected([one, two], MonoS(2_000.0)) is None
    assert isolation.rejected([two], MonoS(2_001.0)) == two
    assert [isolation.may_share(owner, MonoS(2_001.0)) for owner in (one, two, three)] == [True, False, True]
    isolation.committed([one, three])
    assert not isolation.may_share(two, MonoS(1e9))
    isolation.committed([two])
    assert isolation.may_share(two, MonoS(2_001.0))


def test_a_refusal_that_belongs_to_nobody_parks_nobody() -> None:
    """A joined publication, or one without an account group, names no one."""
    isolation = Isolation()
    assert isolation.rejected([None], MonoS(0.0)) is None
    assert not isolation.may_share(None, MonoS(1.0))
