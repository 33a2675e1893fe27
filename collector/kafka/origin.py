"""Knows whether the state that a shard restored is the one that it left: a topic can be deleted, made anew, truncated.

The one rule: a state that was lost is told from one that never was, before anything is published on top of it.

How. When a shard is opened for the first time, it writes its *origin*, a unique value, in one transaction to two
places: its partition of the state topic, and, as the *witness*, its partition of the shards topic. The origin stands
before everything else in the state and is never written again. So whatever removes the beginning of the partition, or
all of it, removes the origin, while compaction keeps it. The witness is written again once a day, as that topic has a
retention.

    origin   witness     what it means
    none     none        never opened (or copied by hand): both are written
    none     there       the state was lost: refused
    there    none        the shards topic was made anew, or we were down for longer than it remembers: written again
    there    the same    all is well, unless offsets were removed since the origin was written: refused
    there    another     it is the state of something else: refused

Where the witness is gone too, the process that owned the shard before still remembers.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import PublishFailed, StartRefused
from collector.kafka.batches import ORIGIN_KEY
from collector.kafka.committed_reader import committed_reader
from collector.kafka.errors import describe
from collector.kafka.reader import POLL_MS, RestoredState
from collector.kafka.settings import KafkaSettings

WITNESS_RENEWED_S = 24 * 60 * 60
"""A witness older than this is written again: far within the retention of the shards topic, and hardly a record."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """With what a shard's state began.

    Args:
        identity: unique among all states there will ever be.
        log_start: first offset of the partition at that time; it moves only if records are removed.
    """

    identity: str
    log_start: int

    def to_bytes(self) -> bytes:
        """As it stands in the topics."""
        return orjson.dumps({"version": 1, "identity": self.identity, "log_start": self.log_start})

    @classmethod
    def parse(cls, value: bytes) -> Origin:
        """The other way round.

        Raises:
            ValueError: it is none.
        """
        try:
            found = orjson.loads(value)
            return cls(str(found["identity"]), int(found["log_start"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"no origin: {value[:100]!r}") from error


@dataclass(frozen=True, slots=True)
class Witness:
    """What the shards topic remembers of a shard: which state it had, and when that was last written."""

    identity: str
    written_at_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about a restored state.

    Args:
        lost: why it is not what it was, for people; None when it is.
        origin: belongs into the state, if it is not there yet.
        write_origin: whether it has to be written.
        write_witness: whether the witness has to.
    """

    lost: str | None
    origin: Origin
    write_origin: bool
    write_witness: bool


def judge(found: Origin | None, witness: Witness | None, *, log_start: int, known: str | None, now: float) -> Verdict:
    """Compare what was restored with what is remembered; see the table above.

    Args:
        found: in the state.
        witness: in the shards topic.
        log_start: first offset of the state partition.
        known: the identity that this process had before, if any.
        now: seconds since 1970.
    """
    expected = witness.identity if witness is not None else known
    lost = None
    if found is None and expected is not None:
        lost = (
            f"the origin with which it began ({expected}) is gone: the topic was deleted and made anew, or its records "
            f"were removed"
        )
    elif found is not None and expected not in (None, found.identity):
        lost = f"it is another state ({found.identity}) than the one that was used last ({expected})"
    elif found is not None and log_start > found.log_start:
        lost = f"the records before offset {log_start} were removed, by a retention or a request to delete them"
    if lost is not None or found is None:
        return Verdict(lost, Origin(uuid.uuid4().hex, log_start), write_origin=True, write_witness=True)
    renew = witness is None or now - witness.written_at_s > WITNESS_RENEWED_S
    return Verdict(None, found, write_origin=False, write_witness=renew)


def recognise(
    settings: KafkaSettings, shard: int, restored: RestoredState, witness: Witness | None, known: str | None
) -> Verdict:
    """Decides whether a restored state is the one that the shard left.

    Args:
        settings: see there.
        shard: partition of the state topic, and of the shards topic.
        restored: what was read.
        witness: read before.
        known: the identity that this process had before, if any.

    Raises:
        StartRefused: the state was lost, and ``accept_empty_state`` is not set.
    """
    try:
        value = restored.state.get(ORIGIN_KEY)
        found = None if value is None else Origin.parse(value)
    except ValueError as error:
        raise _refusal(settings, shard, str(error)) from error
    verdict = judge(found, witness, log_start=restored.log_start, known=known, now=time.time())
    if verdict.lost is not None:
        if not settings.accept_empty_state:
            raise _refusal(settings, shard, verdict.lost)
        _log.warning("kafka_state_lost_and_accepted", shard=shard, topic=settings.state_topic, detail=verdict.lost)
    return verdict


def _refusal(settings: KafkaSettings, shard: int, why: str) -> StartRefused:
    return StartRefused(
        f"kafka: the state of shard {shard} (partition {shard} of {settings.state_topic}) is not what it was: {why}. "
        f"The collector no longer knows what it has published and where it was: it would publish sessions again, and "
        f"not look for what was missed. Put the right kafka.state_topic into the configuration, or accept the loss "
        f"with kafka.accept_empty_state = true for one start"
    )


async def read_witness(settings: KafkaSettings, shard: int) -> Witness | None:
    """The newest witness of a shard; None: it was never opened, or the topic no longer remembers.

    To be read before the shard is taken over, so that a take-over takes no longer for it: an origin that another owner
    writes meanwhile is then found without its witness, which is no reason to refuse.

    Raises:
        PublishFailed: it could not be read.
    """
    partition = TopicPartition(settings.shards_topic, shard)
    witness = None
    try:
        async with committed_reader(settings, role=f"witness-{shard}", start_at="earliest") as consumer:
            consumer.assign([partition])
            async with asyncio.timeout(settings.restore_timeout_s):
                end = (await consumer.end_offsets([partition]))[partition]
                while await consumer.position(partition) < end:
                    for record in (await consumer.getmany(partition, timeout_ms=POLL_MS)).get(partition, []):
                        witness = _parse(record) or witness
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise PublishFailed(
            f"kafka: partition {shard} of {settings.shards_topic} at {settings.bootstrap_servers} cannot be read "
            f"({describe(error)}); it will be tried again"
        ) from error
    return witness


def _parse(record: Any) -> Witness | None:
    """Other records may be there, for other purposes."""
    if record.key != ORIGIN_KEY.encode() or record.value is None:
        return None
    try:
        return Witness(Origin.parse(record.value).identity, record.timestamp / 1000)
    except ValueError:
        return None
