"""What is said about partitions that no broker leads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiokafka.structs import TopicPartition

from collector.kafka.leaders import NAMED_MAX, without_leader


class Metadata:
    """What a client knows: nobody leads the events."""

    def leader_for_partition(self, partition: TopicPartition) -> int:
        return -1 if partition.topic == "events" else 1


@pytest.mark.parametrize(("partitions", "named"), [(1, 1), (NAMED_MAX, NAMED_MAX), (NAMED_MAX + 2, NAMED_MAX)])
def test_each_partition_is_named_and_counted_once(partitions: int, named: int) -> None:
    """A transaction may have several batches of a partition; those that are led are not named."""
    producer = SimpleNamespace(client=SimpleNamespace(cluster=Metadata()))
    places = [("events", number) for number in range(partitions)]
    said = without_leader(producer, [("state", 0), *places, *places])
    more = f" and {partitions - named} more" if partitions > named else ""
    words = ", ".join(f"events-{number}" for number in range(named))
    assert said.startswith(f"; no broker leads {words}{more}: look for")
    assert without_leader(producer, [("state", 0)]) == ""
