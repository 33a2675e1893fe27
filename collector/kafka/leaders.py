"""Says which partitions nobody leads, when a publication has failed.

The one rule: it reads what the client knows by then, and asks nobody.

The client tries such a partition again, and says in the end that time ran out or that a leader is not available, but
not where. A partition without a leader has lost its brokers: they are down, cut off, or their disk is full or has
failed. A broker with another disk that works goes on and answers KAFKA_STORAGE_ERROR; one without ends.
https://kafka.apache.org/protocol.html#protocol_error_codes (56)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.structs import TopicPartition

NAMED_MAX = 5
"""Partitions in one message; more add nothing to what has to be done."""


def without_leader(producer: Any, places: Iterable[tuple[str, int]]) -> str:
    """The partitions of a transaction that no broker leads, and what to look at; empty when there are none.

    Args:
        producer: of aiokafka, which has tried to write.
        places: topics and partitions that it wrote to; may be repeated, as each has several batches.
    """
    cluster = producer.client.cluster
    found = [f"{t}-{p}" for t, p in dict.fromkeys(places) if cluster.leader_for_partition(TopicPartition(t, p)) == -1]
    if not found:
        return ""
    more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    return (
        f"; no broker leads {', '.join(found[:NAMED_MAX])}{more}: look for brokers that are down, and for disks of "
        f"theirs that are full or failed"
    )
