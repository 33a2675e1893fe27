"""`Progress`, `Walk` and `SeenSessions` together against a model of the API, with crashes anywhere.

The model API: sessions take place, and are committed up to ``overlap`` later; a page shows what is committed when it is
fetched. Whatever happens to walks, every session within coverage is published once, and none twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.core.collect import Collected
from collector.core.model import Destination, EpochS, Page, PageRequest
from collector.core.progress import KEEP_MARGIN_S, ROUND_S, Progress, ProgressSettings
from collector.core.seen import SeenSessions, hour_of
from collector.core.walk import Walk, WalkState
from tests.core.pages import AID, EPOCH, make_collector, make_page, make_provenance, regular_id, suffix, v6_row

KEY, PREFIX = "progress/example/7625", "seen/example/7625/"
WALKS_TO_CATCH_UP_MAX = 60
"""A bound starts at a minute and doubles with every walk: a month is 16 of them."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session of the model API: whole seconds of server time."""

    number: int
    date: int
    committed: int

    @property
    def round_id(self) -> int:
        return self.date // ROUND_S * ROUND_S

    @property
    def identifier(self) -> str:
        return regular_id(self.round_id, suffix(self.number))


class ProgressMachine(RuleBasedStateMachine):
    """One account group, one walk at a time, as the loop does it, and as trouble and crashes interrupt it."""

    @initialize(
        overlap_s=st.sampled_from([0, 60, 600]),
        late_horizon_s=st.sampled_from([600, 3600]),
        order=st.sampled_from(["ascending", "ascending", "descending", "shuffled"]),
        by_round=st.booleans(),
        page_rows=st.sampled_from([30, 100]),
    )
    def start(self, overlap_s: int, late_horizon_s: int, order: str, by_round: bool, page_rows: int) -> None:
        self.now = EPOCH + 1234.5
        self.settings = ProgressSettings(1800, overlap_s, late_horizon_s)
        self.order, self.by_round, self.page_rows = order, by_round, page_rows
        self.collector = make_collector()
        self.sessions: list[Session] = []
        self.durable: dict[str, bytes] = {}
        self.published: Counter[str] = Counter()
        self.covers_from: int | None = None
        self.restore()

    def restore(self) -> None:
        self.walk: Walk | None = None
        self.progress = Progress.restore(KEY, self.settings, self.durable.get(KEY))
        self.seen = SeenSessions(PREFIX, AID, self.progress.kept_from)
        for key, value in self.durable.items():
            if key.startswith(PREFIX):
                self.seen.restore(key, value)

    # --- the model API ---

    @rule(count=st.integers(1, 150), span_s=st.integers(0, 20_000), seed=st.integers(0, 2**16))
    def sessions_take_place(self, count: int, span_s: int, seed: int) -> None:
        rng = Random(seed)
        start, self.now = self.now, self.now + span_s
        for _ in range(count):
            date = int(rng.uniform(start, self.now))
            late_s = rng.choice([0, 2, self.settings.overlap_s // 2, self.settings.overlap_s])
            committed = date + min(late_s, self.settings.overlap_s)
            self.sessions.append(Session(len(self.sessions), date, committed))

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0, 61.0, 599.0, 3600.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    def page(self, request: PageRequest) -> Page:
        window, position = request.window, request.continuation
        rows = [session for session in self.sessions if session.committed <= self.now]
        if self.by_round:
            rows = [s for s in rows if window.start <= s.round_id and s.date <= window.end]
        else:
            rows = [s for s in rows if window.start <= s.date <= window.end]
        rows.sort(key=self.rank)
        if position is not None:
            last = self.rank(self.sessions[int(position)])
            rows = [session for session in rows if self.rank(session) > last]
        here, more = rows[: self.page_rows], len(rows) > self.page_rows
        continuation = str(here[-1].number) if more else None
        return make_page([v6_row(s.identifier, s.date) for s in here], continuation, date=self.now)

    def rank(self, session: Session) -> tuple[int, int]:
        shuffled = session.number * 7919 % 1009
        match self.order:
            case "ascending":
                return session.round_id, shuffled
            case "descending":
                return -session.round_id, shuffled
        return shuffled, session.number

    # --- walks, as the loop makes them ---

    @precondition(lambda self: self.walk is None)
    @rule(estimate_s=st.sampled_from([0.0, 0.0, 0.0, -0.9, -30.0, -1500.0, -3000.0, 30.0, 6000.0]))
    def walk_begins(self, estimate_s: float) -> None:
        """``estimate_s``: how far the estimate of server time is off before the page's ``Date`` sets it right."""
        self.begin(self.now + estimate_s)

    def begin(self, now: float) -> None:
        window = self.progress.next_window(EpochS(now))
        assert window.start <= window.end
        assert window.start % ROUND_S == 0
        assert self.progress.kept_from == 0 or window.start >= self.progress.kept_from, "asks for what was forgotten"
        self.walk = Walk(AID, window, started_at=EpochS(now))

    @precondition(lambda self: self.walk is not None)
    @rule(
        fate=st.sampled_from(["applied"] * 6 + ["lost", "committed but not applied"]),
        took_s=st.sampled_from([0.1, 0.9, 5.0, 100.0]),
    )
    def page_arrives(self, fate: str, took_s: float) -> None:
        self.take(fate, took_s)

    def take(self, fate: str = "applied", took_s: float = 0.1) -> None:
        walk, progress, seen = self.walk, self.progress, self.seen
        assert walk is not None
        page = self.page(walk.request)
        collected = self.collector.collect(page, seen, make_provenance(walk.window, self.now))
        assert not collected.dead_letters, "a session was taken for one of those that cannot be told apart any more"
        step = walk.step(page, collected.rounds)
        advance = progress.advance(walk.window, walk.started_at, step.proven_until, EpochS(self.now))
        writes = seen.write(collected.marks)
        expiry = seen.expire(advance.position.kept_from)
        self.now += took_s
        if fate != "lost":
            self.commit(collected, [*advance.changes, *writes.changes, *expiry.changes], walk)
        if fate != "applied":
            self.restore()
            return
        seen.apply(writes, expiry)
        progress.apply(advance)
        if step.state is WalkState.FINISHED:
            progress.walk_finished(walk.window, walk.started_at)
            self.walk = None

    def commit(self, collected: Collected, changes: list[Any], walk: Walk) -> None:
        for record in collected.records:
            assert record.destination is Destination.EVENTS
            self.published[record.key.decode()] += 1
        for key, value in changes:
            if value is None:
                self.durable.pop(key, None)
            else:
                self.durable[key] = value
        if self.covers_from is None:
            self.covers_from = walk.window.start

    @precondition(lambda self: self.walk is not None)
    @rule(how=st.sampled_from(["cursor lost", "cursor lost", "API not there"]))
    def walk_breaks_off(self, how: str) -> None:
        if self.walk is not None and how == "cursor lost":
            self.progress.walk_failed(self.walk.window)
        self.walk = None

    @rule()
    def crash(self) -> None:
        self.restore()

    @rule(walk_s=st.sampled_from([0.1, 3.0, 30.0]))
    def trouble_ends(self, walk_s: float) -> None:
        """Everything works for a while: now is reached in a bounded number of walks, and nothing is missing."""
        if self.walk is not None:
            self.finish(walk_s)
        for round_of_walks in range(2):
            for _ in range(WALKS_TO_CATCH_UP_MAX):
                started = self.now
                self.begin(self.now)
                self.finish(walk_s)
                if self.progress.caught_up(EpochS(started)):
                    break
            else:
                raise AssertionError("does not catch up")
            if round_of_walks == 0:
                self.now += self.settings.overlap_s + 1.0
        missing = [
            session
            for session in self.sessions
            if self.covers_from is not None
            and self.covers_from <= session.date < int(started)
            and session.committed <= started
            and session.identifier not in self.published
        ]
        assert not missing

    def finish(self, walk_s: float) -> None:
        while self.walk is not None:
            self.take(took_s=walk_s)

    # --- invariants ---

    @invariant()
    def nothing_twice(self) -> None:
        assert not [identifier for identifier, count in self.published.items() if count > 1]

    @invariant()
    def what_is_settled_is_covered(self) -> None:
        position = self.progress.position
        assert position is None or position.settled_until <= position.covered_until

    @invariant()
    def nothing_is_covered_before_it_happens(self) -> None:
        position = self.progress.position
        assert position is None or position.covered_until <= max(self.now, self.covers_from or 0)

    @invariant()
    def what_is_settled_is_published(self) -> None:
        position = self.progress.position
        if position is not None and self.covers_from is not None:
            for session in self.sessions:
                if self.covers_from <= session.date < position.settled_until:
                    assert session.identifier in self.published

    @invariant()
    def ids_that_may_be_shown_again_are_kept(self) -> None:
        position = self.progress.position
        if position is not None and position.kept_from:
            assert position.kept_from <= hour_of(self.now - self.settings.late_horizon_s - KEEP_MARGIN_S)


ProgressMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestProgress = ProgressMachine.TestCase
