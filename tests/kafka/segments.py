"""Reads the segment files of a broker on this machine: what really is in a partition, control batches included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiokafka.record.memory_records import MemoryRecords


def empty_control_batches(data_dir: Path, topic: str, partition: int) -> int:
    """How many control batches of a partition hold no record any more."""
    return sum(
        batch.is_control_batch and next(iter(batch), None) is None for batch in _batches(data_dir, topic, partition)
    )


def record_count(data_dir: Path, topic: str, partition: int) -> int:
    """How many records of any kind, markers included, a partition holds."""
    return sum(len(list(batch)) for batch in _batches(data_dir, topic, partition))


def _batches(data_dir: Path, topic: str, partition: int) -> Iterator[Any]:
    directories = list(data_dir.rglob(f"{topic}-{partition}"))
    assert directories, f"no log of {topic}-{partition} below {data_dir}"
    for directory in directories:
        for segment in sorted(directory.glob("*.log")):
            records = MemoryRecords(segment.read_bytes())
            while records.has_next():
                yield records.next_batch()
