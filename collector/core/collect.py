"""Turns one page into what is published: fresh sessions into events, bad rows into dead letters, and the state.

Rule: decides only. It reads `SeenSessions` and changes nothing; what it returns goes back to `SeenSessions.apply` and
`Progress.apply` after the commit. Each row is one of: seen (nothing to do), fresh (an event), changed (counted, or an
event too), late (what `Choices` says), or a dead letter, once: its digest is remembered as seen, so that the overlap
does not repeat it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collector.core.acceptance import Acceptance, Refusal
from collector.core.chunks import CONTENT_MASK
from collector.core.event import DeadLetter, EventForm, Provenance, Reason, late_event, revision_event
from collector.core.identity import Late, Notice, Revisions
from collector.core.lateness import Counts, latenesses
from collector.core.limits import RecordLimits
from collector.core.model import Lane, Page, Record, Row
from collector.core.schema import SessionSchema, Violation
from collector.core.seen import Marks, Published, digest, hour_of
from collector.core.sorting import Candidate, SortedRows, Variant, sort_rows
from collector.core.walk import UNTOLD, Commits

IDENTIFIER_CHARACTERS_MAX = 256
"""How much of a bad row's session id becomes the dead letter's key: it is for people, and must not outgrow the row."""

SECOND_CHARACTERS = len("2017-03-22 11:58:44")
"""A time to the second, in either form."""

SAMPLE_SESSIONS = 20
"""Sessions of a page whose freshness is measured: a thousand would cost more than their schema."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator wants of sessions that changed, and of those older than the ids that are kept."""

    revisions: Revisions = Revisions.DROP
    late: Late = Late.DEAD_LETTER


@dataclass(frozen=True, slots=True)
class Collected:
    """One page, ready to be published.

    Args:
        records: events, then dead letters; none any more once they were published.
        marks: what the page's rows are remembered by.
        events: how many of the records are events.
        revisions: how many of the events are another content of a published session.
        sample: some of the fresh sessions, evenly spread, for freshness and the live view. All of them would hold a
            page's memory while it waits for its commit.
        rounds: ``roundId`` of the page's rows in their order, for the walk.
        commits: when they were committed, for the walk.
        seen: rows that lead to no record.
        dead_letters: rows that became dead letters, by reason.
        notices: rows that must not go by in silence, by kind, each once.
        examples: the session id of one of them, by kind.
        lateness: how late the events' sessions were committed.
        belongs_elsewhere: the page has rows and every one names another account group: nothing may be published.
    """

    records: list[Record]
    marks: Marks
    events: int
    revisions: int
    sample: Sequence[Row]
    rounds: Sequence[int]
    commits: Commits
    seen: int
    dead_letters: Mapping[Reason, int]
    notices: Mapping[Notice, int]
    examples: Mapping[Notice, str]
    lateness: Counts
    belongs_elsewhere: bool


@dataclass(slots=True)
class _InHand:
    """The page that is being decided about, and what was decided so far."""

    page: Page
    seen: Published
    provenance: Provenance
    rows: SortedRows
    letters: dict[int, Refusal]
    marks: Marks = field(default_factory=Marks)
    notices: Counter[Notice] = field(default_factory=Counter)
    examples: dict[Notice, str] = field(default_factory=dict)

    def notice(self, kind: Notice, index: int) -> None:
        self.notices[kind] += 1
        if kind not in self.examples:
            self.examples[kind] = _identifier(self.page, index) or ""

    @property
    def hour(self) -> int:
        """Where rows are remembered whose own hour may be gone: outlives every window that can show them again."""
        return hour_of(self.provenance.window.end)


class PageCollector:
    """Collects the pages of one account group.

    Args:
        schema: what an event must fulfil.
        form: how events are written.
        value_bytes_max: larger values become dead letters, cut to this size; bytes.
        choices: of the operator.
        limits: what Kafka takes at the moment, if that is less.
    """

    def __init__(
        self,
        schema: SessionSchema,
        form: EventForm,
        value_bytes_max: int,
        choices: Choices | None = None,
        *,
        limits: RecordLimits | None = None,
    ) -> None:
        self._limits = limits or RecordLimits()
        self._acceptance = Acceptance(schema, form, value_bytes_max, self._limits)
        self._value_bytes_max = value_bytes_max
        self.choices = choices or Choices()

    def collect(self, page: Page, seen: Published, provenance: Provenance) -> Collected:
        """Decide about every row of a page; ``page.rows`` is used up (rows are changed into events)."""
        commits = _commits(page.rows)
        rows = sort_rows(page, provenance.aid, seen)
        elsewhere = 0 < len(rows.suspects) == len(page.rows) and all(
            reason is Reason.WRONG_ACCOUNT_GROUP for _, reason in rows.suspects
        )
        letters = {index: (reason, Violation("", _SENTENCES[reason])) for index, reason in rows.suspects}
        hand = _InHand(page, seen, provenance, rows, letters)
        sessions, records, variants = self._fresh(hand)
        late_records, late_variants = self._late(hand) if rows.late else ([], [])
        revisions = self._revisions(hand, [*variants, *late_variants])
        records = [*records, *late_records, *revisions]
        dead = self._dead_letters(hand)
        return Collected(
            records=[*records, *(self._limits.cut(letter, provenance) for letter in dead)],
            marks=hand.marks,
            events=len(records),
            revisions=len(revisions),
            sample=sessions[:: -(-len(sessions) // SAMPLE_SESSIONS)] if sessions else (),
            rounds=rows.rounds,
            commits=commits,
            seen=len(page.rows) - len(records) - len(dead),
            dead_letters=Counter(letter.reason for letter in dead),
            notices=hand.notices,
            examples=hand.examples,
            lateness=latenesses(sessions, provenance.collected_at if provenance.lane == Lane.SWEEP else None),
            belongs_elsewhere=elsewhere,
        )

    def _fresh(self, hand: _InHand) -> tuple[list[Row], list[Record], list[Variant]]:
        """The fresh sessions, their events, and all rows with another content of a published session."""
        rows = hand.rows
        sessions, records, bad = self._accept(hand, rows.fresh_rows())
        if not bad and not rows.siblings:
            rows.mark_fresh(hand.marks)
            return sessions, records, rows.variants
        good = self._first_of_each(hand, rows.fresh(), sessions, records, bad)
        for candidate in good:
            hand.marks.add(candidate.place, candidate.checks)
        return sessions, records, [*rows.variants, *(v for candidate in good for v in rows.siblings_of(candidate))]

    def _first_of_each(
        self,
        hand: _InHand,
        candidates: Sequence[Candidate],
        sessions: list[Row],
        records: list[Record],
        bad: set[int],
    ) -> list[Candidate]:
        """The candidates that become events: for one that cannot, the next row of its identity may."""
        good = [candidate for candidate in candidates if candidate.row not in bad]
        siblings = hand.rows.siblings
        for candidate in candidates:
            behind = siblings.get(candidate.row, ()) if candidate.row in bad else ()
            for position, (index, checks) in enumerate(behind):
                accepted, record, refused = self._accept(hand, [index])
                if not refused:
                    good.append(Candidate(index, candidate.place, checks))
                    siblings[index] = list(behind[position + 1 :])
                    sessions += accepted
                    records += record
                    break
        return good

    def _late(self, hand: _InHand) -> tuple[list[Record], list[Variant]]:
        """What becomes of sessions older than the ids that are kept: records, and other contents of them."""
        rows = hand.rows
        if self.choices.late is Late.PUBLISH:
            at_end = [candidate._replace(place=candidate.place._replace(time_s=hand.hour)) for candidate in rows.late]
            sessions, records, bad = self._accept(hand, [candidate.row for candidate in at_end])
            good = self._first_of_each(hand, at_end, sessions, records, bad)
            for candidate in good:
                hand.marks.add(candidate.place, candidate.checks)
                hand.notice(Notice.LATE, candidate.row)
            return [late_event(record) for record in records], [v for c in good for v in rows.siblings_of(c)]
        for candidate in rows.late:
            if self.choices.late is Late.DEAD_LETTER:
                for index in (candidate.row, *(index for index, _ in rows.siblings.get(candidate.row, ()))):
                    hand.letters[index] = (Reason.LATE, Violation("", _SENTENCES[Reason.LATE]))
            else:
                value = digest(b"late " + candidate.place.key.encode("utf-8", "surrogatepass"))
                if not hand.seen.has_digest(value):
                    hand.marks.digests.setdefault(hand.hour, []).append(value)
                    hand.notice(Notice.LATE, candidate.row)
        return [], []

    def _revisions(self, hand: _InHand, variants: Sequence[Variant]) -> list[Record]:
        """Notices other contents of published sessions; their events, if they are wanted."""
        known = []
        for variant in variants:
            if variant.kind is Notice.TOO_MANY:
                hand.notice(variant.kind, variant.row)
            else:
                known.append(variant)
        records: list[Record] = []
        if self.choices.revisions is Revisions.PUBLISH:
            _, written, bad = self._accept(hand, [variant.row for variant in known])
            known = [variant for variant in known if variant.row not in bad]
            for variant, record in zip(known, written, strict=True):
                records.append(revision_event(record, variant.number, variant.checks & CONTENT_MASK))
        for variant in known:
            hand.marks.add(variant.place, variant.checks)
            hand.notice(variant.kind, variant.row)
        return records

    def _accept(self, hand: _InHand, rows: Sequence[int]) -> tuple[list[Row], list[Record], set[int]]:
        """Rows as events: sessions, records, and which rows cannot become one (each gets a letter)."""
        sessions, records, violations = self._acceptance.accept(
            hand.page, rows, hand.provenance, hand.seen.form.by_page
        )
        hand.letters |= violations
        return sessions, records, set(violations)

    def _dead_letters(self, hand: _InHand) -> list[DeadLetter]:
        """The dead letters that were not written before; adds their digests to the marks."""
        result = []
        page, seen = hand.page, hand.seen
        taken: set[bytes] = set()
        for index in sorted(hand.letters):
            reason, violation = hand.letters[index]
            source_bytes = page.source_bytes(index)
            value = digest(source_bytes)
            if value in taken or seen.has_digest(value):
                continue
            taken.add(value)
            cut = source_bytes[: self._value_bytes_max]
            total = len(source_bytes) if len(cut) < len(source_bytes) else None
            identifier = _identifier(page, index)
            result.append(DeadLetter(cut, reason, violation.message, violation.pointer, identifier, total))
            if reason is Reason.LATE:
                hand.notice(Notice.LATE, index)
        if taken:
            hand.marks.digests.setdefault(hand.hour, []).extend(sorted(taken))
        return result


def _commits(rows: Sequence[object]) -> Commits:
    """When the rows of a page were committed: both API versions write times that sort as text, to the second."""
    told = [row.get("committed") for row in rows if type(row) is dict]
    times = [time[:SECOND_CHARACTERS] for time in told if type(time) is str]
    if not times:
        return UNTOLD
    ascending = sorted(times)
    return Commits(ascending[0], ascending[-1], in_order=times == ascending)


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
