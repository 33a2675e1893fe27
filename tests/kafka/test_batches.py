"""The partitioner and the order of batches, without a broker."""

from __future__ import annotations

import random

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from collector.core.model import Publication, StateChange
from collector.kafka.batches import BatchPlan, partition_of
from tests.kafka.publications import event


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # Expected values of the Java client's own test: apache/kafka, UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partition_is_that_of_the_java_client(key: bytes, hashed: int) -> None:
    """A key goes where the Java client's default partitioner sends it, whatever the number of partitions."""
    for partitions in (1, 3, 8, 1000):
        assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


def test_every_partitions_first_batch_comes_before_any_second_one() -> None:
    """Batches of one partition keep their order, and no partition waits for another one's second batch."""
    plan = BatchPlan(
        events=("events", 3, 1000),
        dead_letters=("dlq", 2, 1000),
        state=("state", 5, 1000),
        new_batch=lambda size: BatchBuilder(size, 0, is_transactional=1),
    )
    rng = random.Random(2)
    records = [event(f"{number:04}", rng.randbytes(100)) for number in range(200)]
    batches = plan.batches(Publication(records, [StateChange("k", b"v"), StateChange("gone", None)]))

    seen: dict[tuple[str, int], int] = {}
    places = []
    for batch in batches:
        place = seen.get((batch.topic, batch.partition), 0)
        seen[batch.topic, batch.partition] = place + 1
        places.append(place)
    assert places == sorted(places)
    assert set(seen) == {("events", 0), ("events", 1), ("events", 2), ("state", 5)}
    assert sum(batch.builder.record_count() for batch in batches) == 202
    assert max(batch.builder.size() for batch in batches) <= 1000
