"""The transactional sink of one shard: events, dead letters and state become durable together, or not at all.

The one rule: after any failure the outcome is unknown and the sink is finished. Nothing is retried, nothing is aborted:
the successor's ``open`` ends whatever is still open at the broker and reads what is true.

How it is exactly once:

1. All owners of a shard use one transactional id. ``open`` makes a new producer; the broker fences every older one,
   ends its transaction and waits until that is visible.
2. ``open`` then commits a barrier, a record with a unique value, and reads the state up to that very value. The state
   is what was committed by the time the predecessor lost its right to write.
3. ``publish`` is one transaction. Every acknowledgement is awaited before the commit: aiokafka commits the rest of a
   transaction, without an error, when a produce has failed.
4. Every wait has a deadline: without a leader aiokafka's send, commit, abort and stop wait for ever.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from collector.core.model import Publication
from collector.errors import CollectorError, Fenced, PublishFailed, RecordsRejected, StartRefused
from collector.kafka.batches import ORIGIN_KEY, Batch, BatchPlan
from collector.kafka.closing import close_producer, see_exception
from collector.kafka.connection import client_arguments
from collector.kafka.errors import describe, is_fencing, is_rejection
from collector.kafka.leaders import without_leader
from collector.kafka.origin import Witness, read_witness, recognise
from collector.kafka.reader import Barrier, RestoredState, restore, unique_value
from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import TopicLayout

# A producer numbers the records of a partition with 31 bits, and aiokafka 0.14.0 wraps them to a negative number that
# the broker refuses. Half of that leaves room for the publication in hand; counted over all partitions.
WORN_OUT_RECORDS = 2**30

# A new producer a day also picks up renewed certificates.
WORN_OUT_S = 24 * 60 * 60

# Lets several batches leave in one request; the batches themselves are what is bounded.
_REQUEST_BYTES_MAX = 64 * 1024 * 1024


class _Phase(Enum):
    """What the sink may do next."""

    NEW = "not opened"
    READY = "ready"
    BUSY = "in the middle of a transaction"
    FAILED = "unusable: an earlier outcome is unknown"
    CLOSED = "closed"


class TransactionalSink:
    """Publishes for one shard. ``open`` first; ``close`` in every case; one ``publish`` at a time.

    Mutable state, all of it: the producer, the phase, records sent, the newest offset of the state and time of opening.

    Args:
        settings: where Kafka is, and every deadline.
        layout: partition counts, from ``ensure_topics``.
        shard: partition of the state topic, 0..shards-1.
        origins: shard -> identity of its state, as far as this process has seen it; kept from sink to sink.
        worn_out_records: after so many records a new sink is due.
        worn_out_s: after so many seconds too.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        layout: TopicLayout,
        shard: int,
        *,
        origins: dict[int, str] | None = None,
        worn_out_records: int = WORN_OUT_RECORDS,
        worn_out_s: float = WORN_OUT_S,
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._shard = shard
        self._origins = {} if origins is None else origins
        self._worn_out_records = worn_out_records
        self._worn_out_s = worn_out_s
        self._producer: Any = None
        self._plan: BatchPlan | None = None
        self._phase = _Phase.NEW
        self._records_sent = 0
        self._state_offset = -1
        self._opened_at_s: float | None = None

    @property
    def max_record_bytes(self) -> int:
        """See ``KafkaSettings.max_record_bytes``: whatever is not larger can be published."""
        return self._settings.max_record_bytes

    @property
    def worn_out(self) -> bool:
        """Whether the shard should close this sink at its next pause and open another one."""
        if self._opened_at_s is None:
            return False
        age_s = asyncio.get_running_loop().time() - self._opened_at_s
        return self._records_sent >= self._worn_out_records or age_s >= self._worn_out_s

    async def open(self) -> dict[str, bytes]:
        """Takes the shard over and reads its state. Call ``close`` afterwards, also when this fails.

        Returns:
            The committed state: key -> value.

        Raises:
            Fenced: another owner took the shard over meanwhile.
            PublishFailed: no success in time; close, wait, and open a new sink if the shard is still ours.
            StartRefused: the state is not ours to read, not what it was, or this installation cannot keep the promise.
        """
        if not __debug__:
            raise StartRefused("run Python without -O: aiokafka checks the state of transactions with assertions")
        assert self._phase is _Phase.NEW, "a sink is opened once"
        self._phase = _Phase.BUSY
        try:
            witness = await read_witness(self._settings, self._shard)
            await self._start_producer()
            barrier = await self._write_barrier()
            restored = await restore(self._settings, self._shard, barrier)
            await self._recognise(restored, witness)
        except BaseException:
            self._phase = _Phase.FAILED
            raise
        self._opened_at_s = asyncio.get_running_loop().time()
        self._phase = _Phase.READY
        restored.state.pop(ORIGIN_KEY, None)
        return restored.state

    async def publish(self, publication: Publication) -> None:
        """Makes records and state durable in one transaction. A cancelled publish is a failed one.

        Uses the records up, unless they are too large.

        Raises:
            RecordTooLarge: nothing was sent and the sink stays usable; turn the named records into dead letters.
            RecordsRejected: the broker will never take some of the records (see ``max.message.bytes``).
            Fenced: a newer owner, or the broker's transaction timeout.
            PublishFailed: anything else; outcome unknown. The sink is finished: close it.
            StartRefused: a state change larger than a batch.
        """
        if self._phase is not _Phase.READY or self._plan is None:
            raise PublishFailed(f"kafka: the sink of shard {self._shard} is {self._phase.value}")
        batches = self._plan.batches(publication)
        if not batches:
            return
        sent = len(publication.records) + len(publication.changes)
        publication.records.clear()  # they stand in the batches; both at a time would be megabytes
        self._phase = _Phase.BUSY
        try:
            await self._transact(batches)
        except BaseException:
            self._phase = _Phase.FAILED
            raise
        self._phase = _Phase.READY
        self._records_sent += sent

    async def read_again(self) -> dict[str, bytes]:
        """Reads the shard's state up to a new barrier of ours; nothing is published meanwhile.

        Raises:
            Fenced: a newer owner.
            PublishFailed: the state could not be read. The sink is finished: close it.
            StartRefused: the partition holds what the collector did not write.
        """
        if self._phase is not _Phase.READY:
            raise PublishFailed(f"kafka: the sink of shard {self._shard} is {self._phase.value}")
        self._phase = _Phase.BUSY
        try:
            restored = await restore(self._settings, self._shard, await self._write_barrier())
        except BaseException:
            self._phase = _Phase.FAILED
            raise
        self._phase = _Phase.READY
        restored.state.pop(ORIGIN_KEY, None)
        return restored.state

    async def close(self) -> None:
        """Lets go of all connections, within two times ``close_timeout_s``. Never raises; may be called again.

        An open transaction stays open: the next owner, or the broker's timeout, ends it.
        """
        self._phase = _Phase.CLOSED
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer, self._settings.close_timeout_s)

    async def _start_producer(self) -> None:
        """InitProducerId, which fences every older owner, and the partitions of our topics."""
        settings = self._settings
        try:
            producer = self._producer = self._new_producer()
            async with asyncio.timeout(settings.start_timeout_s):
                await producer.start()
                # Known beforehand, so that no transaction waits for them.
                for topic in (settings.state_topic, settings.events_topic, settings.dead_letters_topic):
                    await producer.partitions_for(topic)
        except Exception as error:
            raise self._failure("taking over", error) from error
        self._plan = BatchPlan(
            events=(
                settings.events_topic,
                self._layout.event_partitions,
                self._layout.event_batch_bytes or settings.batch_bytes,
            ),
            dead_letters=(
                settings.dead_letters_topic,
                self._layout.dead_letter_partitions,
                self._layout.dead_letter_batch_bytes or settings.batch_bytes,
            ),
            state=(settings.state_topic, self._shard, settings.batch_bytes),
            new_batch=self._new_batch,
        )

    def _new_batch(self, batch_bytes: int) -> BatchBuilder:
        """An empty batch; smaller than the producer's own where a topic takes less, which aiokafka has no call for."""
        if batch_bytes == self._settings.batch_bytes:
            return self._producer.create_batch()
        codec = self._producer._message_accumulator._compression_type
        return BatchBuilder(batch_bytes, codec, is_transactional=True)

    def _new_producer(self) -> Any:
        return AIOKafkaProducer(
            **client_arguments(self._settings, role=f"shard-{self._shard}"),
            transactional_id=self._settings.transactional_id(self._shard),
            enable_idempotence=True,
            acks="all",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            compression_type=None if self._settings.compression == "none" else self._settings.compression,
            max_batch_size=self._settings.batch_bytes,
            max_request_size=_REQUEST_BYTES_MAX,
        )

    async def _write_barrier(self) -> Barrier:
        assert self._plan is not None
        value = unique_value(self._shard)
        (acknowledged,) = await self._transact(self._plan.barrier(value))
        if acknowledged.offset < 0:
            # The broker had it already and no longer knew where: possible after a lost answer.
            raise PublishFailed(f"kafka: the broker did not tell where the barrier of shard {self._shard} is")
        return Barrier(value=value, offset=acknowledged.offset)

    async def _recognise(self, restored: RestoredState, witness: Witness | None) -> None:
        """Refuses a state that was lost; the first owner of a shard leaves the mark by which it will be known."""
        assert self._plan is not None
        verdict = recognise(self._settings, self._shard, restored, witness, self._origins.get(self._shard))
        witness_topic = self._settings.shards_topic if verdict.write_witness else None
        batches = self._plan.origin(verdict.origin.to_bytes(), state=verdict.write_origin, witness_topic=witness_topic)
        if batches:
            await self._transact(batches)
        self._origins[self._shard] = verdict.origin.identity

    async def _transact(self, batches: list[Batch]) -> list[Any]:
        """One whole transaction. Any exception, whatever it is, means: outcome unknown."""
        producer = self._producer
        sent: list[asyncio.Future[Any]] = []
        step = "sending"
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                await producer.begin_transaction()
                for topic, partition, builder in batches:
                    sent.append(await producer.send_batch(builder, topic, partition=partition))
                acknowledgements = await asyncio.gather(*sent)
            self._require_growth(acknowledgements)
            step = "committing"
            async with asyncio.timeout(self._settings.commit_timeout_s):
                await producer.commit_transaction()
        except Exception as error:
            unled = without_leader(producer, [(batch.topic, batch.partition) for batch in batches])
            raise self._rejection(batches, sent, error) or self._failure(step, error, unled) from error
        finally:
            for future in sent:
                see_exception(future)
        return acknowledgements

    def _require_growth(self, acknowledgements: list[Any]) -> None:
        """Refuses to commit into a state that went back: its topic was made anew, or a broker lost its end."""
        for acknowledged in acknowledgements:
            if acknowledged.topic != self._settings.state_topic or acknowledged.offset < 0:
                continue
            if acknowledged.offset <= self._state_offset:
                raise PublishFailed(
                    f"kafka: partition {self._shard} of {acknowledged.topic} was at offset {self._state_offset} and is "
                    f"at {acknowledged.offset}: committed state is gone. Nothing was committed on top of it"
                )
            self._state_offset = acknowledged.offset

    def _rejection(self, batches: list[Batch], sent: list[Any], error: Exception) -> RecordsRejected | None:
        """The failure by name, if the broker refused one of the batches for its content."""
        if not is_rejection(error):
            return None
        for batch, future in zip(batches, sent, strict=False):
            if future.done() and not future.cancelled() and future.exception() is error:
                return RecordsRejected(
                    f"kafka: {batch.topic}, partition {batch.partition}, refused {batch.builder.record_count()} "
                    f"records of shard {self._shard} ({describe(error)}); compare max.message.bytes and "
                    f"message.timestamp.* of the topic with kafka.batch_bytes and the times of the records",
                    topic=batch.topic,
                    partition=batch.partition,
                    reason=type(error).__name__,
                )
        return None

    def _failure(self, step: str, error: Exception, more: str = "") -> CollectorError:
        """The failure in our words, and ``more`` that is known about it."""
        if isinstance(error, PublishFailed | StartRefused):
            return error
        where = f"shard {self._shard} ({self._settings.transactional_id(self._shard)})"
        if is_fencing(error):
            return Fenced(
                f"kafka: {where} was fenced while {step}: it has a newer owner, a transaction took longer than "
                f"{self._settings.transaction_timeout_ms} ms, or nothing was published for longer than the broker "
                f"keeps transactional ids ({describe(error)})"
            )
        return PublishFailed(
            f"kafka: {step} failed for {where} at {self._settings.bootstrap_servers} ({describe(error)}{more}); the "
            f"outcome is unknown until the state has been read again"
        )
