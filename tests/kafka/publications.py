"""Settings, records and publications for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from collector.core.model import Destination, Publication, Record, StateChange
from collector.kafka.settings import KafkaSettings

EVENT_TIME_MS = 1_700_000_000_000


def settings_for(bootstrap_servers: str, prefix: str, **overrides: Any) -> KafkaSettings:
    """Four topics under a prefix, few partitions, retention for ever: the records of tests are old."""
    values: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers,
        "events_topic": f"{prefix}.events",
        "dead_letters_topic": f"{prefix}.dlq",
        "state_topic": f"{prefix}.state",
        "shards_topic": f"{prefix}.shards",
        "shards": 2,
        "event_partitions": 3,
        "dead_letter_partitions": 2,
        "events_retention_ms": -1,
        "dead_letters_retention_ms": -1,
    }
    return KafkaSettings(**(values | overrides))


def event(key: str, value: bytes = b"{}") -> Record:
    """An event with two headers."""
    return Record(Destination.EVENTS, key.encode(), value, [("ce_id", key.encode()), ("n", b"1")], EVENT_TIME_MS)


def dead_letter(key: str, value: bytes = b"broken") -> Record:
    """A record for the other topic."""
    return Record(Destination.DEAD_LETTERS, key.encode(), value, [("te.errors.aid", b"1")], EVENT_TIME_MS)


def publication(events: Iterable[str] = (), state: dict[str, bytes | None] | None = None) -> Publication:
    """Events by key, and changes of the state."""
    return Publication(
        [event(key) for key in events], [StateChange(key, value) for key, value in (state or {}).items()]
    )
