"""`PollSchedule`: fair, bounded, and never two walks of one account group."""

from __future__ import annotations

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.core.model import MonoS
from collector.core.schedule import PARKED_S, RETRY_MAX_S, PollSchedule

AIDS = ["1", "2", "3", "4", "5"]
POLL_INTERVAL_S = 60.0


class ScheduleMachine(RuleBasedStateMachine):
    """Account groups come, go, finish, fail and park in any order; time moves with every step."""

    @initialize(aids=st.lists(st.sampled_from(AIDS), unique=True, min_size=1))
    def start(self, aids: list[str]) -> None:
        self.now = 100.0
        self.schedule = PollSchedule(POLL_INTERVAL_S, Random(1))
        self.running: dict[str, float] = {}
        self.known: set[str] = set()
        self.groups(aids)

    def mono(self) -> MonoS:
        self.now += 0.001  # no two events at the same time
        return MonoS(self.now)

    @rule(aids=st.lists(st.sampled_from(AIDS), unique=True))
    def groups(self, aids: list[str]) -> None:
        self.schedule.account_groups(aids, self.mono())
        self.known = set(aids)

    @rule(seconds=st.sampled_from([0.0, 1.0, 59.0, 300.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def next(self) -> None:
        now = self.mono()
        turn = self.schedule.next(now)
        if isinstance(turn, str):
            assert turn in self.known, "an account group that left is walked"
            assert turn not in self.running, "two walks of one account group"
            self.running[turn] = now
        elif turn is None:
            assert self.known <= self.running.keys(), "an account group that waits is forgotten"
        else:
            assert now < turn <= now + max(PARKED_S, RETRY_MAX_S, POLL_INTERVAL_S)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["caught up", "goes on", "failed", "parked"]))
    def walk_ends(self, data: st.DataObject, how: str) -> None:
        aid = data.draw(st.sampled_from(sorted(self.running)))
        started, now = MonoS(self.running.pop(aid)), self.mono()
        if how == "failed":
            self.schedule.failed(aid, now)
        elif how == "parked":
            assert self.schedule.parked(aid, "forbidden", now) in (True, False)
        else:
            self.schedule.finished(aid, started, now, caught_up=how == "caught up")

    @rule()
    def crash_and_restore(self) -> None:
        self.schedule.abandoned(self.mono())
        self.running.clear()

    @invariant()
    def everyone_is_due_within_a_bound(self) -> None:
        longest = max(PARKED_S, RETRY_MAX_S, POLL_INTERVAL_S)
        waiting = self.known - self.running.keys()
        for _ in waiting:
            turn = self.schedule.next(MonoS(self.now + longest + 1.0))
            assert isinstance(turn, str)
            assert turn in waiting
            self.running[turn] = self.now
            self.walk_was_only_a_look(turn)
            break

    def walk_was_only_a_look(self, aid: str) -> None:
        del self.running[aid]
        self.schedule.finished(aid, MonoS(self.now), self.mono(), caught_up=False)


ScheduleMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSchedule = ScheduleMachine.TestCase


def test_a_thousand_account_groups_take_turns() -> None:
    """One walker, 1,000 account groups that always have more to walk: all are walked before one is walked twice."""
    schedule = PollSchedule(POLL_INTERVAL_S, Random(1))
    aids = [str(number) for number in range(1_000)]
    schedule.account_groups(aids, MonoS(0.0))
    now = 1.0
    for _ in range(2):
        walked = []
        for _ in aids:
            turn = schedule.next(MonoS(now))
            assert isinstance(turn, str)
            walked.append(turn)
            schedule.finished(turn, MonoS(now), MonoS(now + 0.1), caught_up=False)
            now += 0.1
        assert sorted(walked) == sorted(aids)


def test_failures_wait_longer_and_a_finished_walk_forgives() -> None:
    """1, 2, 4 ... 300 s times 0.5 to 1; the next walk that comes to its end starts the count again."""
    schedule = PollSchedule(0.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    now = 0.0
    for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]:
        assert schedule.next(MonoS(now)) == "1"
        schedule.failed("1", MonoS(now))
        due = schedule.next(MonoS(now))
        assert isinstance(due, float)
        assert longest / 2 <= due - now <= longest
        now = due
    assert schedule.failures("1") == 11
    assert schedule.next(MonoS(now)) == "1"
    schedule.finished("1", MonoS(now), MonoS(now), caught_up=True)
    assert schedule.failures("1") == 0


def test_a_parked_account_group_is_news_once() -> None:
    """Parking again for the same reason is no news; another reason is, and so is parking after a walk that worked."""
    schedule = PollSchedule(0.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    assert schedule.parked("1", "forbidden", MonoS(0.0))
    assert not schedule.parked("1", "forbidden", MonoS(600.0))
    assert schedule.parked("1", "bad_request", MonoS(1200.0))
    assert schedule.parked_reason("1") == "bad_request"
    schedule.finished("1", MonoS(1800.0), MonoS(1800.0), caught_up=True)
    assert schedule.parked_reason("1") is None
    assert schedule.parked("1", "bad_request", MonoS(2400.0))


def test_an_account_group_that_comes_back_during_its_walk_is_not_walked_twice() -> None:
    """A list that lacks an account group for a moment does not start a second walk of it."""
    schedule = PollSchedule(POLL_INTERVAL_S, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    assert schedule.next(MonoS(0.0)) == "1"
    schedule.account_groups([], MonoS(1.0))
    schedule.account_groups(["1"], MonoS(2.0))
    assert schedule.next(MonoS(3.0)) is None
    schedule.finished("1", MonoS(0.0), MonoS(4.0), caught_up=True)
    assert schedule.next(MonoS(5.0)) == 60.0
    assert schedule.next(MonoS(60.0)) == "1"
