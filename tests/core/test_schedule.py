"""`PollSchedule`: fair, bounded, work-conserving, and never two walks of one kind of one account group."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.core.lanes import WEIGHTS
from collector.core.model import Lane, MonoS
from collector.core.schedule import PARKED_S, RETRY_MAX_S, PollSchedule, Turn

AIDS = ["1", "2", "3", "4", "5"]
MIN_S, MAX_S = 60.0, 300.0
OTHERS = [Lane.CATCH_UP, Lane.SWEEP, Lane.BACKFILL]
LONGEST_S = max(PARKED_S, RETRY_MAX_S, MAX_S)


class ScheduleMachine(RuleBasedStateMachine):
    """Account groups come, go, finish, fail and park in any order; lanes are wanted; time moves with every step."""

    @initialize(aids=st.lists(st.sampled_from(AIDS), unique=True, min_size=1))
    def start(self, aids: list[str]) -> None:
        self.now = 100.0
        self.schedule = PollSchedule(MIN_S, MAX_S, Random(1))
        self.running: dict[Turn, float] = {}
        self.last_start: dict[str, float] = {}
        self.known: set[str] = set()
        self.groups(aids)

    def mono(self) -> MonoS:
        self.now += 0.001  # no two events at the same time
        return MonoS(self.now)

    @rule(aids=st.lists(st.sampled_from(AIDS), unique=True))
    def groups(self, aids: list[str]) -> None:
        self.schedule.account_groups(aids, self.mono())
        self.known = set(aids)
        running = {turn.aid for turn in self.running}
        self.last_start = {aid: at for aid, at in self.last_start.items() if aid in self.known | running}

    @rule(seconds=st.sampled_from([0.0, 1.0, 59.0, 300.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(requests_per_s=st.sampled_from([0.0, 0.01, 0.5, 3.2, 100.0]))
    def told_capacity(self, requests_per_s: float) -> None:
        self.schedule.capacity(requests_per_s)

    @rule(aid=st.sampled_from(AIDS), lane=st.sampled_from(OTHERS), due_in_s=st.sampled_from([-50.0, 0.0, 30.0, None]))
    def want(self, aid: str, lane: Lane, due_in_s: float | None) -> None:
        self.schedule.want(aid, lane, None if due_in_s is None else MonoS(self.now + due_in_s))

    @rule()
    def next(self) -> None:
        now = self.mono()
        turn = self.schedule.next(now)
        if isinstance(turn, Turn):
            assert turn.aid in self.known, "an account group that left is walked"
            hot = turn.lane is Lane.HOT
            clash = [other for other in self.running if other.aid == turn.aid and (other.lane is Lane.HOT) == hot]
            assert not clash, "two walks of one kind"
            if hot:
                assert now >= self.last_start.get(turn.aid, 0.0) + MIN_S, "polled too soon"
            else:
                assert self.schedule.parked_reason(turn.aid) is None
            self.running[turn] = now
        elif turn is None:
            assert self.known <= {turn.aid for turn in self.running if turn.lane is Lane.HOT}, "somebody is forgotten"
        else:
            assert now < turn <= now + LONGEST_S

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        how=st.sampled_from(["caught up", "goes on", "failed", "parked"]),
        arrivals=st.sampled_from([0, 1, 100]),
        pages=st.integers(0, 3),
    )
    def walk_ends(self, data: st.DataObject, how: str, arrivals: int, pages: int) -> None:
        turn = data.draw(st.sampled_from(sorted(self.running, key=lambda turn: (turn.aid, turn.lane))))
        started, now = MonoS(self.running.pop(turn)), self.mono()
        for _ in range(pages):
            self.schedule.page(turn, now)
        if how == "failed":
            self.schedule.failed(turn, now)
        elif how == "parked":
            assert self.schedule.parked(turn, "forbidden", now) in (True, False)
        else:
            caught_up = how == "caught up"
            self.schedule.finished(turn, started, now, pages=pages, arrivals=arrivals, caught_up=caught_up)
        if turn.lane is Lane.HOT and turn.aid in self.known:
            self.last_start.pop(turn.aid, None)
            if how == "caught up":
                self.last_start[turn.aid] = started

    @rule()
    def crash_and_restore(self) -> None:
        self.schedule.abandoned(self.mono())
        for turn in self.running:
            if turn.lane is Lane.HOT:
                self.last_start.pop(turn.aid, None)
        self.running.clear()

    @rule()
    def somebody_is_due_within_a_bound(self) -> None:
        waiting = self.known - {turn.aid for turn in self.running if turn.lane is Lane.HOT}
        end = self.now + LONGEST_S
        while waiting and not isinstance(turn := self.schedule.next(MonoS(self.now)), Turn):
            assert turn is not None
            assert self.now < turn <= end, "nobody is handed out for too long"
            self.now = turn
        if waiting:
            assert turn not in self.running
            self.running[turn] = self.now

    @invariant()
    def intervals_are_known(self) -> None:
        for aid in self.known:
            outlook = self.schedule.outlook(aid)
            assert outlook is not None
            assert outlook.interval_s >= MIN_S
            assert 0 < outlook.arrivals_per_s < float("inf")
            assert self.schedule.failures(aid) >= 0


ScheduleMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
TestSchedule = ScheduleMachine.TestCase


def run_one_by_one(
    schedule: PollSchedule, turns: int, page_s: float, arrivals: dict[str, float], now: float = 0.0
) -> list[tuple[float, Turn]]:
    """One walker with one page after the other, account groups with constant rates: what it walked, and when."""
    walked: list[tuple[float, Turn]] = []
    counted: dict[str, float] = {}
    while len(walked) < turns:
        turn = schedule.next(MonoS(now))
        if not isinstance(turn, Turn):
            assert turn is not None
            now = turn
            continue
        walked.append((now, turn))
        rate, since = arrivals.get(turn.aid, 0.0), counted.get(turn.aid, now - 3_600.0)
        if turn.lane is Lane.HOT:
            counted[turn.aid] = now
        schedule.page(turn, MonoS(now))
        schedule.finished(
            turn,
            MonoS(now),
            MonoS(now + page_s),
            pages=1,
            arrivals=int(rate * now) - int(rate * since),
            caught_up=True,
            duration_s=now - since,
        )
        now += page_s
    return walked


def assert_nobody_waits_too_long(count: int, page_s: float, seed: int, turns: int) -> None:
    rng = Random(seed)
    aids = [str(number) for number in range(count)]
    schedule = PollSchedule(15.0, 900.0, Random(seed))
    schedule.capacity(1.0 / page_s)
    schedule.account_groups(aids, MonoS(0.0))
    rates = {aid: rng.choice([0.0, 0.001, 0.1, 10.0, 1_000.0]) for aid in aids}
    walked = run_one_by_one(schedule, turns, page_s, rates)
    end = walked[-1][0]
    bound = max(900.0, 2.0 * count * page_s) + count * page_s + 1e-6
    last = dict.fromkeys(aids, 0.0)
    for at, turn in walked:
        assert at - last[turn.aid] <= bound
        last[turn.aid] = at
    assert all(end - at <= bound for at in last.values())


@settings(max_examples=40)
@given(
    count=st.sampled_from([1, 2, 10, 60]),
    page_s=st.sampled_from([0.05, 0.3125, 2.0, 40.0]),
    seed=st.integers(0, 1_000),
)
def test_every_account_group_waits_for_a_bounded_time(count: int, page_s: float, seed: int) -> None:
    """Whatever the rates: no gap is longer than the longest interval (or, when the requests do not suffice for it,
    twice the uniform one) and one walk of each of the others."""
    assert_nobody_waits_too_long(count, page_s, seed, 10 * count + 50)


@pytest.mark.parametrize("seed", range(3))
def test_each_of_a_thousand_account_groups_waits_for_a_bounded_time(seed: int) -> None:
    """The same with 1,000 of them at 3.2 pages a second."""
    assert_nobody_waits_too_long(1_000, 0.3125, seed, 8_000)


def test_account_groups_that_are_never_caught_up_take_turns() -> None:
    """One walker, 1,000 account groups that always have more to walk: all are walked before one is walked twice."""
    schedule = PollSchedule(60.0, 900.0, Random(1))
    aids = [str(number) for number in range(1_000)]
    schedule.account_groups(aids, MonoS(0.0))
    now = 1.0
    for _ in range(2):
        walked = []
        for _ in aids:
            turn = schedule.next(MonoS(now))
            assert isinstance(turn, Turn)
            walked.append(turn.aid)
            schedule.finished(turn, MonoS(now), MonoS(now + 0.1), pages=1, arrivals=1, caught_up=False)
            now += 0.1
        assert sorted(walked) == sorted(aids)


def test_busy_account_groups_are_polled_as_the_optimum_says() -> None:
    """Rates 100 : 25 : 4 : 1 give polls 10 : 5 : 2 : 1, and every page of the budget is used."""
    rates = {"a": 10.0, "b": 2.5, "c": 0.4, "d": 0.1}
    schedule = PollSchedule(1.0, 900.0, Random(1))
    schedule.capacity(0.1)
    schedule.account_groups(list(rates), MonoS(0.0))
    walked = run_one_by_one(schedule, 2_000, 10.0, rates)
    assert walked[-1][0] == pytest.approx(1_999 * 10.0)  # not one page left over
    polls = Counter(turn.aid for _, turn in walked[200:])
    for aid, expected in (("a", 10), ("b", 5), ("c", 2), ("d", 1)):
        assert polls[aid] / 1_800 * 18 == pytest.approx(expected, rel=0.15)


def test_no_request_is_left_over_when_the_capacity_is_underestimated() -> None:
    """An interval is a rank: twice as many requests as told are all used, and rates still decide who gets more."""
    rates = {str(number): 1.0 / (1 + number) for number in range(100)}
    schedule = PollSchedule(15.0, 900.0, Random(1))
    schedule.capacity(1.6)
    schedule.account_groups(list(rates), MonoS(0.0))
    walked = run_one_by_one(schedule, 3_000, 1.0 / 3.2, rates)
    assert walked[-1][0] == pytest.approx(2_999 / 3.2)
    polls = Counter(turn.aid for _, turn in walked[1_000:])
    assert polls["0"] > 1.5 * polls["50"]


def test_the_shortest_interval_is_kept() -> None:
    """With requests to spare nobody is polled more often than allowed."""
    schedule = PollSchedule(15.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    walked = run_one_by_one(schedule, 20, 0.1, {"1": 100.0})
    assert [round(at, 6) for at, _ in walked] == [15.0 * number for number in range(20)]


def test_lanes_share_the_pages() -> None:
    """Everything is wanted at once: pages as the weights say, and within a lane everybody in turn."""
    schedule = PollSchedule(1.0, 900.0, Random(1))
    aids = [str(number) for number in range(20)]
    schedule.account_groups(aids, MonoS(0.0))
    now, walked = 0.0, []
    for lane in OTHERS:
        for aid in aids:
            schedule.want(aid, lane, MonoS(0.0))
    for _ in range(2_200):
        turn = schedule.next(MonoS(now))
        assert isinstance(turn, Turn)
        walked.append(turn)
        now += 0.1
        schedule.finished(turn, MonoS(now - 0.1), MonoS(now), pages=1, arrivals=0, caught_up=True)
        if turn.lane is not Lane.HOT:
            schedule.want(turn.aid, turn.lane, MonoS(0.0))  # always wanted since ever
    pages = Counter(turn.lane for turn in walked)
    total = sum(WEIGHTS.values())
    for lane in Lane:
        assert pages[lane] == pytest.approx(2_200 * WEIGHTS[lane] / total, rel=0.05)
        each = Counter(turn.aid for turn in walked if turn.lane is lane)
        assert set(each) == set(aids)
        assert max(each.values()) - min(each.values()) <= (1 if lane is not Lane.HOT else 10)


def test_a_want_is_one_turn() -> None:
    """It is used up when handed out; it comes back by itself when the turn fails, unless it was taken back."""
    schedule = PollSchedule(60.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    assert schedule.next(MonoS(0.0)) == Turn("1", Lane.HOT)
    schedule.want("1", Lane.SWEEP, MonoS(10.0))
    assert schedule.next(MonoS(1.0)) == 10.0
    sweep = schedule.next(MonoS(10.0))
    assert sweep == Turn("1", Lane.SWEEP)
    schedule.want("1", Lane.BACKFILL, MonoS(0.0))
    assert schedule.next(MonoS(11.0)) is None, "one other turn at a time"
    schedule.failed(sweep, MonoS(12.0))
    backfill = schedule.next(MonoS(12.0))
    assert backfill == Turn("1", Lane.BACKFILL)
    schedule.finished(backfill, MonoS(12.0), MonoS(20.0), pages=1, arrivals=0, caught_up=True)
    assert schedule.failures("1") == 1
    sweep = schedule.next(MonoS(20.0))
    assert sweep == Turn("1", Lane.SWEEP)
    schedule.want("1", Lane.SWEEP, None)
    schedule.failed(sweep, MonoS(21.0))
    assert schedule.next(MonoS(400.0)) is None, "it was taken back"


def test_an_account_group_that_left_is_not_asked_for_in_vain() -> None:
    """One that left while it is walked is given no further turn, whatever is still wanted of it."""
    schedule = PollSchedule(60.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    assert schedule.next(MonoS(0.0)) == Turn("1", Lane.HOT)
    schedule.account_groups([], MonoS(1.0))
    schedule.want("1", Lane.CATCH_UP, MonoS(0.0))
    assert schedule.next(MonoS(2.0)) is None


def test_a_parked_account_group_has_hot_turns_only() -> None:
    """Nothing else is asked of an account group that the API refuses; it goes on once a hot turn works."""
    schedule = PollSchedule(60.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    schedule.want("1", Lane.CATCH_UP, MonoS(0.0))
    hot = schedule.next(MonoS(0.0))
    assert hot == Turn("1", Lane.HOT)
    assert schedule.parked(hot, "forbidden", MonoS(1.0))
    assert schedule.next(MonoS(2.0)) == 61.0
    hot = schedule.next(MonoS(61.0))
    assert hot == Turn("1", Lane.HOT)
    schedule.finished(hot, MonoS(61.0), MonoS(62.0), pages=1, arrivals=0, caught_up=True)
    assert schedule.next(MonoS(62.0)) == Turn("1", Lane.CATCH_UP)


def test_failures_wait_longer_and_a_finished_walk_forgives() -> None:
    """1, 2, 4 ... 300 s times 0.5 to 1; the next walk that comes to its end starts the count again."""
    schedule = PollSchedule(1.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    now = 0.0
    turn = Turn("1", Lane.HOT)
    for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]:
        assert schedule.next(MonoS(now)) == turn
        schedule.failed(turn, MonoS(now))
        due = schedule.next(MonoS(now))
        assert isinstance(due, float)
        assert longest / 2 <= due - now <= longest
        now = due
    assert schedule.failures("1") == 11
    assert schedule.next(MonoS(now)) == turn
    schedule.finished(turn, MonoS(now), MonoS(now), pages=1, arrivals=0, caught_up=True)
    assert schedule.failures("1") == 0


def test_a_parked_account_group_is_news_once() -> None:
    """Parking again for the same reason is no news; another reason is, and so is parking after a walk that worked."""
    schedule = PollSchedule(1.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    turn = Turn("1", Lane.HOT)
    assert schedule.parked(turn, "forbidden", MonoS(0.0))
    assert not schedule.parked(turn, "forbidden", MonoS(600.0))
    assert schedule.parked(turn, "bad_request", MonoS(1200.0))
    assert schedule.parked_reason("1") == "bad_request"
    schedule.finished(turn, MonoS(1800.0), MonoS(1800.0), pages=1, arrivals=0, caught_up=True)
    assert schedule.parked_reason("1") is None
    assert schedule.parked(turn, "bad_request", MonoS(2400.0))


def test_an_account_group_that_comes_back_during_its_walk_is_not_walked_twice() -> None:
    """A list that lacks an account group for a moment does not start a second walk of it."""
    schedule = PollSchedule(60.0, 900.0, Random(1))
    schedule.account_groups(["1"], MonoS(0.0))
    turn = schedule.next(MonoS(0.0))
    assert turn == Turn("1", Lane.HOT)
    schedule.account_groups([], MonoS(1.0))
    schedule.account_groups(["1"], MonoS(2.0))
    assert schedule.next(MonoS(3.0)) is None
    schedule.finished(turn, MonoS(0.0), MonoS(4.0), pages=1, arrivals=0, caught_up=True)
    assert schedule.next(MonoS(5.0)) == 60.0
    assert schedule.next(MonoS(60.0)) == turn


def test_a_burst_is_polled_more_often_within_two_polls() -> None:
    """An account group that was quiet gets 20 times its sessions: its third poll comes in less than half the time."""
    rates = {str(number): 0.05 for number in range(100)}
    schedule = PollSchedule(15.0, 900.0, Random(1))
    schedule.capacity(1.0)
    schedule.account_groups(list(rates), MonoS(0.0))
    run_one_by_one(schedule, 3_000, 1.0, rates)
    before = schedule.outlook("7")
    assert before is not None
    assert before.interval_s == pytest.approx(100.0, rel=0.1)
    now, polls = 3_000.0, 0
    begin = now
    counted: dict[str, float] = {}
    while polls < 2:
        turn = schedule.next(MonoS(now))
        assert isinstance(turn, Turn)
        since = counted.get(turn.aid, now - 100.0)
        counted[turn.aid] = now
        arrivals = int(0.05 * now) - int(0.05 * since)
        if turn.aid == "7":
            polls += 1
            arrivals += int(1.0 * (now - max(begin, since)))
        schedule.finished(turn, MonoS(now), MonoS(now + 1.0), pages=1, arrivals=arrivals, caught_up=True)
        now += 1.0
    after = schedule.outlook("7")
    assert after is not None
    assert after.interval_s < before.interval_s / 2
