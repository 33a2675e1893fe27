"""What an event takes in memory. Thousands wait for a commit at a time, so a waste of kilobytes each is megabytes."""

from __future__ import annotations

import tracemalloc

from collector.core.event import EventForm, Provenance, events
from collector.core.model import EpochS, Window

COUNT = 1_000
OTHER_BYTES_MAX = 1_024
"""Key, headers, tuples and lists of one record: some 450 bytes."""


def test_an_event_takes_the_memory_of_its_bytes() -> None:
    """The value of an event holds no larger buffer of the encoder than its own length."""
    date = "2026-08-01T10:00:00Z"
    provenance = Provenance("acme", "1", "hot", Window(0, 1), EpochS(1_790_000_000.0))
    sessions = [
        {"userSessionId": f"00001:1785578400:{number:08d}", "date": date, "visitedSite": "x" * 400}
        for number in range(COUNT)
    ]
    events(sessions[:1], EventForm("urn:test"), provenance)  # what is made once
    tracemalloc.start()
    try:
        records = events(sessions, EventForm("urn:test"), provenance)
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    values_bytes = sum(len(record.value) for record in records)
    assert values_bytes < taken_bytes < values_bytes + COUNT * OTHER_BYTES_MAX
