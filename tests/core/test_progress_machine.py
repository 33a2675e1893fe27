"""`Progress` with its ledger, `Walk` and `SeenSessions` together against a model of the API, with crashes anywhere.

The model API: sessions take place, and are committed up to the late horizon later; a page shows what is committed when
it is fetched; some rounds cannot be read to their end. Whatever happens to walks, every session within coverage is
published once, none twice, and the ledger says exactly what was walked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.core.chunks import KEEP_MARGIN_S
from collector.core.collect import Collected
from collector.core.ledger_entries import Trouble, Why
from collector.core.model import Destination, EpochS, Lane, Page, PageRequest
from collector.core.progress import Advance, Progress, ProgressSettings
from collector.core.seen import SeenSessions, hour_of
from collector.core.walk import Walk, WalkState
from collector.core.windows import ROUND_S, Sweep
from tests.core.pages import AID, EPOCH, make_collector, make_page, make_provenance, regular_id, suffix, v6_row, v6_time

KEY, PREFIX = "progress/example/7625", "seen/example/7625/"
WALKS_MAX = 400
"""Bounds begin at a minute and double with every walk, slices never exceed 12 h: a month is some 80 of them."""

RETENTION_S = 30 * 86_400
LEDGER_BYTES_MAX = 4_096


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


@dataclass(slots=True)
class Walked:
    """The model of the ledger: what was walked, as plain pairs that are added and never merged by our own code."""

    pairs: list[tuple[int, int]] = field(default_factory=list)

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """What none of the pairs has between ``start`` and ``end``."""
        result, at = [], start
        for a, b in sorted(self.pairs):
            if a > at:
                result.append((at, min(a, end)))
            at = max(at, b)
            if at >= end:
                break
        if at < end:
            result.append((at, end))
        return [(a, b) for a, b in result if a < b]


class ProgressMachine(RuleBasedStateMachine):
    """One account group, a hot walk and another at a time, as the loop does it; trouble and crashes interrupt it."""

    @initialize(
        overlap_s=st.sampled_from([0, 60, 600]),
        late_horizon_s=st.sampled_from([600, 7_200]),
        lookback_s=st.sampled_from([1_800, 20_000]),
        sweeps=st.sampled_from([(), (Sweep(None, 3_600),), (Sweep(1_800, 600), Sweep(None, 3_600))]),
        order=st.sampled_from(["ascending", "ascending", "descending", "shuffled", "committed", "committed, untold"]),
        by_round=st.booleans(),
        page_rows=st.sampled_from([30, 100]),
    )
    def start(
        self,
        overlap_s: int,
        late_horizon_s: int,
        lookback_s: int,
        sweeps: tuple[Sweep, ...],
        order: str,
        by_round: bool,
        page_rows: int,
    ) -> None:
        self.now = EPOCH + 1234.5
        self.settings = ProgressSettings(lookback_s, overlap_s, late_horizon_s, late_horizon_s, sweeps, RETENTION_S)
        self.order, self.by_round, self.page_rows = order, by_round, page_rows
        self.collector = make_collector()
        self.sessions: list[Session] = []
        self.unreadable: set[int] = set()
        self.durable: dict[str, bytes] = {}
        self.published: Counter[str] = Counter()
        self.walked = Walked()
        self.covers_from: int | None = None
        self.restore()

    def restore(self) -> None:
        self.walks: dict[Lane, Walk] = {}
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
        latest_s = self.settings.late_horizon_s if self.settings.sweeps else self.settings.overlap_s
        for _ in range(count):
            date = int(rng.uniform(start, self.now))
            late_s = min(latest_s, rng.choice([0, 0, 2, self.settings.overlap_s, latest_s // 2, latest_s]))
            self.sessions.append(Session(len(self.sessions), date, date + late_s))

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0, 61.0, 599.0, 3600.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.covers_from is not None)
    @rule()
    def a_month_passes(self) -> None:
        """Longer than the API keeps anything."""
        self.walks.clear()
        self.restore()
        self.now += RETENTION_S + 10_000.0

    @precondition(lambda self: len(self.unreadable) < 3)
    @rule(ago_s=st.integers(0, 10_000))
    def a_round_becomes_unreadable(self, ago_s: int) -> None:
        """A window that touches this round leads in a circle, until the trouble ends."""
        self.unreadable.add(int(self.now - ago_s) // ROUND_S * ROUND_S)

    def page(self, request: PageRequest) -> Page:
        window, position = request.window, request.continuation
        rows = [s for s in self.sessions if s.committed <= self.now < s.date + RETENTION_S]
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
        # Rows that do not say when they were committed may be taken for ordered: then only sweeps find what is late.
        told = self.order != "committed, untold" or not self.settings.sweeps
        fields = [{"committed": v6_time(s.committed)} if told else {} for s in here]
        rows = [v6_row(s.identifier, s.date, **more) for s, more in zip(here, fields, strict=True)]
        return make_page(rows, continuation, date=self.now)

    def rank(self, session: Session) -> tuple[int, int]:
        shuffled = session.number * 7919 % 1009
        match self.order:
            case "ascending":
                return session.round_id, shuffled
            case "descending":
                return -session.round_id, shuffled
            case "committed" | "committed, untold":
                return int(session.committed), session.number
        return shuffled, session.number

    # --- walks, as the loop makes them ---

    @rule(
        lane=st.sampled_from([Lane.HOT, Lane.HOT, Lane.CATCH_UP, Lane.SWEEP]),
        estimate_s=st.sampled_from([0.0, 0.0, 0.0, -0.9, -30.0, -1500.0, -3000.0, 30.0, 6000.0]),
    )
    def walk_begins(self, lane: Lane, estimate_s: float) -> None:
        """``estimate_s``: how far the estimate of server time is off before the page's ``Date`` sets it right."""
        others = [other for other in self.walks if (other is Lane.HOT) == (lane is Lane.HOT)]
        if not others and (lane is Lane.HOT or self.covers_from is not None):
            self.begin(lane, self.now + estimate_s)

    def begin(self, lane: Lane, now: float) -> bool:
        opening = self.progress.opening(EpochS(now))
        if opening is not None:
            self.store(opening)
            self.progress.apply(opening)
        if self.covers_from is None and self.progress.ledger is not None:
            self.covers_from = self.progress.ledger.begins
        window = self.progress.begin(lane, EpochS(now))
        if window is None:
            return False
        assert window.start <= window.end
        assert window.start % ROUND_S == 0 or window.start == window.end
        assert window.start >= self.progress.kept_from, "asks for what was forgotten"
        self.walks[lane] = Walk(AID, window, lane=lane, started_at=EpochS(now))
        return True

    @precondition(lambda self: self.walks)
    @rule(
        hot=st.booleans(),
        fate=st.sampled_from(["applied"] * 6 + ["lost", "committed but not applied"]),
        took_s=st.sampled_from([0.1, 0.9, 5.0, 100.0]),
    )
    def page_arrives(self, hot: bool, fate: str, took_s: float) -> None:
        lane = next((lane for lane in self.walks if (lane is Lane.HOT) == hot), next(iter(self.walks)))
        self.take(lane, fate, took_s)

    def take(self, lane: Lane, fate: str = "applied", took_s: float = 0.1) -> None:
        walk, progress, seen = self.walks[lane], self.progress, self.seen
        if any(walk.window.start <= round_id <= walk.window.end for round_id in self.unreadable):
            self.give_up(lane, Trouble.CIRCLE)
            return
        page = self.page(walk.request)
        collected = self.collector.collect(page, seen, make_provenance(walk.window, self.now))
        assert not collected.dead_letters, "a session was taken for one of those that cannot be told apart any more"
        step = walk.step(page, collected.rounds, collected.commits)
        finished = step.state is WalkState.FINISHED
        advance = progress.advance(
            lane, walk.window, walk.started_at, step.proven_until, EpochS(self.now), finished=finished
        )
        writes = seen.write(collected.marks)
        expiry = seen.expire(advance.ledger.kept_from)
        self.now += took_s
        if fate != "lost":
            self.publish(collected)
            self.store(advance, *writes.changes, *expiry.changes)
            if step.proven_until is not None and step.proven_until > walk.window.start:
                self.walked.pairs.append((walk.window.start, step.proven_until))
        if fate != "applied":
            self.restore()
            return
        seen.apply(writes, expiry)
        progress.apply(advance)
        progress.observe(collected.lateness, EpochS(self.now))
        if finished:
            progress.finished(lane, walk.window, walk.pages)
            self.end(lane)

    def end(self, lane: Lane) -> None:
        self.progress.ended(lane)
        del self.walks[lane]

    def publish(self, collected: Collected) -> None:
        for record in collected.records:
            assert record.destination is Destination.EVENTS
            self.published[record.key.decode()] += 1

    def store(self, advance: Advance, *changes: Any) -> None:
        for key, value in (*advance.changes, *changes):
            if value is None:
                self.durable.pop(key, None)
            else:
                self.durable[key] = value

    @precondition(lambda self: self.walks)
    @rule(how=st.sampled_from(["cursor lost", "cursor lost", "API not there", "parked"]))
    def walk_breaks_off(self, how: str) -> None:
        lane = next(iter(self.walks))
        if how == "cursor lost":
            self.give_up(lane, Trouble.CURSOR_LOST)
            return
        self.end(lane)
        if how == "parked":
            advance = self.progress.parked("forbidden", EpochS(self.now))
            self.store(advance)
            self.progress.apply(advance)

    def give_up(self, lane: Lane, trouble: Trouble) -> None:
        advance = self.progress.failed(lane, self.walks[lane].window, trouble, EpochS(self.now))
        self.store(advance)
        self.progress.apply(advance)
        self.end(lane)

    @rule()
    def crash(self) -> None:
        self.restore()

    @rule(walk_s=st.sampled_from([0.1, 3.0, 30.0]))
    def trouble_ends(self, walk_s: float) -> None:
        """Everything works for a while: every lane gets there in a bounded number of walks, and nothing is missing."""
        self.unreadable.clear()
        for lane in list(self.walks):
            self.finish(lane, walk_s)
        self.work_off(walk_s)
        ledger = self.progress.ledger
        assert ledger is not None
        for one in (*ledger.unreadable, *ledger.unreadable):
            self.now = max(self.now, one.retry_at + 1.0)
        self.now += self.settings.late_horizon_s + 3_601.0
        done_at = self.now
        self.work_off(walk_s)
        ledger = self.progress.ledger
        assert ledger is not None
        assert not ledger.unreadable
        lost = [(gap.start, gap.end) for gap in ledger.gaps(EpochS(self.now)) if gap.is_lost]
        missing = [
            session
            for session in self.sessions
            if ledger.floor <= session.date  # else: was never walked late enough for a month
            and session.committed <= done_at
            and session.identifier not in self.published
            and not any(a <= session.date < b for a, b in lost)
        ]
        assert not missing

    def work_off(self, walk_s: float) -> None:
        """Hot until now, and whatever the other lanes have to do."""
        started = self.now
        for _ in range(WALKS_MAX):
            self.begin(Lane.HOT, self.now)
            self.finish(Lane.HOT, walk_s)
            if not any(self.turn(lane, walk_s) for lane in (Lane.CATCH_UP, Lane.SWEEP)):
                break
        else:
            raise AssertionError("does not come to an end")
        ledger = self.progress.ledger
        assert ledger is not None
        assert min([ledger.covered_until, *(one.start for one in ledger.unreadable)]) >= min(
            [int(started), *(one.start for one in ledger.unreadable)]
        )

    def turn(self, lane: Lane, walk_s: float) -> bool:
        due = self.progress.due(lane, EpochS(self.now))
        if due is None or due > self.now:
            return False
        assert self.begin(lane, self.now), f"{lane} was due and has no window"
        self.finish(lane, walk_s)
        return True

    def finish(self, lane: Lane, walk_s: float) -> None:
        while lane in self.walks:
            self.take(lane, took_s=walk_s)

    # --- invariants ---

    @invariant()
    def nothing_twice(self) -> None:
        assert not [identifier for identifier, count in self.published.items() if count > 1]

    @invariant()
    def gaps_are_what_was_not_walked(self) -> None:
        ledger = self.progress.ledger
        if ledger is None:
            return
        gaps = ledger.gaps(EpochS(self.now))
        told: list[tuple[int, int]] = []
        for gap in gaps:
            if told and told[-1][1] == gap.start:
                told[-1] = (told[-1][0], gap.end)
            else:
                told.append((gap.start, gap.end))
        assert told == self.walked.missing(ledger.begins, int(self.now))
        assert all(gap.why is Why.RETENTION for gap in gaps if gap.end <= ledger.floor)

    @invariant()
    def the_watermark_is_the_first_gap_that_is_not_lost(self) -> None:
        ledger = self.progress.ledger
        if ledger is not None and ledger.begins < self.now:
            open_gaps = [gap.start for gap in ledger.gaps(EpochS(self.now)) if not gap.is_lost]
            assert ledger.covered_until == min([*open_gaps, max(ledger.newest, ledger.covered_until)])
            assert ledger.final_until <= ledger.settled_until <= ledger.covered_until

    @invariant()
    def what_is_settled_or_final_is_published(self) -> None:
        ledger = self.progress.ledger
        if ledger is not None:
            for session in self.sessions:
                late_s = session.committed - session.date
                is_settled = late_s <= self.settings.overlap_s and self.order != "committed, untold"
                proven = ledger.settled if is_settled else ledger.final
                if any(a <= session.date < b for a, b in proven):
                    assert session.identifier in self.published

    @invariant()
    def ids_that_may_be_shown_again_are_kept(self) -> None:
        ledger = self.progress.ledger
        if ledger is not None and ledger.kept_from:
            assert ledger.kept_from <= hour_of(self.now - self.settings.late_horizon_s - KEEP_MARGIN_S)
            assert all(ledger.kept_from <= walk.window.start for walk in self.walks.values())

    @invariant()
    def the_ledger_stays_small(self) -> None:
        assert len(self.durable.get(KEY, b"")) < LEDGER_BYTES_MAX


ProgressMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestProgress = ProgressMachine.TestCase
