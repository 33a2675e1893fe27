"""Turns rows into events, or says why one cannot become an event.

Rule: a page is validated and written as a whole, because almost every page is fine; only one that is not is looked at
row by row. Nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from collector.core.event import EventForm, Provenance, Reason, events
from collector.core.limits import RecordLimits, bytes_of
from collector.core.model import Page, Record, Row
from collector.core.schema import MESSAGE_CHARACTERS_MAX, SessionSchema, Violation

RECORD_OVERHEAD_BYTES = 1_024
"""What an event may have besides its value (key and headers) before that counts against the value's bound."""

_value = attrgetter("value")

Refusal = tuple[Reason, Violation]
"""Why a row is a dead letter."""


class Acceptance:
    """What an event must fulfil.

    Args:
        schema: of its value.
        form: how it is written.
        value_bytes_max: largest value, bytes.
        limits: what Kafka takes at the moment, if that is less.
    """

    def __init__(self, schema: SessionSchema, form: EventForm, value_bytes_max: int, limits: RecordLimits) -> None:
        self._schema = schema
        self._form = form
        self._value_bytes_max = value_bytes_max
        self._limits = limits

    def accept(
        self, page: Page, rows: Sequence[int], provenance: Provenance, by_page: bool
    ) -> tuple[list[Row], list[Record], dict[int, Refusal]]:
        """Turn rows into events.

        Args:
            page: its rows are used up (changed into sessions).
            rows: which of them.
            provenance: where and when the page was collected.
            by_page: whether each page row is an event of its own.

        Returns:
            Sessions and their events, in the order of ``rows``, and why the others cannot become one.
        """
        normalise, aid = page.form.normalise, provenance.aid
        sessions = [normalise(page.rows[row], aid) for row in rows]
        records = self._all(sessions, provenance, by_page)
        if records is not None:
            return sessions, records, {}
        good: list[Row] = []
        records, refused = [], {}
        for row, session in zip(rows, sessions, strict=True):
            one = self._one(session, provenance, by_page)
            if isinstance(one[1], Record):
                good.append(one[0])
                records.append(one[1])
            else:
                refused[row] = one
        return good, records, refused

    def _all(self, sessions: Sequence[Row], provenance: Provenance, by_page: bool) -> list[Record] | None:
        """The events of sessions that are all fine; None when one is not."""
        if not self._schema.all_valid(sessions):
            return None
        try:
            records = events(sessions, self._form, provenance, by_page=by_page)
        except (ValueError, TypeError):  # text that is no UTF-8, a time that no calendar has
            return None
        # An id stands in the value, and at most once more in the key and twice in headers: a short value is enough.
        short = self._value_bytes_max // 4
        fits = max(map(len, map(_value, records)), default=0) <= short or all(map(self._fits, records))
        if fits and self._limits.are_narrow:
            fits = not any(self._limits.refusal(record, provenance.collected_at) for record in records)
        return records if fits else None

    def _one(self, session: Row, provenance: Provenance, by_page: bool) -> tuple[Row, Record] | Refusal:
        violation = self._schema.violation(session)
        if violation is not None:
            # An API written in Java may say null for a field that has no value: the same as leaving it out.
            session = {k: v for k, v in session.items() if v is not None or k not in self._schema.optional_fields}
            violation = self._schema.violation(session)
        if violation is not None:
            return Reason.SCHEMA, violation
        try:
            (record,) = events([session], self._form, provenance, by_page=by_page)
        except (ValueError, TypeError) as error:
            message = f"cannot be written as an event: {error}"[:MESSAGE_CHARACTERS_MAX]
            return Reason.UNENCODABLE, Violation("", message)
        if not self._fits(record):
            message = f"{bytes_of(record)} bytes with key and headers, its value may have {self._value_bytes_max}"
            return Reason.TOO_LARGE, Violation("", message)
        refusal = self._limits.refusal(record, provenance.collected_at)
        if refusal is not None:
            return refusal[0], Violation("", refusal[1])
        return session, record

    def _fits(self, record: Record) -> bool:
        """Whether Kafka takes the record: ids are part of key and headers too, and may be as long as they like."""
        return len(record.value) <= self._value_bytes_max and bytes_of(record) <= (
            self._value_bytes_max + RECORD_OVERHEAD_BYTES
        )
