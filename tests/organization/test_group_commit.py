"""`GroupCommit` and `Shard`: pages that wait share a transaction, and a failure is nobody's success."""

from __future__ import annotations

import anyio
import pytest

from collector.core.model import Destination, Owner, Publication, Record, StateChange
from collector.errors import PublishFailed
from collector.group_commit import TRANSACTION_RECORDS_MAX, GroupCommit
from tests.organization.fakes import FakeApi, FakeKafka
from tests.organization.world import World, make_sessions, run
from tests.simulation.cluster import FakeSink


def publication(number: int, records: int = 1) -> Publication:
    """Records and one change of the state."""
    record = Record(Destination.EVENTS, str(number).encode(), b"{}", [], 0)
    return Publication([record] * records, [StateChange(f"key/{number}", b"1")])


def publish_all(sizes: list[int], kafka: FakeKafka) -> tuple[list[int], list[int]]:
    """Hand all in at once; returns which were told to be committed, and publications a transaction."""
    done: list[int] = []
    groups: list[int] = []

    async def main() -> None:
        sink = FakeSink(kafka)
        await sink.open()
        commit = GroupCommit(sink, lambda records, owners: groups.append(len(owners)))

        async def hand_in(number: int, size: int) -> None:
            await commit.publish(publication(number, size))
            assert f"key/{number}" in kafka.state, "told before it was durable"
            done.append(number)

        async with anyio.create_task_group() as committing:
            committing.start_soon(commit.run)
            async with anyio.create_task_group() as walks:
                for number, size in enumerate(sizes):
                    walks.start_soon(hand_in, number, size)
            commit.close()

    run(main)
    return sorted(done), groups


def test_what_waits_shares_a_transaction() -> None:
    """Forty small publications: a transaction or two, and each is told of its own commit."""
    kafka = FakeKafka()
    done, groups = publish_all([1] * 40, kafka)
    assert done == list(range(40))
    assert kafka.transactions <= 2
    assert sum(groups) == 40


def test_a_transaction_whose_outcome_is_unknown_is_never_tried_again() -> None:
    """It may have been committed: whoever waits is told nothing, and the failure is the owner's to deal with."""
    asked: list[int] = []

    class Broken(FakeSink):
        publishing = False

        async def publish(self, publication: Publication) -> None:
            asked.append(len(publication.records))
            if len(asked) == 1:
                raise PublishFailed("no answer to the commit")

    async def main() -> None:
        sink = Broken(FakeKafka())
        await sink.open()
        commit = GroupCommit(sink, lambda records, owners: None)
        told = False

        async def hand_in() -> None:
            nonlocal told
            await commit.publish(publication(1))
            told = True

        async with anyio.create_task_group() as walks:
            walks.start_soon(hand_in)
            await anyio.sleep(1.0)
            with pytest.raises(PublishFailed), anyio.fail_after(60.0):
                await commit.run()
            await anyio.sleep(1.0)
            assert not told
            walks.cancel_scope.cancel()

    run(main)
    assert asked == [1]


def test_the_state_is_read_behind_all_that_was_handed_in() -> None:
    """Also what nobody waits for any more: an organization that failed must know of the pages it had in hand."""
    states: list[dict[str, bytes]] = []

    async def main() -> None:
        sink = FakeSink(FakeKafka())
        await sink.open()
        commit = GroupCommit(sink, lambda records, owners: None)

        async def read() -> None:
            states.append(dict(await commit.read_again()))
            commit.close()

        async with anyio.create_task_group() as walks:
            for number in range(3):
                walks.start_soon(commit.publish, publication(number))
            await anyio.sleep(1.0)
            walks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.sleep(1.0)
            tasks.start_soon(commit.run)

    run(main)
    assert states == [{f"key/{number}": b"1" for number in range(3)}]


def test_a_page_is_not_held_while_its_commit_is_under_way() -> None:
    """Whoever handed it in has none of its records any more; how many there were is told after the commit."""
    pages, counted, held = [publication(number, 3) for number in range(2)], list[int](), list[int]()

    class Looking(FakeSink):
        async def publish(self, publication: Publication) -> None:
            held.extend(len(page.records) for page in pages)
            await super().publish(publication)

    async def main() -> None:
        sink = Looking(FakeKafka())
        await sink.open()
        commit = GroupCommit(sink, lambda records, owners: counted.append(records))
        async with anyio.create_task_group() as committing:
            async with anyio.create_task_group() as walks:
                for page in pages:
                    walks.start_soon(commit.publish, page)
                await anyio.sleep(1.0)
                committing.start_soon(commit.run)
            commit.close()

    run(main)
    assert held == [0, 0]
    assert counted == [6]


def test_a_transaction_has_a_bound() -> None:
    """Publications are not joined beyond the bound; one that is larger goes alone."""
    kafka = FakeKafka()
    third = TRANSACTION_RECORDS_MAX // 3
    done, groups = publish_all([third] * 6 + [TRANSACTION_RECORDS_MAX * 2], kafka)
    assert done == list(range(7))
    assert max(groups) <= 3
    assert len(kafka.records) == third * 6 + TRANSACTION_RECORDS_MAX * 2


def test_who_must_go_alone_goes_alone() -> None:
    """What may not share a transaction has one of its own, in its turn; the others still share."""
    joined: list[list[str]] = []

    async def main() -> None:
        sink = FakeSink(FakeKafka())
        await sink.open()
        commit = GroupCommit(
            sink,
            lambda records, owners: joined.append([owner.aid for owner in owners if owner is not None]),
            may_share=lambda owner: owner is not None and owner.aid != "3",
        )
        async with anyio.create_task_group() as committing:
            async with anyio.create_task_group() as walks:
                for number in range(1, 6):
                    walks.start_soon(commit.publish, publication(number)._replace(owner=Owner("o", str(number))))
                committing.start_soon(commit.run)
            commit.close()

    run(main)
    handed_in = [aid for group in joined for aid in group]
    assert sorted(handed_in) == ["1", "2", "3", "4", "5"]
    assert ["3"] in joined
    assert max(map(len, joined)) > 1, "nothing shared: nothing was tested"


@pytest.mark.parametrize("outcome", ["before", "after"])
def test_a_failed_transaction_is_told_to_nobody(outcome: str) -> None:
    """Unknown outcome: no publication of the group is reported as committed, committed or not."""
    kafka = FakeKafka()
    kafka.fails = lambda: outcome  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as failure:
        publish_all([1, 1, 1], kafka)
    assert failure.group_contains(PublishFailed, depth=None)


def test_a_shard_gives_up_after_failures_in_a_row() -> None:
    """With a bound on failures, for commands that should end: the last failure is raised."""
    world = World(FakeApi(["1"], make_sessions(["1"], 10, 0.0)), FakeKafka(failure_share=1.0))

    async def main() -> None:
        with pytest.raises(PublishFailed):
            await world.shard().run(failures_max=3)

    run(main)
    assert world.kafka.opened == 3
    assert len(world.diary.losses) == 2


def test_a_drain_interrupts_the_backoff() -> None:
    """Kafka is away and a stop comes: it does not wait for the next try."""
    world = World(FakeApi(["1"], make_sessions(["1"], 10, 0.0)), FakeKafka(failure_share=1.0))

    async def main() -> None:
        await world.collect_for(100.0)

    run(main)
    assert 4 <= world.kafka.opened <= 12
