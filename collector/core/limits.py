"""What Kafka takes, beyond what was known at the start: settings of topics can be changed while we run.

Rule: what is known about a record beforehand makes it a dead letter; only what nobody can know is left to a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from collector.core.event import MS_PER_S, DeadLetter, Provenance, Reason, dead_letter
from collector.core.model import EpochS, Record

HEADER_OVERHEAD_BYTES = 10
"""What Kafka's record format adds to each header, at most."""

TRUNCATED_HEADER_BYTES = 64
"""What the header that tells of a cut adds to a dead letter, at most."""


@dataclass(slots=True)
class RecordLimits:
    """Limits of single records. None: no narrower than at the start.

    Mutable, and shared: the Kafka side writes it, whoever makes records reads it.

    Args:
        event_bytes_max: key, value and headers of an event together, 10 bytes more for each header.
        dead_letter_bytes_max: the same of a dead letter.
        event_age_max_s: how far an event's record timestamp may lie behind now, seconds.
    """

    event_bytes_max: int | None = None
    dead_letter_bytes_max: int | None = None
    event_age_max_s: float | None = None

    @property
    def are_narrow(self) -> bool:
        """Whether events have to be looked at one by one."""
        return self.event_bytes_max is not None or self.event_age_max_s is not None

    def refusal(self, event: Record, now: EpochS) -> tuple[Reason, str] | None:
        """Why Kafka would refuse an event; None when it would not."""
        if self.event_bytes_max is not None and bytes_of(event) > self.event_bytes_max:
            sizes = f"{bytes_of(event)} bytes with key and headers, the topic takes {self.event_bytes_max}"
            return Reason.TOO_LARGE, sizes
        if self.event_age_max_s is not None:
            age_s = now - event.timestamp_ms / MS_PER_S
            if age_s > self.event_age_max_s:
                return (
                    Reason.TOO_OLD,
                    f"{age_s:.0f} s old, the topic takes what is up to {self.event_age_max_s:.0f} s old",
                )
        return None

    def cut(self, letter: DeadLetter, provenance: Provenance) -> Record:
        """A dead letter's record, with as much of the row as its topic takes."""
        record = dead_letter(letter, provenance)
        if self.dead_letter_bytes_max is None or bytes_of(record) <= self.dead_letter_bytes_max:
            return record
        room = self.dead_letter_bytes_max - (bytes_of(record) - len(record.value)) - TRUNCATED_HEADER_BYTES
        total = letter.source_bytes_total or len(letter.source_bytes)
        beginning = letter.source_bytes[: max(0, room)]
        return dead_letter(replace(letter, source_bytes=beginning, source_bytes_total=total), provenance)


def bytes_of(record: Record) -> int:
    """What a record takes in a batch, besides a few bytes of its own."""
    headers = sum(len(name) + len(value) + HEADER_OVERHEAD_BYTES for name, value in record.headers)
    return len(record.key) + len(record.value) + headers
