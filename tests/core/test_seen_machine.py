"""`SeenSessions` and `sort_rows` against a Python dictionary of whole ids, with crashes: a Hypothesis state machine."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.core.event import Reason
from collector.core.seen import CHUNK_BYTES, HOUR_S, Expiry, Marks, SeenSessions, Writes, digest, hour_of
from collector.core.sorting import SortedRows, sort_rows
from tests.core.pages import AID, EPOCH, make_page, regular_id, v6_row

PREFIX = "seen/example/7625/"
ROUNDS = [EPOCH + minute * 60 for minute in (0, 1, 2, 59, 60, 61, 125, 300)]
SUFFIXES = ["aaaaaaaa", "aaaaaaab", "zzzzzzzz", "00000000", "\x00\x00\x00\x00\x00\x00\x00\x01", "A-b_c.d~"]
OTHER_IDS = [
    "x",
    "é" * 8,
    f"07625:{EPOCH}:éééééééé",
    f"7625:{EPOCH}:aaaaaaaa",
    "07625::aaaaaaaa",
    ":" * 9,
    "a" * 1024,
    "\ud800",
]

ids = st.one_of(
    st.builds(regular_id, st.sampled_from(ROUNDS), st.sampled_from(SUFFIXES)),
    st.builds(regular_id, st.sampled_from(ROUNDS), st.just("ninechars")),
    st.sampled_from(OTHER_IDS),
)
foreign_ids = st.builds(regular_id, st.sampled_from(ROUNDS), st.sampled_from(SUFFIXES), st.sampled_from(["9", "76250"]))
rows = st.builds(
    lambda identifier, round_id, date: v6_row(identifier, date, round_id),
    st.one_of(ids, ids, ids, foreign_ids),
    st.sampled_from(ROUNDS),
    st.sampled_from(ROUNDS),
)
consistent_rows = st.builds(
    lambda round_id, end: v6_row(regular_id(round_id, end), round_id),
    st.sampled_from(ROUNDS),
    st.sampled_from(SUFFIXES),
)


class SeenMachine(RuleBasedStateMachine):
    """Pages arrive; each is committed and applied, lost, or committed by a process that dies before it knows."""

    @initialize()
    def start(self) -> None:
        self.durable: dict[str, bytes] = {}
        self.kept_from = 0
        self.model: dict[str | bytes, int] = {}  # what was published: id or digest -> its hour
        self.faded: set[str | bytes] = set()  # published, older than `kept_from`: may be remembered, need not
        self.seen = SeenSessions(PREFIX, AID)

    # --- pages ---

    @rule(
        page=st.lists(st.one_of(rows, consistent_rows), min_size=1, max_size=12),
        letters=st.lists(st.sampled_from([b"one", b"two", b"three"]), max_size=2, unique=True),
        expire_to=st.sampled_from([None, None, *ROUNDS]),
        fate=st.sampled_from(["applied", "applied", "lost", "committed but not applied"]),
    )
    def page(self, page: list[dict[str, Any]], letters: list[bytes], expire_to: int | None, fate: str) -> None:
        result = sort_rows(make_page(page), AID, self.seen)
        fresh = self.fresh_by_the_model(page, result)
        marks = result.marks()
        new_letters = [value for value in map(digest, letters) if not self.seen.has_digest(value)]
        if new_letters:
            marks.digests[hour_of(EPOCH)] = new_letters
        writes, expiry = self.seen.write(marks), self.seen.expire(expire_to or 0)
        if fate == "lost":
            return self.crash_and_restore()
        self.commit(fresh, marks, writes, expiry)
        if fate == "applied":
            self.seen.apply(writes, expiry)
            return None
        return self.crash_and_restore()

    def fresh_by_the_model(self, page: list[dict[str, Any]], result: SortedRows) -> dict[str | bytes, int]:
        """What the model takes for fresh, compared row by row with the result."""
        fresh: dict[str | bytes, int] = {}
        suspects = dict(result.suspects)
        for index, row in enumerate(page):
            identifier, round_id = row["userSessionId"], row["roundId"]
            if identifier in self.model or identifier in fresh:
                assert index not in result.fresh(), f"published twice: {identifier!a}"
                continue
            if index in suspects:
                assert suspects[index] in (Reason.WRONG_ACCOUNT_GROUP, Reason.LATE)
                continue
            if identifier in self.faded and index not in result.fresh():
                continue
            assert index in result.fresh(), f"taken for seen, and never published: {identifier!a}"
            irregular = {i: hour for i, hour, _ in result.irregular}
            fresh[identifier] = irregular.get(index, hour_of(round_id))
        assert len(result.fresh()) + len(suspects) + result.seen == len(page)
        return fresh

    def commit(self, fresh: dict[str | bytes, int], marks: Marks, writes: Writes, expiry: Expiry) -> None:
        self.model |= fresh
        self.model |= {value: hour for hour, values in marks.digests.items() for value in values}
        for key, value in (*writes.changes, *expiry.changes):
            if value is None:
                self.durable.pop(key, None)
            else:
                self.durable[key] = value
        self.kept_from = expiry.kept_from
        self.faded |= {key for key, hour in self.model.items() if hour < self.kept_from}
        self.model = {key: hour for key, hour in self.model.items() if hour >= self.kept_from}

    @rule()
    def crash_and_restore(self) -> None:
        self.seen = SeenSessions(PREFIX, AID, self.kept_from)
        for key, value in self.durable.items():
            self.seen.restore(key, value)

    # --- invariants ---

    @invariant()
    def remembers_what_was_committed(self) -> None:
        for key in self.model:
            known = self.seen.has_digest(key) if isinstance(key, bytes) else self.seen.has_id(key)
            assert known, f"forgotten: {key!a}"

    @invariant()
    def remembers_nothing_else(self) -> None:
        for identifier in (*OTHER_IDS, *(regular_id(r, s) for r in ROUNDS for s in SUFFIXES)):
            assert identifier in self.model or identifier in self.faded or not self.seen.has_id(identifier)

    @invariant()
    def knows_how_far_back_it_remembers(self) -> None:
        assert self.seen.kept_from == self.kept_from

    @invariant()
    def chunks_are_bounded(self) -> None:
        assert all(len(value) <= CHUNK_BYTES for value in self.durable.values())

    def teardown(self) -> None:
        """Hours that are over leave nothing behind in the durable state."""
        if hasattr(self, "seen"):
            expiry = self.seen.expire(EPOCH + 1_000 * HOUR_S)
            self.commit({}, Marks(), self.seen.write(Marks()), expiry)
            assert self.durable == {}


SeenMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=30)
TestSeen = SeenMachine.TestCase
