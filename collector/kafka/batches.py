"""Turns a publication into the batches of one transaction.

The one rule: everything that can be wrong with the records themselves shows here, before the transaction begins.

Records go to partitions as the Java client's default partitioner sends them (murmur2 of the key), so that topics of
other producers with the same keys can be joined with ours. https://kafka.apache.org/documentation/ (partitioner)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder
from murmurhash2 import murmurhash2

from collector.core.model import Destination, Publication, Record, StateChange
from collector.errors import StartRefused
from collector.kafka.errors import RecordTooLarge
from collector.kafka.settings import BATCH_HEADER_BYTES

# The seed of org.apache.kafka.common.utils.Utils.murmur2; the mask is its toPositive().
MURMUR2_SEED = 0x9747B28C
POSITIVE_MASK = 0x7FFFFFFF

# The state key under which each owner of a shard leaves its unique value; see sink.py.
BARRIER_KEY = "barrier"

# The state key that tells a state that was lost from one that never was; see origin.py.
ORIGIN_KEY = "origin"

_RESERVED_KEYS = frozenset({BARRIER_KEY, ORIGIN_KEY})

NewBatch = Callable[[int], BatchBuilder]


class Batch(NamedTuple):
    """Records for one partition, at most ``KafkaSettings.batch_bytes`` before compression."""

    topic: str
    partition: int
    builder: BatchBuilder


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that the Java client's default partitioner chooses for a key.

    Args:
        key: the record key.
        partitions: number of partitions of the topic, >= 1.
    """
    return int((murmurhash2(key, MURMUR2_SEED) & POSITIVE_MASK) % partitions)


class TopicBatches:
    """The batches of one topic while they fill.

    Mutable: the builders by partition, the last of which is open.

    Args:
        topic: its name.
        partitions: how many it has, >= 1.
        new_batch: makes an empty builder that takes so many bytes before compression.
        batch_bytes: what a batch may take.
    """

    __slots__ = ("_batch_bytes", "_builders", "_limit_bytes", "_new_batch", "_open", "_partitions", "_topic")

    def __init__(self, topic: str, partitions: int, new_batch: NewBatch, *, batch_bytes: int) -> None:
        self._topic = topic
        self._partitions = partitions
        self._new_batch = new_batch
        self._batch_bytes = batch_bytes
        self._limit_bytes = batch_bytes - BATCH_HEADER_BYTES
        self._builders: dict[int, list[BatchBuilder]] = {}
        self._open: dict[int, BatchBuilder] = {}

    def add(
        self,
        key: bytes,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        timestamp_ms: int | None,
        partition: int | None = None,
    ) -> bool:
        """Adds a record; opens another batch when the open one is full. Runs for every record, so it stays flat.

        Args:
            key: decides about the partition, unless that is given.
            value: None is a tombstone.
            headers: a list, the only sequence that aiokafka's compiled builder takes.
            timestamp_ms: milliseconds since 1970; None: now.
            partition: where the record has to go.

        Returns:
            Whether the record is small enough for a batch. If not, the batches must not be sent.
        """
        if partition is None:
            partition = (murmurhash2(key, MURMUR2_SEED) & POSITIVE_MASK) % self._partitions  # partition_of(), inlined
        builder = self._open.get(partition) or self._next_builder(partition)
        written = builder.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)
        if written is None:
            builder = self._next_builder(partition)
            written = builder.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)
        # The first record of a batch is taken whatever its size, and the broker would then refuse the batch.
        return bool(written.size <= self._limit_bytes)

    def rounds(self) -> Iterator[tuple[int, Batch]]:
        """Every batch, with its place in the queue of its partition."""
        for partition, builders in self._builders.items():
            for place, builder in enumerate(builders):
                yield place, Batch(self._topic, partition, builder)

    def _next_builder(self, partition: int) -> BatchBuilder:
        builder = self._open[partition] = self._new_batch(self._batch_bytes)
        self._builders.setdefault(partition, []).append(builder)
        return builder


class BatchPlan:
    """Where records and state of a shard go, and how large they may be.

    Args:
        events: topic and number of partitions of the events, size of a batch before compression.
        dead_letters: the same of the dead letters.
        state: state topic, the shard's partition, size of a batch.
        new_batch: makes an empty builder of the producer in use, of that size.
    """

    def __init__(
        self,
        *,
        events: tuple[str, int, int],
        dead_letters: tuple[str, int, int],
        state: tuple[str, int, int],
        new_batch: NewBatch,
    ) -> None:
        self._events = events
        self._dead_letters = dead_letters
        self._state = state
        self._new_batch = new_batch

    def batches(self, publication: Publication) -> list[Batch]:
        """All batches of a publication, in an order in which no partition has to wait for itself sooner than needed.

        Raises:
            RecordTooLarge: records that no batch can hold, all of them named.
            StartRefused: a state change that no batch can hold.
            ValueError: a state change to the barrier's own key.
        """
        topics = [*self._record_batches(publication.records), self._state_batches(publication.changes)]
        # First every partition's first batch, then the second ones: the client keeps one batch a partition in flight.
        placed = [placed for topic in topics for placed in topic.rounds()]
        placed.sort(key=lambda item: item[0])
        return [batch for _, batch in placed]

    def barrier(self, value: bytes) -> list[Batch]:
        """The one batch that marks the beginning of an ownership."""
        return [batch for _, batch in self._of_state([StateChange(BARRIER_KEY, value)]).rounds()]

    def origin(self, value: bytes, *, state: bool, witness_topic: str | None) -> list[Batch]:
        """The origin of the state, for the state itself and for the partition of the same number that witnesses it."""
        return [
            batch
            for name in ([self._state[0]] if state else []) + ([witness_topic] if witness_topic is not None else [])
            for _, batch in self._of_state([StateChange(ORIGIN_KEY, value)], topic=name).rounds()
        ]

    def _record_batches(self, records: Sequence[Record]) -> tuple[TopicBatches, TopicBatches]:
        events, dead_letters = self._topic(*self._events), self._topic(*self._dead_letters)
        add_event, add_dead_letter, event = events.add, dead_letters.add, Destination.EVENTS
        too_large = []
        for index, (destination, key, value, headers, timestamp_ms) in enumerate(records):
            # `is`, because comparing or hashing members of a StrEnum costs more than all of this loop.
            add = add_event if destination is event else add_dead_letter
            if not add(key, value, headers, timestamp_ms):
                too_large.append(index)
        if too_large:
            first = records[too_large[0]].destination
            topic, _, batch_bytes = self._events if first is Destination.EVENTS else self._dead_letters
            raise RecordTooLarge(too_large, batch_bytes - BATCH_HEADER_BYTES, topic=topic)
        return events, dead_letters

    def _state_batches(self, changes: Sequence[StateChange]) -> TopicBatches:
        if any(change.key in _RESERVED_KEYS for change in changes):
            raise ValueError(f"the state keys {sorted(_RESERVED_KEYS)} belong to the sink")
        return self._of_state(changes)

    def _of_state(self, changes: Sequence[StateChange], *, topic: str | None = None) -> TopicBatches:
        state_topic, shard, batch_bytes = self._state
        topic = topic or state_topic
        state = self._topic(topic, shard + 1, batch_bytes)
        for key, value in changes:
            if not state.add(key.encode(), value, [], None, partition=shard):
                raise StartRefused(
                    f"kafka: the state {key!r} ({len(value or b'')} bytes) is larger than a batch ({batch_bytes} "
                    f"bytes); raise kafka.batch_bytes, and max.message.bytes of {topic} above it"
                )
        return state

    def _topic(self, topic: str, partitions: int, batch_bytes: int) -> TopicBatches:
        return TopicBatches(topic, partitions, self._new_batch, batch_bytes=batch_bytes)
