"""`RequestBudget` in virtual time: how much of the share is used, and what single answers do."""

from __future__ import annotations

import heapq
import math
from itertools import count
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.core.budget import BACKOFF_MAX_S, HOLD_UNTOLD_S, LIMIT_DEFAULT, NEVER, RequestBudget
from collector.core.model import EpochS, MonoS, Quota
from tests.core.pages import EPOCH
from tests.core.quota_server import QuotaServer

CONCURRENCY = 4
HALF_PAST = EpochS(EPOCH + 30.0)
NEXT_MINUTE = EpochS(EPOCH + 60.0)


def run(
    server: QuotaServer, share: float, *, seed: int, duration_s: float = 600.0, latency_max_s: float = 1.0
) -> RequestBudget:
    """Always something to ask, four at a time, for ``duration_s`` of virtual time; others spend their reserve."""
    rng = Random(seed)
    budget = RequestBudget(share, Random(seed + 1))
    now, end, others_next, number = 23.4, 23.4 + duration_s, 23.4, count()
    arrivals: list[tuple[float, int, tuple[int, Quota, EpochS]]] = []
    while now < end:
        if now >= others_next:
            others_next = now + 0.5
            if server.others_in_window(EPOCH + now) < math.ceil(server.limit * (1 - share) - 1e-9):
                server.request(EPOCH + now, ours=False)
        if arrivals and arrivals[0][0] <= now:
            _, _, (status, quota, date) = heapq.heappop(arrivals)
            budget.answered(status, quota, date, MonoS(now))
            continue
        ready = budget.ready_at(MonoS(now)) if len(arrivals) < CONCURRENCY else math.inf
        if ready <= now:
            budget.sent(MonoS(now))
            arrives = now + rng.uniform(0.05, latency_max_s)
            heapq.heappush(arrivals, (arrives, next(number), server.request(EPOCH + (now + arrives) / 2)))
            continue
        now = min(others_next, ready, arrivals[0][0] if arrivals else math.inf)
    return budget


@settings(max_examples=12)
@given(
    limit=st.sampled_from([5, 24, 120, 240]),
    share=st.sampled_from([0.5, 0.8, 1.0]),
    anchored=st.booleans(),
    seed=st.integers(0, 1_000),
)
@example(limit=240, share=0.8, anchored=False, seed=0)
def test_the_share_is_used_and_never_exceeded(limit: int, share: float, anchored: bool, seed: int) -> None:
    """While there is work, 95 % of what may be spent is spent, never more than the share, and nothing is refused.

    What may be spent: the share, less what others spent already, because their reserve is left to them to the end.
    """
    server = QuotaServer(limit, anchored)
    run(server, share, seed=seed)
    windows = sorted(server.ours)[1:-1]
    allowed = math.floor(limit * share + 1e-9)
    assert len(windows) >= 7
    assert server.rejected_ours == 0
    assert max(server.ours.values()) <= allowed
    spendable = sum(max(0, allowed - server.others[window]) for window in windows)
    assert sum(server.ours[window] for window in windows) >= 0.95 * spendable


def test_a_limit_of_zero_costs_one_request_a_window() -> None:
    """An organization without quota is asked once a window, and never in a hurry."""
    server = QuotaServer(0)
    run(server, 0.8, seed=1)
    assert 1 <= server.rejected_ours <= 11


def test_the_first_answer_is_waited_for() -> None:
    """Nothing known: one probe, and no second request before its answer."""
    budget = RequestBudget(0.8, Random(0))
    assert budget.ready_at(MonoS(5.0)) == 5.0
    budget.sent(MonoS(5.0))
    assert budget.ready_at(MonoS(5.0)) == NEVER


def test_after_the_reset_one_probe_tells_the_new_quota() -> None:
    """What is left of a new window is not known: one request, and the next one after its answer."""
    budget = RequestBudget(0.8, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.1))
    budget.sent(MonoS(40.0))
    assert budget.ready_at(MonoS(50.0)) == NEVER
    budget.answered(200, Quota(240, 239, EpochS(NEXT_MINUTE + 60.0)), EpochS(NEXT_MINUTE + 10.0), MonoS(50.1))
    assert budget.ready_at(MonoS(50.1)) < MonoS(52.0)


def test_no_quota_told_means_the_documented_default() -> None:
    """Answers without quota headers: the documented limit times the share, evenly."""
    budget = RequestBudget(0.5, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(200, None, HALF_PAST, MonoS(0.1))
    assert budget.limit == LIMIT_DEFAULT
    assert budget.ready_at(MonoS(0.1)) == pytest.approx(60.0 / (LIMIT_DEFAULT * 0.5))


def test_a_429_without_reset_holds_a_window() -> None:
    """The block after too many answers 401 names no reset: one window of silence, even after a 5xx."""
    budget = RequestBudget(0.8, Random(0))
    budget.sent(MonoS(0.0))
    budget.sent(MonoS(0.0))
    budget.answered(429, None, HALF_PAST, MonoS(1.0))
    budget.answered(503, None, HALF_PAST, MonoS(1.5))
    assert budget.ready_at(MonoS(2.0)) >= 1.0 + HOLD_UNTOLD_S
    assert budget.rejected_total == 1


def test_a_5xx_does_not_end_the_wait_for_the_reset() -> None:
    """Quota exhausted, then a 5xx: its short backoff does not replace the wait for the reset."""
    budget = RequestBudget(0.8, Random(0))
    budget.sent(MonoS(0.0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(10, 2, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.answered(502, None, HALF_PAST, MonoS(0.0))
    assert budget.ready_at(MonoS(3.0)) >= 30.0


def test_failures_at_the_same_time_are_one_failure() -> None:
    """Ten requests that break off together say the same thing once: the next try is a second away, not a minute."""
    budget = RequestBudget(1.0, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    for _ in range(10):
        budget.sent(MonoS(0.1))
    for _ in range(10):
        budget.failed(MonoS(0.2))
    assert budget.ready_at(MonoS(0.2)) <= 1.3


def test_failures_in_a_row_back_off_to_a_bound() -> None:
    """1, 2, 4 ... 60 s, each times 0.5 to 1, one request at a time; the first answer ends it."""
    budget = RequestBudget(1.0, Random(0))
    now, waits = 0.0, []
    for _ in range(12):
        budget.sent(MonoS(now))
        budget.failed(MonoS(now))
        ready = budget.ready_at(MonoS(now))
        waits.append(ready - now)
        now = ready
    for wait, longest in zip(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[BACKOFF_MAX_S] * 6], strict=True):
        assert longest / 2 <= wait <= longest
    budget.sent(MonoS(now))
    assert budget.ready_at(MonoS(now)) == NEVER
    budget.answered(200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(now))
    assert budget.ready_at(MonoS(now)) <= now + 1.0


def test_an_answer_without_quota_is_counted_all_the_same() -> None:
    """The server counted a request whose answer tells no quota, so it is subtracted until the next one tells."""
    budget = RequestBudget(1.0, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    for second in range(1, 4):
        budget.sent(MonoS(second))
        budget.answered(404, None, EpochS(HALF_PAST + second), MonoS(second))
    assert budget.usable(MonoS(4.0)) == 6


def test_a_lost_answer_stays_counted_until_an_answer_counts_it() -> None:
    """Two on their way, one is lost: the other's answer may be older than the loss, a later request's is not."""
    budget = RequestBudget(1.0, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.sent(MonoS(0.0))
    budget.sent(MonoS(0.0))
    budget.abandoned()
    budget.answered(200, Quota(10, 8, NEXT_MINUTE), HALF_PAST, MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 7
    budget.sent(MonoS(2.0))
    budget.answered(200, Quota(10, 6, NEXT_MINUTE), EpochS(HALF_PAST + 2), MonoS(2.0))
    assert budget.usable(MonoS(2.0)) == 6


@pytest.mark.parametrize("date", [NEXT_MINUTE - 1.0, NEXT_MINUTE])
def test_late_news_of_the_window_before_change_nothing(date: float) -> None:
    """An answer that this window's overtook, even within a second, does not bring back the quota of its own."""
    budget = RequestBudget(1.0, Random(0))
    budget.sent(MonoS(0.0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(240, 20, EpochS(NEXT_MINUTE + 60)), NEXT_MINUTE, MonoS(0.0))
    budget.answered(200, Quota(240, 200, NEXT_MINUTE), EpochS(date), MonoS(0.1))
    assert budget.usable(MonoS(0.1)) == 20


def test_after_a_failure_one_request_at_a_time() -> None:
    """While failures last, the next request waits for the answer of the one on its way."""
    budget = RequestBudget(1.0, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.sent(MonoS(0.0))
    budget.failed(MonoS(0.0))
    budget.sent(MonoS(2.0))
    assert budget.ready_at(MonoS(10.0)) == NEVER


def test_a_wild_reset_is_bounded() -> None:
    """A reset a year ahead is believed for a quarter of an hour."""
    budget = RequestBudget(0.8, Random(0))
    budget.sent(MonoS(0.0))
    budget.answered(429, Quota(10, 0, EpochS(EPOCH + 3.2e7)), HALF_PAST, MonoS(0.0))
    assert 900.0 <= budget.ready_at(MonoS(0.0)) <= 901.0


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.nan])
def test_an_impossible_share_is_refused(share: float) -> None:
    """A share is over 0 and at most 1."""
    with pytest.raises(ValueError, match="quota share"):
        RequestBudget(share, Random(0))
