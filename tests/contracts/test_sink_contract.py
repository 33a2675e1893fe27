"""The contract of the `Sink` port, held to the fake of the simulation and to the real sink on a real broker alike."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from collector.core.model import Publication, StateChange
from collector.errors import PublishFailed, RecordsRejected
from collector.kafka.topics import ensure_topics
from collector.ports import Sink
from tests.contracts.brokers import RECORD_BYTES_REFUSED, Broker, FakeBroker, RealBroker
from tests.kafka.publications import dead_letter, event, publication, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.fixture(params=["fake", pytest.param("kafka", marks=pytest.mark.kafka)])
async def broker(request: pytest.FixtureRequest) -> Broker:
    """One after the other: the fake, and the real one."""
    if request.param == "fake":
        return FakeBroker()
    cluster, prefix = request.getfixturevalue("kafka_cluster"), request.getfixturevalue("kafka_topic_prefix")
    settings = settings_for(cluster.bootstrap_servers, prefix)
    return RealBroker(settings, await ensure_topics(settings))


@asynccontextmanager
async def owner(broker: Broker, shard: int = 0) -> AsyncIterator[tuple[Sink, dict[str, bytes]]]:
    """An open sink and the state it restored; closed at the end."""
    sink = broker.sink(shard)
    try:
        yield sink, await sink.open()
    finally:
        await sink.close()


async def test_what_was_published_is_readable(broker: Broker) -> None:
    """When publish returns, events, dead letters and state can be read; a first owner finds an empty state."""
    async with owner(broker) as (sink, state):
        assert state == {}
        assert not sink.worn_out
        await sink.publish(Publication([event("a"), dead_letter("b")], [StateChange("k", b"\x00v")]))
        assert await broker.events() == ["a"]
        assert await broker.dead_letters() == ["b"]
        assert await broker.state() == {"k": b"\x00v"}


async def test_a_restore_shows_exactly_what_was_committed(broker: Broker) -> None:
    """Set, changed, removed, by several owners: each finds what a dict would hold, and nothing of the sink's own."""
    rng, model = random.Random(7), dict[str, bytes]()
    for _ in range(3):
        async with owner(broker) as (sink, state):
            assert state == model
            for _ in range(4):
                values = [(f"k{rng.randrange(8)}", None if rng.random() < 0.4 else rng.randbytes(9)) for _ in range(6)]
                await sink.publish(Publication([], [StateChange(key, value) for key, value in values]))
                for key, value in values:
                    model.pop(key, None)
                    if value is not None:
                        model[key] = value
    async with owner(broker) as (_, state):
        assert state == model
    assert await broker.state() == model


async def test_a_tombstone_and_a_value_in_one_publication_keep_their_order(broker: Broker) -> None:
    """The last change of a key counts, whichever it is."""
    async with owner(broker) as (sink, _):
        changes = [StateChange("a", b"1"), StateChange("a", None), StateChange("b", None), StateChange("b", b"2")]
        await sink.publish(Publication([], changes))
    async with owner(broker) as (_, state):
        assert state == {"b": b"2"}


async def test_a_newer_owner_fences_the_older(broker: Broker) -> None:
    """Once another sink of the shard is open, the old one cannot publish, now or later; the new one can."""
    async with owner(broker) as (old, _):
        await old.publish(publication(["a"], {"n": b"1"}))
        async with owner(broker) as (new, state):
            assert state == {"n": b"1"}
            for _ in range(2):
                with pytest.raises(PublishFailed):
                    await old.publish(publication(["lost"], {"n": b"wrong"}))
            await new.publish(publication(["b"], {"n": b"2"}))
    assert await broker.events() == ["a", "b"]
    assert await broker.state() == {"n": b"2"}


async def test_fenced_between_sent_and_decided(broker: Broker) -> None:
    """An owner that loses the shard when all is sent commits nothing, and its successor does not see it."""
    async with owner(broker) as (old, _):
        successor = broker.sink()

        async def take_over() -> None:
            assert await successor.open() == {}

        broker.before_commit(old, take_over)
        with pytest.raises(PublishFailed):
            await old.publish(publication(["lost"], {"n": b"wrong"}))
        await successor.publish(publication(["a"], {"n": b"1"}))
        await successor.close()
    assert await broker.events() == ["a"]


async def test_what_was_sent_and_never_decided_is_gone(broker: Broker) -> None:
    """Cancelled when all is sent: the sink is unusable, and the next owner neither sees it nor waits for it."""
    async with owner(broker) as (sink, _):
        await sink.publish(publication(["a"], {"n": b"1"}))
        with anyio.CancelScope() as publishing:

            async def cancel() -> None:
                publishing.cancel()
                await anyio.sleep_forever()

            broker.before_commit(sink, cancel)
            await sink.publish(publication(["lost"], {"n": b"wrong"}))
        assert publishing.cancelled_caught
        with pytest.raises(PublishFailed):
            await sink.publish(publication(["lost-too"]))
    async with owner(broker) as (sink, state):
        assert state == {"n": b"1"}
        await sink.publish(publication(["b"], {"n": b"2"}))
    assert await broker.events() == ["a", "b"]


async def test_a_lost_answer_is_an_unknown_outcome(broker: Broker) -> None:
    """Committed, and told as a failure: the sink is unusable, the next owner's state tells the truth."""
    async with owner(broker) as (sink, _):
        broker.lose_answer(sink)
        with pytest.raises(PublishFailed):
            await sink.publish(publication(["a"], {"n": b"1"}))
        with pytest.raises(PublishFailed):
            await sink.publish(publication(["b"], {"n": b"2"}))
    async with owner(broker) as (_, state):
        assert state == {"n": b"1"}
    assert await broker.events() == ["a"]


async def test_a_refused_record_leaves_nothing_of_its_publication(broker: Broker) -> None:
    """The broker takes one record not: it is named by its kind of error, and nothing else of it is committed."""
    await broker.refuse_large_events()
    async with owner(broker) as (sink, _):
        poison = event("poison", random.Random(1).randbytes(2 * RECORD_BYTES_REFUSED))
        with pytest.raises(RecordsRejected):
            await sink.publish(Publication([dead_letter("good"), poison], [StateChange("n", b"1")]))
        with pytest.raises(PublishFailed):
            await sink.publish(publication(["next"]))
    async with owner(broker) as (sink, state):
        assert state == {}
        await sink.publish(Publication([dead_letter("next")], []))
    assert await broker.events() == []
    assert await broker.dead_letters() == ["next"]


async def test_of_owners_that_open_at_once_one_at_most_publishes(broker: Broker) -> None:
    """Whatever the order in which they took over: the last one owns the shard, and the others find out."""
    sinks = [broker.sink() for _ in range(4)]
    opened: list[Sink] = []

    async def open_(sink: Sink) -> None:
        try:
            await sink.open()
        except PublishFailed:
            return
        opened.append(sink)

    async with anyio.create_task_group() as tasks:
        for sink in sinks:
            tasks.start_soon(open_, sink)
    published = 0
    for sink in opened:
        try:
            await sink.publish(publication(["a"]))
        except PublishFailed:
            continue
        published += 1
    for sink in sinks:
        await sink.close()
    assert published <= 1
    assert await broker.events() == ["a"] * published
    async with owner(broker) as (sink, _):
        await sink.publish(publication(["b"]))


async def test_shards_share_nothing(broker: Broker) -> None:
    """Two shards publish at once: each restores its own state, and neither fences the other."""
    async with (
        owner(broker, 0) as (first, _),
        owner(broker, 1) as (second, _),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(first.publish, publication(["a"], {"k": b"0"}))
        tasks.start_soon(second.publish, publication(["b"], {"k": b"1"}))
    async with owner(broker, 0) as (_, state):
        assert state == {"k": b"0"}
    assert await broker.events() == ["a", "b"]


async def test_nothing_to_publish_is_no_error(broker: Broker) -> None:
    """An empty publication leaves the sink usable."""
    async with owner(broker) as (sink, _):
        await sink.publish(publication())
        await sink.publish(publication(["a"]))
    assert await broker.events() == ["a"]


async def test_only_an_open_sink_publishes_and_close_never_raises(broker: Broker) -> None:
    """Not opened, closed, closed twice, closed after a failure: publishing fails, closing does not."""
    sink = broker.sink()
    with pytest.raises(PublishFailed):
        await sink.publish(publication(["a"]))
    await sink.close()
    async with owner(broker) as (sink, _):
        broker.lose_answer(sink)
        with pytest.raises(PublishFailed):
            await sink.publish(publication(["b"]))
        await sink.close()
        await sink.close()
        with pytest.raises(PublishFailed):
            await sink.publish(publication(["c"]))
    assert await broker.events() == ["b"]


async def test_reading_again_shows_all_that_was_published(broker: Broker) -> None:
    """While the sink is in use: what was just committed is there, what was removed is not, and the sink goes on."""
    async with owner(broker) as (sink, state):
        assert state == {}
        for number in range(3):
            await sink.publish(publication([str(number)], {f"k{number}": b"1", "last": str(number).encode()}))
        assert await sink.read_again() == {"k0": b"1", "k1": b"1", "k2": b"1", "last": b"2"}
        await sink.publish(publication(["3"], {"k0": None, "last": b"3"}))
        assert await sink.read_again() == {"k1": b"1", "k2": b"1", "last": b"3"}
        await sink.publish(publication(["4"], {"last": b"4"}))
    assert await broker.state() == {"k1": b"1", "k2": b"1", "last": b"4"}


async def test_who_was_fenced_cannot_read_again(broker: Broker) -> None:
    """A newer owner has the shard: the former one learns it, and does not take an old state for its own."""
    async with owner(broker) as (former, _), owner(broker) as (newer, _):
        await newer.publish(publication(["1"], {"k": b"1"}))
        with pytest.raises(PublishFailed):
            await former.read_again()
        with pytest.raises(PublishFailed):
            await former.publish(publication(["2"], {"k": b"2"}))
        assert await newer.read_again() == {"k": b"1"}
