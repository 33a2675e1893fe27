"""Turns one page into what is published: fresh sessions into events, bad rows into dead letters, and the state.

Rule: decides only. It reads `SeenSessions` and changes nothing; what it returns goes back to `SeenSessions.apply` and
`Progress.apply` after the commit. Each row is one of: seen (nothing to do), fresh (an event), or a dead letter, once:
its digest is remembered as seen, so that the overlap does not repeat it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.core.event import DeadLetter, EventForm, Provenance, Reason, dead_letter, events
from collector.core.model import Page, Record, Row
from collector.core.schema import MESSAGE_CHARACTERS_MAX, SessionSchema, Violation
from collector.core.seen import Marks, SeenSessions, digest, hour_of
from collector.core.sorting import SortedRows, sort_rows

RECORD_OVERHEAD_BYTES = 1_024
"""What an event may have besides its value (key and headers) before that counts against the value's bound."""

HEADER_OVERHEAD_BYTES = 10
"""What Kafka's record format adds to each header, at most."""

IDENTIFIER_CHARACTERS_MAX = 256
"""How much of a bad row's session id becomes the dead letter's key: it is for people, and must not outgrow the row."""

SAMPLE_SESSIONS = 20
"""Sessions of a page whose freshness is measured: a thousand would cost more than their schema."""


@dataclass(frozen=True, slots=True)
class Collected:
    """One page, ready to be published.

    Args:
        records: events, then dead letters.
        marks: what the page's rows are remembered by.
        events: how many of the records are events.
        sample: some of their sessions, evenly spread, for freshness and the live view. All of them would hold a page's
            memory while it waits for its commit.
        rounds: ``roundId`` of the page's rows in their order, for the walk.
        seen: rows that were published before.
        dead_letters: rows that became dead letters, by reason.
        belongs_elsewhere: the page has rows and every one names another account group: nothing may be published.
    """

    records: Sequence[Record]
    marks: Marks
    events: int
    sample: Sequence[Row]
    rounds: Sequence[int]
    seen: int
    dead_letters: Mapping[Reason, int]
    belongs_elsewhere: bool


class PageCollector:
    """Collects the pages of one account group.

    Args:
        schema: what an event must fulfil.
        form: how events are written.
        value_bytes_max: larger values become dead letters, cut to this size; bytes.
    """

    def __init__(self, schema: SessionSchema, form: EventForm, value_bytes_max: int) -> None:
        self._schema = schema
        self._form = form
        self._value_bytes_max = value_bytes_max

    def collect(self, page: Page, seen: SeenSessions, provenance: Provenance) -> Collected:
        """Decide about every row of a page; ``page.rows`` is used up (rows are changed into events)."""
        rows = sort_rows(page, provenance.aid, seen)
        if rows.suspects and all(reason is Reason.WRONG_ACCOUNT_GROUP for _, reason in rows.suspects):
            elsewhere = len(rows.suspects) == len(page.rows)
        else:
            elsewhere = False
        indexes = rows.fresh()
        normalise, aid = page.form.normalise, provenance.aid
        sessions = [normalise(page.rows[index], aid) for index in indexes]
        letters: dict[int, tuple[Reason, Violation]] = {
            index: (reason, Violation("", _SENTENCES[reason])) for index, reason in rows.suspects
        }
        records = self._events(sessions, provenance)
        if records is None:
            sessions, records = self._one_by_one(indexes, sessions, provenance, letters)
        marks = rows.marks(but=letters.keys() - {index for index, _ in rows.suspects})
        dead = self._dead_letters(page, rows, letters, seen, provenance, marks)
        return Collected(
            records=[*records, *(dead_letter(letter, provenance) for letter in dead)],
            marks=marks,
            events=len(sessions),
            sample=sessions[:: -(-len(sessions) // SAMPLE_SESSIONS)] if sessions else (),
            rounds=rows.rounds,
            seen=rows.seen + len(letters) - len(dead),
            dead_letters=Counter(letter.reason for letter in dead),
            belongs_elsewhere=elsewhere,
        )

    def _events(self, sessions: Sequence[Row], provenance: Provenance) -> list[Record] | None:
        """The events of sessions that are all fine; None when one is not."""
        if not self._schema.all_valid(sessions):
            return None
        try:
            records = events(sessions, self._form, provenance)
        except (ValueError, TypeError):  # text that is no UTF-8, a time that no calendar has
            return None
        # An id stands in the value, and at most once more in the key and twice in headers: a short value is enough.
        short = self._value_bytes_max // 4
        fits = all(len(record.value) <= short or self._fits(record) for record in records)
        return records if fits else None

    def _fits(self, record: Record) -> bool:
        """Whether Kafka takes the record: ids are part of key and headers too, and may be as long as they like."""
        return len(record.value) <= self._value_bytes_max and _bytes_of(record) <= (
            self._value_bytes_max + RECORD_OVERHEAD_BYTES
        )

    def _one_by_one(
        self,
        indexes: Sequence[int],
        sessions: Sequence[Row],
        provenance: Provenance,
        letters: dict[int, tuple[Reason, Violation]],
    ) -> tuple[list[Row], list[Record]]:
        """The slow way, for a page with a bad session: those that are fine, and a letter for each that is not."""
        good: list[Row] = []
        records: list[Record] = []
        for index, session in zip(indexes, sessions, strict=True):
            violation = self._schema.violation(session)
            if violation is not None:
                # An API written in Java may say null for a field that has no value: the same as leaving it out.
                session = {k: v for k, v in session.items() if v is not None or k not in self._schema.optional_fields}
                violation = self._schema.violation(session)
            if violation is not None:
                letters[index] = (Reason.SCHEMA, violation)
                continue
            try:
                (record,) = events([session], self._form, provenance)
            except (ValueError, TypeError) as error:
                letters[index] = (
                    Reason.UNENCODABLE,
                    Violation("", f"cannot be written as an event: {error}"[:MESSAGE_CHARACTERS_MAX]),
                )
                continue
            if not self._fits(record):
                message = f"{_bytes_of(record)} bytes with key and headers, its value may have {self._value_bytes_max}"
                letters[index] = (Reason.TOO_LARGE, Violation("", message))
                continue
            good.append(session)
            records.append(record)
        return good, records

    def _dead_letters(
        self,
        page: Page,
        rows: SortedRows,
        letters: Mapping[int, tuple[Reason, Violation]],
        seen: SeenSessions,
        provenance: Provenance,
        marks: Marks,
    ) -> list[DeadLetter]:
        """The dead letters that were not written before; adds their digests to ``marks``."""
        result = []
        hour = hour_of(provenance.window.end)  # outlives every window that can show the row again
        taken: set[bytes] = set()
        for index in sorted(letters):
            reason, violation = letters[index]
            source_bytes = page.source_bytes(index)
            value = digest(source_bytes)
            if value in taken or seen.has_digest(value):
                continue
            taken.add(value)
            cut = source_bytes[: self._value_bytes_max]
            total = len(source_bytes) if len(cut) < len(source_bytes) else None
            identifier = _identifier(page, index)
            result.append(DeadLetter(cut, reason, violation.message, violation.pointer, identifier, total))
        if taken:
            marks.digests[hour] = sorted(taken)
        return result


def _bytes_of(record: Record) -> int:
    headers = sum(len(name) + len(value) + HEADER_OVERHEAD_BYTES for name, value in record.headers)
    return len(record.key) + len(record.value) + headers


def _identifier(page: Page, index: int) -> str | None:
    row = page.rows[index]
    if type(row) is not dict:
        return None
    identifier = row.get("userSessionId", row.get(page.form.id_field))
    return identifier[:IDENTIFIER_CHARACTERS_MAX] if type(identifier) is str and identifier else None


_SENTENCES = {
    Reason.NOT_AN_OBJECT: "the row is no JSON object",
    Reason.NO_IDENTITY: "the row has no session id or no roundId that is an integer",
    Reason.WRONG_ACCOUNT_GROUP: "the session id names another account group than the one that was asked for",
    Reason.LATE: "the session is older than the ids that are kept, so it cannot be told from a published one",
}
