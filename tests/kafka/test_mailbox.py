"""Letters to the owner of a shard, and what the events topic tells of a span of time."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import anyio
import anyio.lowlevel
import orjson
import pytest
from aiokafka.errors import NotLeaderForPartitionError, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition
from anyio import to_thread
from confluent_kafka import Producer

from collector.core.backfill_jobs import Letter
from collector.core.model import Destination, Publication, Record
from collector.errors import StartRefused, TooManyEvents
from collector.kafka import state
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.mailbox import Mailbox, all_letters, write_letters
from collector.kafka.published import published_ids
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import News, Silence, follow_state, read_state
from tests.kafka.owners import owner
from tests.kafka.publications import publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(120)]

SOURCE, OTHER = "/thousandeyes/acme/7625", "/thousandeyes/acme/7626"
START = 1_790_000_000
HOUR_S = 3_600
TIMEOUT_S = 30.0


def session(identifier: str, time_s: int, source: str = SOURCE, **headers: str) -> Record:
    """The event of a session."""
    date = datetime.fromtimestamp(time_s, UTC).isoformat()
    every = {"ce_source": source, "ce_time": date, "ce_id": identifier, **headers}
    value = orjson.dumps({"userSessionId": identifier.partition("#")[0]})
    named = [(name, text.encode()) for name, text in every.items()]
    return Record(Destination.EVENTS, identifier.encode(), value, named, time_s * 1000)


async def ids(settings: KafkaSettings, start: int = START, end: int = START + HOUR_S, **more: int) -> set[str]:
    """What was published of the account group."""
    return await published_ids(settings, SOURCE, start, end, False, **more)


async def test_what_was_published_of_a_span_wherever_it_stands(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Of the account group, of the span with both its ends, old ones behind new ones too; nothing that was aborted."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        await sink.publish(
            Publication([session("young", START + 2 * HOUR_S), session("old", START - 1), session("first", START)], [])
        )
        await sink.publish(
            Publication(
                [
                    session("behind", START + 60),
                    session("last", START + HOUR_S),
                    session("elsewhere", START, OTHER),
                    session("changed#0badc0de", START + 1, ce_revision="1"),
                ],
                [],
            )
        )
        aborted = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": "aborted"})
        await to_thread.run_sync(_produce, aborted, settings.events_topic, session("aborted", START + 2))
        await to_thread.run_sync(aborted.abort_transaction, TIMEOUT_S)
        assert await ids(settings) == {"first", "behind", "last", "changed"}
        assert await ids(settings, START + 3 * HOUR_S, START + 4 * HOUR_S) == set()
        by_page = await published_ids(settings, SOURCE, START, START + 1, True)
        assert by_page == {"first", "changed"}
        with pytest.raises(TooManyEvents, match="more than 3 events"):
            await ids(settings, ids_max=3)


async def test_what_stands_behind_an_open_transaction_of_another_is_waited_for(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Another shard's transaction is open in the same partition: our commits behind it are seen all the same."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, event_partitions=1)
    open_one = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": "open-one"})
    found: list[set[str]] = []
    async with owner(settings) as (sink, _):
        await to_thread.run_sync(_produce, open_one, settings.events_topic, session("open", START + 1))
        await sink.publish(Publication([session("ours", START + 2)], []))

        async def read() -> None:
            found.append(await ids(settings))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.sleep(3.0)  # long enough to end wrongly, and nothing is asserted about it
            await to_thread.run_sync(open_one.abort_transaction, TIMEOUT_S)
    assert found == [{"ours"}]


async def test_letters_are_read_from_the_first_and_on(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Each in its shard's partition, beside the witness of the state; again from any offset, and new ones."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    mailbox = Mailbox(settings)
    try:
        await _topics(settings)
        await write_letters(settings, 1, {"backfill/acme/one": b"1", "backfill/acme/two": b"2"})
        letters, offset = await mailbox.read(1, None)
        assert [(letter.key, letter.value) for letter in letters if letter.key != "origin"] == [
            ("backfill/acme/one", b"1"),
            ("backfill/acme/two", b"2"),
        ]
        assert await mailbox.read(1, offset) == ([], offset)
        assert "backfill/acme/one" not in [letter.key for letter in (await mailbox.read(0, None))[0]]
        await write_letters(settings, 1, {"backfill/acme/three": b"3"})
        fresh: list[Letter] = []
        with anyio.fail_after(TIMEOUT_S):  # where a partition ends is asked for once a second
            while not fresh:
                await anyio.sleep(0.1)
                fresh, _ = await mailbox.read(1, offset)
        assert [letter.key for letter in fresh] == ["backfill/acme/three"]
        again, _ = await mailbox.read(1, None)
        assert [letter.key for letter in again][-1] == "backfill/acme/three"
        every = [letter.key for letter in await all_letters(settings) if letter.key != "origin"]
        assert every == ["backfill/acme/one", "backfill/acme/two", "backfill/acme/three"]
    finally:
        await mailbox.aclose()


async def test_a_key_of_the_state_is_followed(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Each committed value from the beginning of the block on, and a sign of life while there is none."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        await sink.publish(publication([], {"k": b"before", "other": b"x"}))
        async with follow_state(settings, 0, lambda key: key.startswith("k")) as values:
            assert await anext(values) == Silence(is_away=False)
            await sink.publish(publication([], {"other": b"y"}))
            await sink.publish(publication([], {"k": b"1"}))
            await sink.publish(publication([], {"k2": b"2"}))
            await sink.publish(publication([], {"k": None}))
            seen: list[News] = []
            async for one in values:
                seen += [one] if isinstance(one, News) else []
                if len(seen) == 3:
                    break
    assert seen == [News("k", b"1"), News("k2", b"2"), News("k", None)]


async def test_an_error_of_whoever_follows_is_their_own(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """A closed standard output is not told as brokers that are down."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings):
        with pytest.raises(BrokenPipeError):
            async with follow_state(settings, 0, lambda _: True):
                raise BrokenPipeError


async def test_another_number_of_shards_than_the_topics_have_is_refused(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """It would ask the wrong worker, or nobody; who does not address a shard may read all the same."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings) as (sink, _):
        await sink.publish(publication([], {"k": b"1"}))
        for shards in (settings.shards - 1, settings.shards + 1):
            other = replace(settings, shards=shards)
            with pytest.raises(StartRefused, match=rf"has {settings.shards} part.*, kafka.shards is {shards}"):
                await read_state(other, lambda _: True, shard=shards - 1)
            with pytest.raises(StartRefused, match="all three must be equal"):
                async with follow_state(other, shards - 1, lambda _: True):
                    pass
            with pytest.raises(StartRefused, match="all three must be equal"):
                await all_letters(other)
            assert await read_state(other, lambda key: key == "k") == {"k": b"1"}


@pytest.mark.parametrize("failure", [ConnectionResetError(), TimeoutError(), AssertionError()])
async def test_whatever_the_client_raises_while_following_is_named(failure: Exception) -> None:
    """With the brokers, as an error for people."""
    consumer = _Consumer()
    consumer.failure = failure
    news = state._news(settings_for("127.0.0.1:1", "x"), consumer, TopicPartition("state", 0), lambda _: True)
    with pytest.raises(KafkaUnreachable, match="following"):
        await anext(news)


async def test_brokers_that_are_gone_are_not_taken_for_silent_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A poll without brokers says nothing at all; so they are asked, and what comes afterwards is heard."""
    monkeypatch.setattr(state, "SIGN_OF_LIFE_EVERY_S", 0.0)
    monkeypatch.setattr(state, "SIGN_OF_LIFE_WITHIN_S", 0.01)
    partition, consumer = TopicPartition("state", 0), _Consumer()
    async with aclosing(state._news(settings_for("127.0.0.1:1", "x"), consumer, partition, lambda _: True)) as news:
        assert await anext(news) == Silence(is_away=False)
        consumer.answers = False
        consumer.failure = NotLeaderForPartitionError()
        assert await anext(news) == Silence(is_away=True)
        consumer.failure = None
        assert await anext(news) == Silence(is_away=True)
        consumer.answers = True
        assert await anext(news) == Silence(is_away=False)
        consumer.records = [_StateRecord(b"k", b"1")]
        assert await anext(news) == News("k", b"1")
        consumer.failure = TopicAuthorizationFailedError()
        with pytest.raises(KafkaUnreachable, match="following"):
            await anext(news)


class _StateRecord(NamedTuple):
    key: bytes
    value: bytes


class _Consumer:
    """What is used of a consumer: polls that find nothing, or a record once, and brokers that answer or do not."""

    def __init__(self) -> None:
        self.answers = True
        self.failure: Exception | None = None
        self.records: list[_StateRecord] = []

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[_StateRecord]]:
        await anyio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        records, self.records = self.records, []
        return {TopicPartition("state", 0): records} if records else {}

    async def end_offsets(self, partitions: list[TopicPartition]) -> None:
        if not self.answers:
            await anyio.sleep(TIMEOUT_S)


async def _topics(settings: KafkaSettings) -> None:
    async with owner(settings):
        pass


def _produce(producer: Producer, topic: str, record: Record) -> None:
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(
        topic, record.value, record.key, partition=0, headers=list(record.headers), timestamp=record.timestamp_ms
    )
    assert producer.flush(TIMEOUT_S) == 0
