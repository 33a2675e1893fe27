"""Lets aiokafka 0.14.0 read control batches that compaction has emptied.

The one rule: patch exactly the version this was written for, and trust no other one without trying it.

A commit or abort marker is a control batch of one record. The log cleaner may drop the record and keep the batch
(apache/kafka ``Cleaner``: ``RETAIN_EMPTY``; KAFKA-7467). aiokafka 0.14.0 then raises "Control batch did not contain any
records" at every poll, and a restore would never end. The Java client reads such a batch as "no marker", which is safe:
the cleaner keeps an abort marker as long as data of its transaction remain.

https://issues.apache.org/jira/browse/KAFKA-7467,
https://github.com/aio-libs/aiokafka/blob/v0.14.0/aiokafka/consumer/fetcher.py
"""

from __future__ import annotations

import struct
from typing import Any

import aiokafka
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from collector.errors import StartRefused

PATCHED_VERSION = "0.14.0"

# Offsets inside a record batch, format v2. https://kafka.apache.org/documentation/#recordbatch
_HEADER_BYTES = 61
_LENGTH_AT, _LENGTH_COVERS_FROM = 8, 12
_CRC_AT, _CRC_COVERS_FROM = 17, 21
_ATTRIBUTES_AT = 21
_RECORD_COUNT_AT = 57
_CONTROL_BIT = 0x20


def prepare_reader() -> None:
    """Makes sure that a ``read_committed`` reader of this process gets past empty control batches.

    Raises:
        StartRefused: another aiokafka is installed and does not get past them.
    """
    stock = getattr(fetcher.PartitionRecords, "_contains_abort_marker", None)
    if stock is _contains_abort_marker:
        return
    if aiokafka.__version__ == PATCHED_VERSION and stock is not None:
        fetcher.PartitionRecords._contains_abort_marker = _contains_abort_marker
        return
    if not reads_past_empty_control_batch():
        raise StartRefused(
            f"aiokafka {aiokafka.__version__} cannot read control batches that compaction has emptied, so the restore "
            f"of a shard could stand still for ever; install aiokafka {PATCHED_VERSION}, which the collector corrects"
        )


def _contains_abort_marker(self: Any, batch: Any) -> bool:
    """Replaces ``PartitionRecords._contains_abort_marker``: an emptied batch holds no marker."""
    record = next(batch, None)
    return record is not None and bool(fetcher.ControlRecord.parse(record.key) == fetcher.ABORT_MARKER)


def reads_past_empty_control_batch() -> bool:
    """Whether the installed aiokafka, as it is now, returns the records before and after an emptied control batch."""
    try:
        values = [record.value for record in partition_records(data_batch(0), empty_control_batch(1), data_batch(2))]
    except (KafkaError, AttributeError, TypeError):  # the latter two: its insides have changed, so nothing is proven
        return False
    return values == [b"value-0", b"value-2"]


def partition_records(*batches: bytes) -> Any:
    """aiokafka's ``read_committed`` iterator over batches in memory, as if a broker had sent them."""
    return fetcher.PartitionRecords(
        TopicPartition("memory", 0), MemoryRecords(b"".join(batches)), [], 0, None, None, True, fetcher.READ_COMMITTED
    )


def data_batch(offset: int) -> bytes:
    """A transactional batch of one record ``value-<offset>`` at the given offset."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=1, producer_epoch=0, base_sequence=offset, batch_size=1024
    )
    builder.append(0, timestamp=0, key=b"key", value=f"value-{offset}".encode(), headers=[])
    batch = bytearray(builder.build())
    struct.pack_into(">q", batch, 0, offset)
    return bytes(batch)


def empty_control_batch(offset: int) -> bytes:
    """What compaction leaves of a marker: the header alone, with the control bit, counting no records."""
    batch = bytearray(data_batch(offset)[:_HEADER_BYTES])
    (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES_AT)
    struct.pack_into(">h", batch, _ATTRIBUTES_AT, attributes | _CONTROL_BIT)
    struct.pack_into(">i", batch, _RECORD_COUNT_AT, 0)
    struct.pack_into(">i", batch, _LENGTH_AT, _HEADER_BYTES - _LENGTH_COVERS_FROM)
    struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(bytes(batch[_CRC_COVERS_FROM:])))
    return bytes(batch)
