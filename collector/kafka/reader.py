"""Reads the state of a shard back, up to its owner's own barrier.

The one rule: the state is complete when, and only when, our own barrier value has been read. A position proves
nothing: a reader that wrongly started at the end has a position beyond the barrier too, and would call the state empty.

Whatever was committed beyond our barrier was written by a newer owner: then we are fenced.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import ConfigurationError, Fenced, PublishFailed, StartRefused
from collector.kafka.batches import BARRIER_KEY
from collector.kafka.committed_reader import BACKOFF_FIRST_S, committed_reader, next_backoff_s
from collector.kafka.errors import describe
from collector.kafka.settings import KafkaSettings

# How long a poll waits for data, milliseconds; between polls the position is looked at.
POLL_MS = 300

_BARRIER_KEY = BARRIER_KEY.encode()


@dataclass(frozen=True, slots=True)
class Barrier:
    """The record with which an owner of a shard begins.

    Args:
        value: unique among all owners there will ever be.
        offset: where the broker put it in the shard's state partition, >= 0.
    """

    value: bytes
    offset: int


class RestoredState(NamedTuple):
    """What a shard's partition held before our barrier.

    Args:
        state: the last value of each key, without tombstones and barriers.
        log_start: first offset of the partition; above 0 only if records were removed.
    """

    state: dict[str, bytes]
    log_start: int


def unique_value(shard: int) -> bytes:
    """A barrier value that nobody else makes; readable, because people look into the topic when something is wrong."""
    return f"shard={shard} pid={os.getpid()} ns={time.time_ns()} {uuid.uuid4().hex}".encode()


async def restore(settings: KafkaSettings, shard: int, barrier: Barrier) -> RestoredState:
    """The state that was committed before the barrier.

    Args:
        settings: ``restore_timeout_s`` is how long the reader may make no progress; so the time allowed for the whole
            grows with the size of the state.
        shard: partition of the state topic.
        barrier: ours, already committed.

    Raises:
        Fenced: a newer owner has written.
        PublishFailed: the state could not be read to the barrier.
        StartRefused: the partition holds records that the collector did not write.
    """
    fold = _StateFold(settings, shard, barrier)
    try:
        async with committed_reader(settings, role=f"restore-{shard}", start_at="earliest") as consumer:
            await _read_to_barrier(consumer, settings, fold)
    except (ConfigurationError, KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise PublishFailed(
            f"kafka: no progress for {settings.restore_timeout_s:g} s while reading the state of shard {shard} from "
            f"{settings.state_topic} at {settings.bootstrap_servers} ({fold.progress}; {describe(error)}); it will be "
            f"tried again"
        ) from error
    return RestoredState(fold.state, fold.log_start)


async def _read_to_barrier(consumer: Any, settings: KafkaSettings, fold: _StateFold) -> None:
    """Polls until the fold is complete; errors of single polls are waited out, a standstill ends in TimeoutError."""
    partition = TopicPartition(settings.state_topic, fold.shard)
    consumer.assign([partition])
    clock = asyncio.get_running_loop().time
    backoff_s = BACKOFF_FIRST_S
    position = -1
    async with asyncio.timeout(settings.restore_timeout_s) as deadline:
        while not fold.complete:
            try:
                if fold.log_start < 0:
                    fold.log_start = (await consumer.beginning_offsets([partition]))[partition]
                records = (await consumer.getmany(partition, timeout_ms=POLL_MS)).get(partition, [])
                reached = await consumer.position(partition)
            except KafkaError as error:
                fold.progress = f"last error {describe(error)}"
                await asyncio.sleep(backoff_s)
                backoff_s = next_backoff_s(backoff_s)
                continue
            backoff_s = BACKOFF_FIRST_S
            fold.add(records)
            fold.passed(reached)
            if reached > position:
                position = reached
                fold.progress = f"at offset {position} of {fold.barrier.offset}"
                deadline.reschedule(clock() + settings.restore_timeout_s)


class _StateFold:
    """Owns what has been read so far: the state, whether our barrier was seen, and a line about progress."""

    def __init__(self, settings: KafkaSettings, shard: int, barrier: Barrier) -> None:
        self._topic = settings.state_topic
        self.shard = shard
        self.barrier = barrier
        self.state: dict[str, bytes] = {}
        self.log_start = -1  # not asked yet
        self.complete = False
        self.progress = "nothing read yet"

    def add(self, records: Iterable[Any]) -> None:
        """Applies records in the order of their offsets."""
        state = self.state
        for record in records:
            key, value = record.key, record.value
            if record.offset > self.barrier.offset:
                raise Fenced(
                    f"kafka: shard {self.shard} has a newer owner (offset {record.offset} of {self._topic} is beyond "
                    f"our barrier at {self.barrier.offset}); normal while workers come and go"
                )
            if key == _BARRIER_KEY:
                self.complete = self.complete or value == self.barrier.value
            elif value is None:
                state.pop(self._text(key, record.offset), None)
            else:
                state[self._text(key, record.offset)] = value

    def passed(self, position: int) -> None:
        """Refuses a reader that is beyond our barrier without having read it."""
        if not self.complete and position > self.barrier.offset:
            raise PublishFailed(
                f"kafka: the reader of shard {self.shard} is at offset {position} of {self._topic}, beyond our barrier "
                f"at {self.barrier.offset}, and has not read it: the state it saw is not complete; it will be tried "
                f"again"
            )

    def _text(self, key: bytes | None, offset: int) -> str:
        try:
            if key:
                return key.decode()
        except UnicodeDecodeError:
            pass
        raise StartRefused(
            f"kafka: partition {self.shard} of {self._topic} holds a record at offset {offset} that the collector did "
            f"not write (no text as key). Only the collector may write to the state topic: find the writer, take its "
            f"rights away, and use another kafka.state_topic or remove the record with a tombstone"
        )
