"""Runs a schedule against a trace in virtual time: the collector's own budget, clock and schedule, without its I/O.

What it does is what `collector.organization` does: a few walkers wait at the gate until the budget lets the next
request leave, the next pages of a walk before other walks' first ones; whoever has no walk under way takes a turn then,
not before; and they tell budget and schedule what came of it. The API is a quota, a latency and the sessions of the
trace. A day of 250,000 requests takes a minute.

Delay: from when the API could show a session to when it can be read from the topic.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from collector.core.budget import RequestBudget
from collector.core.model import EpochS, MonoS, Quota
from collector.core.quota_window import SentRequest
from collector.core.schedule import Turn
from collector.core.server_clock import ServerClock
from collector.organization.gate import AHEAD_REQUESTS_MAX
from tests.core.pages import EPOCH
from tests.core.quota_server import QuotaServer
from tests.freshness.traces import Trace

MIDNIGHT = float(EPOCH // 86_400 * 86_400)
LIMIT = 240
SHARE = 0.8
CAPACITY_PER_S = LIMIT * SHARE / 60.0
WALKERS = 4
LATENCY_S = 0.2
"""Of an answer, there and back."""

COMMIT_S = 0.05
"""From an answer to its sessions being readable: one transaction."""

FIXED_S = LATENCY_S / 2 + COMMIT_S
"""What no schedule can change."""

ROWS_A_PAGE = 1_000
BIN_S = 0.1


class Schedule(Protocol):
    """What the driver needs of a schedule; `collector.core.schedule.PollSchedule` has it."""

    def account_groups(self, aids: list[str], now: MonoS) -> None: ...
    def capacity(self, requests_per_s: float) -> None: ...
    def next(self, now: MonoS) -> Turn | MonoS | None: ...
    def page(self, turn: Turn, now: MonoS) -> None: ...
    def finished(
        self,
        turn: Turn,
        started: MonoS,
        now: MonoS,
        *,
        pages: int,
        arrivals: int,
        caught_up: bool,
        duration_s: float | None = None,
        server_now: EpochS | None = None,
    ) -> None: ...


@dataclass(slots=True)
class Delays:
    """Delays of sessions, counted by tenths of a second."""

    counts: dict[int, int] = field(default_factory=dict)
    sum_s: float = 0.0
    sessions: int = 0

    def add(self, delay_s: float) -> None:
        """Count one."""
        place = int(delay_s / BIN_S)
        self.counts[place] = self.counts.get(place, 0) + 1
        self.sum_s += delay_s
        self.sessions += 1

    @property
    def mean_s(self) -> float:
        """The mean delay of all sessions."""
        return self.sum_s / self.sessions

    def percentile_s(self, part: float) -> float:
        """The delay that this part of the sessions does not exceed."""
        wanted, passed = part * self.sessions, 0
        for place in sorted(self.counts):
            passed += self.counts[place]
            if passed >= wanted:
                return (place + 1) * BIN_S
        raise AssertionError("nothing was counted")


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    delays: Delays
    requests: int
    polls: int
    rejected: int
    hourly_mean_s: list[float]
    duration_s: float


@dataclass(slots=True)
class _Walk:
    """A walk under way: its turn, when it was handed out, the end of its window, its rows and pages."""

    turn: Turn
    started: MonoS
    window_end: int
    first_row: int = 0
    end_row: int = 0
    pages: int = 1
    asked: int = 0
    arrivals: int = 0
    asked_at: float = 0.0
    request: SentRequest | None = None


class Driver:
    """One organization of one run.

    Args:
        trace: its sessions.
        schedule: decides.
        overlap_s: how far each window reaches back; what it holds again costs pages.
        measured_from_s: sessions that became visible before are not counted.
        seed: of the budget's jitter.
    """

    def __init__(
        self, trace: Trace, schedule: Schedule, *, overlap_s: float, measured_from_s: float, seed: int = 1
    ) -> None:
        self._trace, self._schedule = trace, schedule
        self._overlap_s, self._measured_from_s = overlap_s, measured_from_s
        self._budget = RequestBudget(SHARE, Random(seed))
        self._server = QuotaServer(LIMIT)
        self._clock = ServerClock(MIDNIGHT, MonoS(0.0))
        self._now = 0.0
        # All mutable state. `_passed_over`: sessions that could be seen but are younger than the window's end.
        self._next = [0] * len(trace.committed)
        self._passed_over: list[list[int]] = [[] for _ in trace.committed]
        self._ahead: deque[_Walk] = deque()
        self._waiting: deque[_Walk | None] = deque([None] * WALKERS)  # None: a walker without a walk
        self._asleep = 0
        self._again_at = math.inf
        self._answers: list[tuple[float, int, _Walk, tuple[int, Quota, EpochS]]] = []
        self._sent = 0
        self._delays = Delays()
        self._hours = [(0, 0.0)] * math.ceil(trace.duration_s / 3_600)
        self._polls = 0

    def run(self) -> Outcome:
        """Run to the trace's end."""
        aids = [str(index) for index in range(len(self._trace.committed))]
        self._schedule.account_groups(aids, MonoS(0.0))
        while self._now < self._trace.duration_s:
            ready_at = self._let_leave()
            answer_at = self._answers[0][0] if self._answers else math.inf
            then = min(self._again_at, ready_at, answer_at)
            assert self._now <= then < math.inf, "nothing goes on"
            self._now = then
            if self._again_at <= self._now:
                self._wake()
            while self._answers and self._answers[0][0] <= self._now:
                self._answered(*heapq.heappop(self._answers)[2:])
        hourly = [total / count if count else 0.0 for count, total in self._hours]
        return Outcome(self._delays, self._sent, self._polls, self._server.rejected_ours, hourly, self._now)

    def _let_leave(self) -> float:
        """Send what may leave; returns when the next one may."""
        while self._ahead or self._waiting:
            ready_at = self._budget.ready_at(MonoS(self._now))
            if ready_at > self._now:
                return ready_at
            walk = self._ahead.popleft() if self._ahead else self._waiting.popleft() or self._take_turn()
            if walk is not None:
                self._send(walk)
        return math.inf

    def _take_turn(self) -> _Walk | None:
        """A turn for a walker without a walk; there may be none, then it sleeps."""
        turn = self._schedule.next(MonoS(self._now))
        if isinstance(turn, Turn):
            return _Walk(turn, MonoS(self._now), int(self._clock.now(MonoS(self._now)) - MIDNIGHT))
        self._asleep += 1
        self._again_at = min(self._again_at, math.inf if turn is None else turn)
        return None

    def _wake(self) -> None:
        """Something changed: walkers without a walk look again."""
        self._waiting.extend([None] * self._asleep)
        self._asleep, self._again_at = 0, math.inf

    def _send(self, walk: _Walk) -> None:
        self._schedule.page(walk.turn, MonoS(self._now))
        walk.request = self._budget.sent(MonoS(self._now))
        self._sent += 1
        walk.asked_at = self._now + LATENCY_S / 2
        answer = self._server.request(MIDNIGHT + walk.asked_at)
        heapq.heappush(self._answers, (self._now + LATENCY_S, self._sent, walk, answer))

    def _answered(self, walk: _Walk, answer: tuple[int, Quota, EpochS]) -> None:
        status, quota, date = answer
        now = MonoS(self._now)
        assert walk.request is not None, "an answer without a request"
        self._clock.observe(date, now)
        self._budget.answered(walk.request, status, quota, date, now)
        self._schedule.capacity(self._budget.rate())
        if status == 429:
            self._waiting.append(walk)
            return
        if walk.asked == 0:
            self._lay_out(walk)
        walk.asked += 1
        self._collect(walk)
        if walk.asked < walk.pages:
            (self._ahead if walk.asked < AHEAD_REQUESTS_MAX else self._waiting).append(walk)
            return
        self._polls += 1
        self._waiting.append(None)
        self._schedule.finished(
            walk.turn,
            walk.started,
            now,
            pages=walk.pages,
            arrivals=walk.arrivals,
            caught_up=True,
            server_now=self._clock.now(now),
        )
        self._wake()

    def _lay_out(self, walk: _Walk) -> None:
        """Which rows the walk's window holds, oldest first, the overlap with the one before included: in pages."""
        group = int(walk.turn.aid)
        committed = self._trace.committed[group]
        walk.first_row = min(bisect_left(committed, walk.window_end - self._overlap_s), self._next[group])
        walk.end_row = bisect_left(committed, walk.asked_at)
        walk.pages = max(1, math.ceil((walk.end_row - walk.first_row) / ROWS_A_PAGE))

    def _collect(self, walk: _Walk) -> None:
        """Count the sessions of a page that the walk is the first to find."""
        group = int(walk.turn.aid)
        committed, dates = self._trace.committed[group], self._trace.dates[group]
        end = min(walk.end_row, walk.first_row + walk.asked * ROWS_A_PAGE)
        passed_over = []
        readable_at = self._now + COMMIT_S
        for index in (*self._passed_over[group], *range(self._next[group], end)):
            if dates[index] > walk.window_end:
                passed_over.append(index)
                continue
            walk.arrivals += 1
            if committed[index] >= self._measured_from_s:
                delay_s = readable_at - committed[index]
                self._delays.add(delay_s)
                hour = int(committed[index] // 3_600)
                count, total = self._hours[hour]
                self._hours[hour] = (count + 1, total + delay_s)
        self._next[group] = max(end, self._next[group])
        self._passed_over[group] = passed_over
