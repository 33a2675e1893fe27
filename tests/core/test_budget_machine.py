"""`RequestBudget` under every order of events: state machines of Hypothesis.

One has a quota server that tells the truth, late and in any order. The other tells anything at all.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.core.budget import HOLD_MAX_S, NEVER, RESET_JITTER_S, RequestBudget
from collector.core.model import EpochS, MonoS, Quota
from collector.core.quota_window import SentRequest
from tests.core.pages import EPOCH
from tests.core.quota_server import QuotaServer

CONCURRENCY = 6
ANY_NUMBER = st.one_of(st.integers(0, 300), st.integers(0, 10**18))
ANY_TIME = st.one_of(st.floats(EPOCH - 130.0, EPOCH + 130.0), st.floats(-1e12, 1e12))


@dataclass(slots=True)
class InFlight:
    """A request of ours: on its way to the server, or (with an answer) on its way back."""

    sent: SentRequest
    answer: tuple[int, Quota, EpochS] | None = None


class BudgetMachine(RuleBasedStateMachine):
    """Requests are sent when the budget says so; the server handles, loses and answers them in any order."""

    @initialize(
        limit=st.sampled_from([1, 2, 5, 10, 24, 240]),
        share=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
        seed=st.integers(0, 3),
        anchored=st.booleans(),
    )
    def start(self, limit: int, share: float, seed: int, anchored: bool) -> None:
        self.mono_s = 17.3
        self.share = share
        self.server = QuotaServer(limit, anchored)
        self.budget = RequestBudget(share, Random(seed))
        self.in_flight: list[InFlight] = []
        self.orphans = 0  # requests of processes that are no more, on their way to the server
        self.starts = 1
        self.excess: Counter[float] = Counter()  # what a start could not know, by window
        self.hold_until = -math.inf
        self.unsteady = False  # what was spent before cannot be undone: see where it is set

    @property
    def mono(self) -> MonoS:
        return MonoS(self.mono_s)

    @property
    def server_time(self) -> float:
        return EPOCH + self.mono_s

    # --- time and sending ---

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 0.7, 1.0, 2.5, 10.0, 59.0, 61.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.mono_s += seconds

    @precondition(lambda self: len(self.in_flight) < CONCURRENCY)
    @rule()
    def wait_and_send(self) -> None:
        for _ in range(5):  # a decision may move while one waits for it
            ready = self.budget.ready_at(self.mono)
            if ready == NEVER:
                assert self.in_flight, "waits for an answer, and none is on its way"
                return
            if ready <= self.mono:
                self.in_flight.append(InFlight(self.budget.sent(self.mono)))
                return
            self.mono_s = ready

    @rule()
    def a_burst(self) -> None:
        for _ in range(CONCURRENCY - len(self.in_flight)):
            self.wait_and_send()

    # --- what becomes of requests ---

    @precondition(lambda self: any(request.answer is None for request in self.in_flight))
    @rule(data=st.data(), broken=st.sampled_from([None, None, None, 500, 503]), bare=st.booleans())
    def server_handles(self, data: st.DataObject, broken: int | None, bare: bool) -> None:
        request = data.draw(st.sampled_from([r for r in self.in_flight if r.answer is None]))
        status, quota, date = self.server.request(self.server_time)
        request.answer = (broken or status, quota, date)
        if broken and bare:
            request.answer = (broken, None, date)  # type: ignore[assignment]

    @precondition(lambda self: any(request.answer for request in self.in_flight))
    @rule(data=st.data())
    def answer_arrives(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([r for r in self.in_flight if r.answer]))
        self.in_flight.remove(request)
        assert request.answer is not None
        status, quota, date = request.answer
        # As with a lost one: a probe that was counted, and its answer does not say so.
        self.unsteady = self.unsteady or (quota is None and self.budget.limit is None)
        self.budget.answered(request.sent, status, quota, date, self.mono)
        if status == 429:
            # The true reset: `Date` has whole seconds, so what one answer tells may be a second more than the truth.
            reset = quota.reset_at - EPOCH if quota.reset_at is not None else self.mono + 59.0
            self.hold_until = max(self.hold_until, min(reset, self.mono + HOLD_MAX_S))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), given_up=st.booleans())
    def answer_is_lost(self, data: st.DataObject, given_up: bool) -> None:
        request = data.draw(st.sampled_from(self.in_flight))
        self.in_flight.remove(request)
        # Nothing is known yet, and a probe was lost: the next one cannot know that the quota is this small.
        self.unsteady = self.unsteady or self.budget.limit is None
        (self.budget.abandoned if given_up else self.budget.failed)(request.sent, self.mono)

    # --- other processes of ours ---

    @rule(keeps=st.booleans())
    def another_worker_takes_over(self, keeps: bool) -> None:
        """A new process, or one that had the organization before and has it again."""
        if keeps:
            self.budget.taken_over(self.mono)
            return
        self.orphans += sum(request.answer is None for request in self.in_flight)
        self.in_flight = []
        self.starts += 1
        self.hold_until = -math.inf
        self.budget = RequestBudget(self.share, Random(self.starts))
        self.excess[self.window()] += 1  # its probe

    @precondition(lambda self: self.orphans)
    @rule()
    def an_orphan_reaches_the_server(self) -> None:
        self.orphans -= 1
        self.server.request(self.server_time)
        self.excess[self.window()] += 1

    def window(self) -> float:
        self.server.others_in_window(self.server_time)
        return self.server.window_start

    # --- the others ---

    @rule(count=st.integers(1, 60))
    def others_spend_their_reserve(self, count: int) -> None:
        reserve = math.ceil(self.server.limit * (1 - self.share) - 1e-9)
        for _ in range(min(count, reserve - self.server.others_in_window(self.server_time))):
            self.server.request(self.server_time, ours=False)

    @rule(limit=st.sampled_from([0, 1, 10, 24, 240]))
    def limit_changes(self, limit: int) -> None:
        # Lowered, or refused while our share allowed not even one request: neither can be undone by the new limit.
        self.unsteady = self.unsteady or limit < self.server.limit or self.server.rejected_ours > 0
        self.server.limit = limit

    # --- invariants ---

    @invariant()
    def ours_stay_within_the_share(self) -> None:
        if not self.unsteady:
            allowed = max(1, math.floor(self.server.limit * self.share + 1e-9))
            for window, ours in self.server.ours.items():
                assert ours <= allowed + self.excess[window]

    @invariant()
    def no_429_while_others_leave_our_share(self) -> None:
        if not self.unsteady and math.floor(self.server.limit * self.share + 1e-9) >= 1:
            assert self.server.rejected_ours <= sum(self.excess.values())

    @invariant()
    def waits_are_bounded(self) -> None:
        ready = self.budget.ready_at(self.mono)
        assert ready >= self.mono
        assert ready == NEVER or ready - self.mono <= HOLD_MAX_S + RESET_JITTER_S

    @invariant()
    def never_waits_for_nothing(self) -> None:
        if not self.in_flight:
            assert self.budget.ready_at(self.mono) < NEVER

    @invariant()
    def a_hold_lasts_until_the_reset(self) -> None:
        assert self.budget.ready_at(self.mono) >= self.hold_until

    @invariant()
    def in_flight_is_what_is_on_its_way(self) -> None:
        assert self.budget.in_flight == len(self.in_flight)


class AnyAnswerMachine(RuleBasedStateMachine):
    """The server says anything, in any order, with any clock."""

    @initialize(share=st.floats(0.01, 1.0))
    def start(self, share: float) -> None:
        self.mono_s = 0.0
        self.budget = RequestBudget(share, Random(1))
        self.on_way: list[SentRequest] = []
        self.sent_at = -math.inf

    @rule(seconds=st.one_of(st.sampled_from([0.0, 1.0, 60.0]), st.floats(0.0, 2_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.mono_s += seconds

    @rule(at_most=st.integers(1, 8))
    def send(self, at_most: int) -> None:
        for _ in range(at_most):
            if self.budget.ready_at(MonoS(self.mono_s)) > self.mono_s:
                return
            self.on_way.append(self.budget.sent(MonoS(self.mono_s)))
            self.sent_at = self.mono_s

    @precondition(lambda self: self.on_way)
    @rule(
        index=st.integers(0, 7),
        status=st.sampled_from([200, 200, 200, 401, 404, 429, 500]),
        numbers=st.none() | st.tuples(ANY_NUMBER, ANY_NUMBER, st.none() | ANY_TIME),
        date=ANY_TIME,
    )
    def anything_is_answered(
        self, index: int, status: int, numbers: tuple[int, int, float | None] | None, date: float
    ) -> None:
        quota = None
        if numbers is not None:
            quota = Quota(numbers[0], numbers[1], None if numbers[2] is None else EpochS(numbers[2]))
        request = self.on_way.pop(index % len(self.on_way))
        self.budget.answered(request, status, quota, EpochS(date), MonoS(self.mono_s))

    @precondition(lambda self: self.on_way)
    @rule(given_up=st.booleans())
    def nothing_is_answered(self, given_up: bool) -> None:
        request = self.on_way.pop(0)
        (self.budget.abandoned if given_up else self.budget.failed)(request, MonoS(self.mono_s))

    @rule()
    def taken_over(self) -> None:
        self.budget.taken_over(MonoS(self.mono_s))

    @invariant()
    def it_asks_again_in_bounded_time(self) -> None:
        """Liveness: with nothing on its way, some wait ends the silence, whatever was said."""
        ready = self.budget.ready_at(MonoS(self.mono_s))
        assert ready >= self.mono_s
        if not self.on_way:
            for _ in range(4):
                assert ready - self.mono_s <= HOLD_MAX_S + RESET_JITTER_S
                following = self.budget.ready_at(ready)
                if following <= ready:
                    return
                ready = following
            raise AssertionError("it waits, and waits again")

    @invariant()
    def what_it_says_is_sane(self) -> None:
        assert self.budget.in_flight == len(self.on_way)
        assert self.budget.usable(MonoS(self.mono_s)) >= 0
        assert 0 < self.budget.rate() < math.inf
        assert self.budget.remaining is None or self.budget.remaining >= 0


BudgetMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
TestBudget = BudgetMachine.TestCase
AnyAnswerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestAnyAnswer = AnyAnswerMachine.TestCase
