"""The transactional sink on a real broker: what becomes readable, what does not, and who may write."""

from __future__ import annotations

import asyncio
import random

import anyio
import pytest

from collector.core.model import Publication, StateChange
from collector.errors import Fenced, PublishFailed, StartRefused
from collector.kafka.batches import partition_of
from collector.kafka.errors import RecordsRejected, RecordTooLarge
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import ensure_topics
from tests.kafka import librdkafka
from tests.kafka.owners import before_commit, owner
from tests.kafka.publications import EVENT_TIME_MS, dead_letter, event, publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(60)]


async def test_published_records_and_state_are_readable(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """After publish another library reads every record as it was given, in the partition Java would choose."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings, shard=1) as (sink, state):
        assert state == {}
        await sink.publish(
            Publication([event("a", b'{"a":1}'), dead_letter("b")], [StateChange("seen/1", b"\x00\x01")])
        )
        events = await librdkafka.committed(settings.bootstrap_servers, settings.events_topic)
        letters = await librdkafka.committed(settings.bootstrap_servers, settings.dead_letters_topic)
        state = await librdkafka.state(settings.bootstrap_servers, settings.state_topic, 1)

    assert [record[2:] for record in events] == [(b"a", b'{"a":1}', [("ce_id", b"a"), ("n", b"1")], EVENT_TIME_MS)]
    assert [record[2:4] for record in letters] == [(b"b", b"broken")]
    assert events[0].partition == partition_of(b"a", 3)
    assert letters[0].partition == partition_of(b"b", 2)
    assert state == {"seen/1": b"\x00\x01"}


async def test_restore_equals_model(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Whatever was set, changed and removed by several owners, the next owner reads what a dict would hold."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    layout = await ensure_topics(settings)
    rng = random.Random(4)
    model: dict[str, bytes] = {}
    for _ in range(4):
        async with owner(settings, layout=layout) as (sink, state):
            assert state == model
            for _ in range(6):
                changes = [
                    StateChange(f"k{rng.randrange(12)}", None if rng.random() < 0.4 else rng.randbytes(20))
                    for _ in range(8)
                ]
                await sink.publish(Publication([], changes))
                for key, value in changes:
                    model.pop(key, None)
                    if value is not None:
                        model[key] = value
    async with owner(settings, layout=layout) as (_, state):
        assert state == model
    assert await librdkafka.state(settings.bootstrap_servers, settings.state_topic, 0) == model


async def test_shards_do_not_share_state(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Two shards publish at the same time; each restores its own keys only, and neither fences the other."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with (
        owner(settings, shard=0) as (first, _),
        owner(settings, shard=1) as (second, _),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(first.publish, publication(["a"], {"k": b"0"}))
        tasks.start_soon(second.publish, publication(["b"], {"k": b"1"}))
    async with owner(settings, shard=0) as (_, state):
        assert state == {"k": b"0"}
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b"]


async def test_publication_larger_than_a_batch(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Records for one partition that fill many batches are one transaction, complete and in order."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, batch_bytes=16 * 1024)
    values = [random.Random(number).randbytes(1000) for number in range(100)]
    async with owner(settings) as (sink, _):
        await sink.publish(Publication([event("same", value) for value in values], [StateChange("k", b"v")]))
    events = await librdkafka.committed(settings.bootstrap_servers, settings.events_topic)
    assert [record.value for record in events] == values


async def test_second_owner_fences_the_first(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """After another sink of the shard was opened, the old one's publish fails and leaves nothing readable."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (old, _):
        await old.publish(publication(["a"], {"n": b"1"}))
        async with owner(settings) as (new, state):
            assert state == {"n": b"1"}
            with pytest.raises(Fenced):
                await old.publish(publication(["lost"], {"n": b"wrong"}))
            with pytest.raises(PublishFailed):
                await old.publish(publication(["lost-too"]))
            await new.publish(publication(["b"], {"n": b"2"}))
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b"]
    assert await librdkafka.state(settings.bootstrap_servers, settings.state_topic, 0) == {"n": b"2"}


async def test_fenced_between_send_and_commit(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """An owner that is fenced when its records are already at the broker commits nothing."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (old, _):
        successor = TransactionalSink(settings, await ensure_topics(settings), 0)

        async def take_over() -> None:
            assert await successor.open() == {}

        before_commit(old, take_over)
        with pytest.raises(Fenced):
            await old.publish(publication(["lost"], {"n": b"wrong"}))
        await successor.publish(publication(["a"], {"n": b"1"}))
        await successor.close()
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a"]


async def test_workers_that_all_believe_they_own_the_shard(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Any number of workers that take a shard from each other publish each number of a counter exactly once."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    layout = await ensure_topics(settings)
    target, failures = 60, 0

    async def worker(number: int) -> None:
        nonlocal failures
        rng = random.Random(number)
        reached = 0
        while reached < target:
            try:
                async with owner(settings, layout=layout) as (sink, state):
                    reached = int(state.get("reached", b"0"))
                    for _ in range(rng.randrange(1, 8)):
                        if reached < target:
                            await sink.publish(publication([f"{reached:03}"], {"reached": b"%d" % (reached + 1)}))
                            reached += 1
            except PublishFailed:
                failures += 1
                await anyio.sleep(rng.random() * 0.05)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(worker, number)
    assert failures > 0, "the workers never met: nothing was tested"
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == [
        f"{number:03}" for number in range(target)
    ]


async def test_cancelled_commit_is_an_unknown_outcome(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A publish that is cancelled while it commits makes the sink unusable; the next owner's state tells the truth."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        publishing: asyncio.Task[None] = asyncio.ensure_future(sink.publish(publication(["a"], {"n": b"1"})))

        def cancel() -> None:
            publishing.cancel()

        before_commit(sink, cancel)
        with pytest.raises(asyncio.CancelledError):
            await publishing
        # aiokafka shields its commit: it happens all the same, and the producer would then take another transaction.
        for _ in range(100):
            if await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a"]:
                break
        with pytest.raises(PublishFailed, match="outcome is unknown"):
            await sink.publish(publication(["b"]))
    async with owner(settings) as (_, state):
        pass
    assert state == {"n": b"1"}
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a"]


async def test_cancelled_anywhere_is_all_or_nothing(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Wherever a publish is cancelled, its events are readable exactly if the next owner's state says so."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    layout = await ensure_topics(settings)
    published: list[str] = []
    for turns in (1, 2, 5, 10, 20, 40, 60, 80, 120, 200):
        key = f"{turns:03}"
        async with owner(settings, layout=layout) as (sink, before):
            publishing = asyncio.ensure_future(sink.publish(publication([key], {"last": key.encode()})))
            for _ in range(turns):  # turns of the event loop: each is another place inside the transaction
                await asyncio.sleep(0)
            publishing.cancel()
            await asyncio.wait([publishing])
        async with owner(settings, layout=layout) as (_, after):
            assert after == before or after == {"last": key.encode()}
            if after != before:
                published.append(key)
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == published


async def test_rejected_record_leaves_nothing_of_its_transaction(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """When the broker refuses one batch, the others are not committed either; the error names topic and partition."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    servers = settings.bootstrap_servers
    layout = await ensure_topics(settings)
    await librdkafka.alter_topic(servers, settings.events_topic, {"max.message.bytes": "2000"})
    poison = event("poison", random.Random(1).randbytes(4000))
    async with owner(settings, layout=layout) as (sink, _):
        with pytest.raises(RecordsRejected) as caught:
            await sink.publish(Publication([dead_letter("good"), poison], [StateChange("n", b"1")]))
        assert (caught.value.topic, caught.value.partition) == (settings.events_topic, partition_of(b"poison", 3))
        assert caught.value.reason == "MessageSizeTooLargeError"
    async with owner(settings, layout=layout) as (sink, state):
        assert state == {}
        await sink.publish(Publication([dead_letter("next")], []))
    assert await librdkafka.keys(servers, settings.events_topic) == []
    assert await librdkafka.keys(servers, settings.dead_letters_topic) == ["next"]


async def test_too_large_records_are_named_before_anything_is_sent(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Records that no batch can hold are all named; nothing was sent, and the sink goes on without them."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, batch_bytes=16 * 1024)
    async with owner(settings) as (sink, _):
        largest = sink.max_record_bytes - len("key" + "ce_id" + "key" + "n" + "1") - 2 * 10
        records = [event("a"), event("key", bytes(20_000)), event("key", bytes(largest)), event("b", bytes(16_384))]
        with pytest.raises(RecordTooLarge) as caught:
            await sink.publish(Publication(records, [StateChange("n", b"wrong")]))
        assert caught.value.indexes == (1, 3)
        assert len(records) == 4, "what was not sent is still the caller's"
        await sink.publish(Publication([records[0], records[2]], [StateChange("n", b"1")]))
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "key"]


async def test_records_are_not_held_while_their_commit_is_under_way(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Once they stand in batches nobody else has them: pages of megabytes would wait there twice."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        handed_in, held = publication(["a", "b"], {"n": b"1"}), []
        before_commit(sink, lambda: held.append(len(handed_in.records)))
        await sink.publish(handed_in)
    assert held == [0]
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b"]


async def test_too_large_state_and_reserved_key_are_refused(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """A state that no batch can hold needs an operator; the barrier's key belongs to the sink. Neither harms it."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, batch_bytes=16 * 1024)
    async with owner(settings) as (sink, _):
        with pytest.raises(StartRefused, match=r"kafka\.batch_bytes"):
            await sink.publish(publication([], {"k": bytes(20_000)}))
        with pytest.raises(ValueError, match="barrier"):
            await sink.publish(publication([], {"barrier": b""}))
        await sink.publish(publication(["a"]))
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a"]


async def test_empty_publication_needs_no_transaction(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Nothing to publish is no error, and leaves the sink usable."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        await sink.publish(publication())
        await sink.publish(publication(["a"]))
        assert not sink.worn_out
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a"]


async def test_sink_wears_out(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """After a number of records, or a time, the shard is asked to open a new sink; until then this one works on."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    layout = await ensure_topics(settings)
    by_records = TransactionalSink(settings, layout, 0, worn_out_records=4)
    by_time = TransactionalSink(settings, layout, 1, worn_out_s=0.0)
    assert not by_records.worn_out
    assert not by_time.worn_out
    await by_records.open()
    await by_time.open()
    assert by_time.worn_out
    await by_records.publish(publication(["a", "b"], {"n": b"1"}))
    assert not by_records.worn_out
    await by_records.publish(publication(["c"]))
    assert by_records.worn_out
    await by_records.publish(publication(["d"]))
    await by_records.close()
    await by_time.close()
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b", "c", "d"]


async def test_closed_and_unopened_sinks_do_not_publish(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Publishing needs an open sink; closing twice, or without opening, is harmless."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    sink = TransactionalSink(settings, await ensure_topics(settings), 0)
    with pytest.raises(PublishFailed, match="not opened"):
        await sink.publish(publication(["a"]))
    await sink.close()
    await sink.close()
    with pytest.raises(PublishFailed, match="closed"):
        await sink.publish(publication(["a"]))


async def test_aborted_transaction_of_a_stopped_owner_is_not_restored(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """What an owner had sent when it was closed in mid-transaction belongs to nobody, and does not block the next."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        await sink.publish(publication(["a"], {"n": b"1"}))
        stopped = asyncio.Event()

        async def hang() -> None:
            stopped.set()
            await asyncio.Event().wait()

        before_commit(sink, hang)
        publishing = asyncio.ensure_future(sink.publish(publication(["lost"], {"n": b"wrong"})))
        await stopped.wait()
        publishing.cancel()
        await asyncio.wait([publishing])
    async with owner(settings) as (sink, state):
        assert state == {"n": b"1"}
        await sink.publish(publication(["b"], {"n": b"2"}))
    assert await librdkafka.keys(settings.bootstrap_servers, settings.events_topic) == ["a", "b"]
