"""`RequestBudget`: what single answers do. `test_budget_hours` says what comes of it over hours."""

from __future__ import annotations

import math
from random import Random

import pytest

from collector.core.budget import (
    BACKOFF_MAX_S,
    HOLD_UNTOLD_S,
    LIMIT_DEFAULT,
    NEVER,
    RESET_JITTER_S,
    TURN_TRUSTED_S,
    RequestBudget,
)
from collector.core.model import EpochS, MonoS, Quota
from collector.core.quota_window import SentRequest
from tests.core.pages import EPOCH

HALF_PAST = EpochS(EPOCH + 30.0)
NEXT_MINUTE = EpochS(EPOCH + 60.0)


def test_the_first_answer_is_waited_for() -> None:
    """Nothing known: one probe, and no second request before its answer."""
    budget = RequestBudget(0.8, Random(0))
    requests: list[SentRequest] = []
    assert budget.ready_at(MonoS(5.0)) == 5.0
    requests.append(budget.sent(MonoS(5.0)))
    assert budget.ready_at(MonoS(5.0)) == NEVER


def test_after_the_reset_one_probe_tells_the_new_quota() -> None:
    """What is left of a new window is not known: one request, and the next one after its answer."""
    budget = RequestBudget(0.8, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.1))
    requests.append(budget.sent(MonoS(40.0)))
    assert budget.ready_at(MonoS(50.0)) == NEVER
    later = Quota(240, 239, EpochS(NEXT_MINUTE + 60.0))
    budget.answered(requests.pop(0), 200, later, EpochS(NEXT_MINUTE + 10.0), MonoS(50.1))
    assert budget.ready_at(MonoS(50.1)) < MonoS(52.0)


def test_no_quota_told_means_the_documented_default() -> None:
    """Answers without quota headers: the documented limit times the share, evenly."""
    budget = RequestBudget(0.5, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, None, HALF_PAST, MonoS(0.1))
    assert budget.limit == LIMIT_DEFAULT
    assert budget.ready_at(MonoS(0.1)) == pytest.approx(60.0 / (LIMIT_DEFAULT * 0.5))


def test_a_429_without_reset_holds_a_window() -> None:
    """The block after too many answers 401 names no reset: one window of silence, even after a 5xx."""
    budget = RequestBudget(0.8, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 429, None, HALF_PAST, MonoS(1.0))
    budget.answered(requests.pop(0), 503, None, HALF_PAST, MonoS(1.5))
    assert budget.ready_at(MonoS(2.0)) >= 1.0 + HOLD_UNTOLD_S
    assert budget.rejected_total == 1


def test_a_5xx_does_not_end_the_wait_for_the_reset() -> None:
    """Quota exhausted, then a 5xx: its short backoff does not replace the wait for the reset."""
    budget = RequestBudget(0.8, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(10, 2, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.answered(requests.pop(0), 502, None, HALF_PAST, MonoS(0.0))
    assert budget.ready_at(MonoS(3.0)) >= 30.0


def test_failures_at_the_same_time_are_one_failure() -> None:
    """Ten requests that break off together say the same thing once: the next try is a second away, not a minute."""
    budget = RequestBudget(1.0, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    for _ in range(10):
        requests.append(budget.sent(MonoS(0.1)))
    for _ in range(10):
        budget.failed(requests.pop(0), MonoS(0.2))
    assert budget.ready_at(MonoS(0.2)) <= 1.3


def test_failures_in_a_row_back_off_to_a_bound() -> None:
    """1, 2, 4 ... 60 s, each times 0.5 to 1, one request at a time; the first answer ends it."""
    budget = RequestBudget(1.0, Random(0))
    requests: list[SentRequest] = []
    now, waits = 0.0, []
    for _ in range(12):
        requests.append(budget.sent(MonoS(now)))
        budget.failed(requests.pop(0), MonoS(now))
        ready = budget.ready_at(MonoS(now))
        waits.append(ready - now)
        now = ready
    for wait, longest in zip(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[BACKOFF_MAX_S] * 6], strict=True):
        assert longest / 2 <= wait <= longest
    requests.append(budget.sent(MonoS(now)))
    assert budget.ready_at(MonoS(now)) == NEVER
    budget.answered(requests.pop(0), 200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(now))
    assert budget.ready_at(MonoS(now)) <= now + 1.0


def test_an_answer_without_quota_is_counted_all_the_same() -> None:
    """The server counted a request whose answer tells no quota, so it is subtracted until the next one tells."""
    budget = RequestBudget(1.0, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    for second in range(1, 4):
        requests.append(budget.sent(MonoS(second)))
        budget.answered(requests.pop(0), 404, None, EpochS(HALF_PAST + second), MonoS(second))
    assert budget.usable(MonoS(4.0)) == 6


def test_a_lost_answer_stays_counted_until_an_answer_counts_it() -> None:
    """Two on their way, one is lost: the other's answer may be older than the loss, a later request's is not."""
    budget = RequestBudget(1.0, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    requests.append(budget.sent(MonoS(0.0)))
    requests.append(budget.sent(MonoS(0.0)))
    budget.abandoned(requests.pop(0), MonoS(0.0))
    budget.answered(requests.pop(0), 200, Quota(10, 8, NEXT_MINUTE), HALF_PAST, MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 7
    requests.append(budget.sent(MonoS(2.0)))
    budget.answered(requests.pop(0), 200, Quota(10, 6, NEXT_MINUTE), EpochS(HALF_PAST + 2), MonoS(2.0))
    assert budget.usable(MonoS(2.0)) == 6


@pytest.mark.parametrize("date", [NEXT_MINUTE - 1.0, NEXT_MINUTE])
def test_late_news_of_the_window_before_change_nothing(date: float) -> None:
    """An answer that this window's overtook, even within a second, does not bring back the quota of its own."""
    budget = RequestBudget(1.0, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(240, 20, EpochS(NEXT_MINUTE + 60)), NEXT_MINUTE, MonoS(0.0))
    budget.answered(requests.pop(0), 200, Quota(240, 200, NEXT_MINUTE), EpochS(date), MonoS(0.1))
    assert budget.usable(MonoS(0.1)) == 20


def test_after_a_failure_one_request_at_a_time() -> None:
    """While failures last, the next request waits for the answer of the one on its way."""
    budget = RequestBudget(1.0, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    requests.append(budget.sent(MonoS(0.0)))
    budget.failed(requests.pop(0), MonoS(0.0))
    requests.append(budget.sent(MonoS(2.0)))
    assert budget.ready_at(MonoS(10.0)) == NEVER


def test_a_wild_reset_is_bounded() -> None:
    """A reset a year ahead is believed for a quarter of an hour."""
    budget = RequestBudget(0.8, Random(0))
    requests: list[SentRequest] = []
    requests.append(budget.sent(MonoS(0.0)))
    budget.answered(requests.pop(0), 429, Quota(10, 0, EpochS(EPOCH + 3.2e7)), HALF_PAST, MonoS(0.0))
    assert 900.0 <= budget.ready_at(MonoS(0.0)) <= 901.0


def test_a_late_429_of_the_window_before_holds_nothing() -> None:
    """Its quota is over: one refused request that was overtaken by the new window's answer costs no minute."""
    budget = RequestBudget(1.0, Random(0))
    late = budget.sent(MonoS(0.0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 200, NEXT_MINUTE), HALF_PAST, MonoS(0.1))
    next_window = Quota(240, 239, EpochS(NEXT_MINUTE + 60))
    budget.answered(budget.sent(MonoS(31.0)), 200, next_window, EpochS(NEXT_MINUTE + 1), MonoS(31.5))
    budget.answered(late, 429, Quota(240, 0, NEXT_MINUTE), EpochS(NEXT_MINUTE - 1), MonoS(32.0))
    assert budget.ready_at(MonoS(32.0)) <= 32.0 + RESET_JITTER_S
    assert (budget.rejected_total, budget.remaining) == (1, 239)


def test_a_429_that_names_no_time_to_wait_is_not_believed_for_ever() -> None:
    """Refused again and again with a Reset of this very second: the wait doubles up to a minute."""
    budget = RequestBudget(1.0, Random(0))
    now, waits = 0.0, []
    for _ in range(10):
        date = EpochS(EPOCH + int(now))
        budget.answered(budget.sent(MonoS(now)), 429, Quota(240, 0, date), date, MonoS(now))
        waits.append(budget.ready_at(MonoS(now)) - now)
        now += waits[-1]
    assert waits[0] <= 62.0
    assert all(30.0 <= wait <= BACKOFF_MAX_S + 4.0 for wait in waits[-3:])


def test_what_was_spent_before_the_first_answer_counts_as_ours() -> None:
    """A process that just started does not know who spent: its predecessor may have, so the share is not begun anew."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 100, NEXT_MINUTE), HALF_PAST, MonoS(0.1))
    assert budget.usable(MonoS(0.1)) == 192 - 140


def test_what_others_spend_afterwards_comes_out_of_their_part() -> None:
    """Others spend 40 of their 48: our share stays whole. They spend 20 more: what is left is ours, and no more."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.answered(budget.sent(MonoS(1.0)), 200, Quota(240, 198, NEXT_MINUTE), EpochS(HALF_PAST + 1), MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 198 - 24  # what they did at once they may do again, up to a tenth
    budget.answered(budget.sent(MonoS(2.0)), 200, Quota(240, 197, NEXT_MINUTE), EpochS(HALF_PAST + 2), MonoS(2.0))
    assert budget.usable(MonoS(2.0)) == 197 - 24 < 192 - 3


def test_after_a_take_over_all_that_was_spent_counts_as_ours() -> None:
    """The organization was another worker's for a while: what it spent in this window is told by the next answer."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    before = budget.sent(MonoS(0.5))
    budget.taken_over(MonoS(1.0))
    budget.answered(before, 200, Quota(240, 238, NEXT_MINUTE), HALF_PAST, MonoS(1.5))
    budget.answered(budget.sent(MonoS(9.0)), 200, Quota(240, 137, NEXT_MINUTE), EpochS(HALF_PAST + 9), MonoS(9.0))
    assert budget.usable(MonoS(9.0)) == 192 - 103


def test_a_window_that_had_room_is_followed_without_waiting_for_a_probe() -> None:
    """At the turn requests go on at the even pace, up to what the new window gives us, and for a few seconds only."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    for number in range(8):
        sent_at = 30.0 + number * 60.0 / 8
        if number == 0:
            assert budget.ready_at(MonoS(sent_at)) == sent_at
        budget.sent(MonoS(sent_at))
        if number == 0:
            assert budget.ready_at(MonoS(sent_at)) == pytest.approx(sent_at + 60.0 / 8)
    assert budget.ready_at(MonoS(31.0)) == NEVER  # eight on their way, and eight are all that is ours
    assert budget.ready_at(MonoS(30.0 + TURN_TRUSTED_S)) == NEVER


def test_a_window_that_ran_dry_is_followed_by_one_probe() -> None:
    """Others took the rest: at the turn one request, spread over a second, and the next one after its answer."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.answered(budget.sent(MonoS(9.0)), 200, Quota(240, 0, NEXT_MINUTE), EpochS(HALF_PAST + 9), MonoS(9.0))
    probe_at = budget.ready_at(MonoS(9.0))
    assert 30.0 < probe_at <= 30.0 + RESET_JITTER_S
    budget.sent(probe_at)
    assert budget.ready_at(probe_at) == NEVER


def test_a_reset_that_jumps_is_no_new_window() -> None:
    """Reset moves by half a minute in mid-window, there and back: what was spent stays spent."""
    budget = RequestBudget(0.8, Random(0))
    for number, jump_s in enumerate((0.0, 20.0, -5.0, 0.0)):
        quota = Quota(240, 239 - number, EpochS(NEXT_MINUTE + jump_s))
        now = MonoS(float(number))
        budget.answered(budget.sent(now), 200, quota, EpochS(HALF_PAST + number), MonoS(now + 0.1))
        assert budget.usable(MonoS(now + 0.1)) == 192 - 1 - number
    assert budget.reset_at is not None
    assert budget.reset_at <= 30.2


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.nan])
def test_an_impossible_share_is_refused(share: float) -> None:
    """A share is over 0 and at most 1."""
    with pytest.raises(ValueError, match="quota share"):
        RequestBudget(share, Random(0))


def test_a_request_that_was_overtaken_is_no_surprise() -> None:
    """The server counted a later request of ours first: that is not somebody else's spending."""
    budget = RequestBudget(1.0, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    first, second = budget.sent(MonoS(1.0)), budget.sent(MonoS(1.0))
    budget.answered(second, 200, Quota(240, 238, NEXT_MINUTE), HALF_PAST, MonoS(2.0))
    budget.answered(first, 200, Quota(240, 237, NEXT_MINUTE), HALF_PAST, MonoS(3.0))
    assert budget.usable(MonoS(3.0)) == 237


def test_who_left_later_and_is_on_its_way_is_half_a_surprise() -> None:
    """An answer shows four more; four of ours that left later are on their way, half of them back, it is supposed."""
    budget = RequestBudget(1.0, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    slow = budget.sent(MonoS(1.0))
    for _ in range(4):
        budget.sent(MonoS(1.1))
    budget.answered(slow, 200, Quota(240, 234, NEXT_MINUTE), EpochS(HALF_PAST + 1), MonoS(3.0))
    assert budget.usable(MonoS(3.0)) == 234 - 4 - 2


def test_what_is_on_its_way_or_lost_is_spent() -> None:
    """Others took five of ten at once and may take one more: of the other four, each that leaves is one less."""
    budget = RequestBudget(1.0, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.answered(budget.sent(MonoS(1.0)), 200, Quota(10, 5, NEXT_MINUTE), EpochS(HALF_PAST + 1), MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 4
    request = budget.sent(MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 3
    budget.abandoned(request, MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 3


def test_lost_requests_are_part_of_the_share() -> None:
    """Three answers never came: they are ours, although a later answer counts them among what everybody spent."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(10, 9, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    for _ in range(3):
        budget.abandoned(budget.sent(MonoS(0.5)), MonoS(0.6))
    budget.answered(budget.sent(MonoS(1.0)), 200, Quota(10, 5, NEXT_MINUTE), EpochS(HALF_PAST + 1), MonoS(1.0))
    assert budget.usable(MonoS(1.0)) == 8 - 5


def test_answers_without_quota_keep_to_the_share_in_any_minute() -> None:
    """The window is over, and every answer is a 5xx that tells no quota: ours fit into a minute, wherever it begins."""
    budget = RequestBudget(0.5, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(6, 5, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    now, arrived = MonoS(100.0), []
    while len(arrived) < 12:
        ready = budget.ready_at(now)
        if ready > now:
            now = ready
            continue
        latency_s = 0.9 if len(arrived) % 3 == 0 else 0.1
        arrived.append(now + latency_s)
        request = budget.sent(now)
        now = MonoS(now + 1.0)
        budget.answered(request, 200, None, EpochS(HALF_PAST + now), now)
    assert all(later - earlier > 60.0 for earlier, later in zip(arrived, arrived[3:], strict=False))


def test_a_share_is_rounded_down() -> None:
    """A third of five is one: the first answer used it up."""
    budget = RequestBudget(0.3, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(5, 4, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    assert budget.usable(MonoS(0.0)) == 0


def test_a_new_window_is_trusted_for_a_few_seconds() -> None:
    """At the turn requests go on; when no answer of the new window came for a while, they wait for one."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(240, 239, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    budget.sent(MonoS(30.0))
    assert budget.ready_at(MonoS(31.0)) == 31.0
    assert budget.ready_at(MonoS(30.0 + TURN_TRUSTED_S)) == NEVER


def _beside_others(limit: int, share: float, until: float, *, ours: int, others: int) -> RequestBudget:
    """A budget that asked ``ours`` times since the window began at 0, half a second an answer; others as evenly."""
    budget = RequestBudget(share, Random(0))
    for number in range(1, ours + 1):
        now = until * number / ours
        request = budget.sent(MonoS(now - 0.5))
        quota = Quota(limit, limit - number - others * number // ours, NEXT_MINUTE)
        budget.answered(request, 200, quota, EpochS(float(int(EPOCH + now))), MonoS(now))
    return budget


def test_the_last_of_a_window_leave_one_after_the_others_answer() -> None:
    """Others leave next to nothing: what is usable leaves while its margin, which grows with time, does not take it."""
    budget = _beside_others(40, 1.0, 34.0, ours=17, others=17)
    assert budget.usable(MonoS(34.0)) == 2  # of six: by chance three in half a second, and one as a surprise
    assert budget.usable(MonoS(36.0)) == 0
    now, waits = MonoS(34.0), []
    for spent in (35, 36):
        ready = budget.ready_at(now)
        assert budget.usable(ready) == 1
        waits.append(ready - now)
        request, now = budget.sent(ready), MonoS(ready + 0.5)
        budget.answered(request, 200, Quota(40, 40 - spent, NEXT_MINUTE), EpochS(EPOCH + 35.0), now)
    assert 0.5 < waits[0] < 1.0
    assert 0.0 <= waits[1] < 0.3
    assert budget.usable(now) == 0
    assert budget.ready_at(now) > 59.0


def test_in_mid_window_requests_leave_evenly_whatever_others_do() -> None:
    """The share binds: to the reset. Others bind: to a round trip before it, so that the last answers are of use."""
    few = _beside_others(240, 0.8, 30.0, ours=96, others=10)
    assert few.reset_at is not None
    few.sent(MonoS(30.0))
    pace_s = (few.reset_at - 30.0) / few.usable(MonoS(30.0))
    assert few.ready_at(MonoS(30.0)) == pytest.approx(30.0 + pace_s)
    assert pace_s == pytest.approx(30.0 / 95, rel=0.02)
    many = _beside_others(240, 0.8, 30.0, ours=60, others=60)
    assert many.reset_at is not None
    many.sent(MonoS(30.0))
    pace_s = (many.reset_at - 0.5 - 30.0) / many.usable(MonoS(30.0))
    assert many.ready_at(MonoS(30.0)) == pytest.approx(30.0 + pace_s)


def test_a_hanging_api_does_not_make_us_hurry() -> None:
    """Answers take a minute and a half: the pace ends seconds before the reset, not at once."""
    budget = RequestBudget(1.0, Random(0))
    budget.answered(budget.sent(MonoS(-90.0)), 200, Quota(240, 239, NEXT_MINUTE), EPOCH, MonoS(0.0))
    budget.answered(budget.sent(MonoS(1.0)), 200, Quota(240, 230, NEXT_MINUTE), EpochS(EPOCH + 2.0), MonoS(2.0))
    budget.sent(MonoS(2.0))
    assert budget.ready_at(MonoS(2.0)) > 2.0 + 50.0 / 240


def _to_the_next(moment: float) -> EpochS:
    """A time of the server in whole seconds, rounded up as a Reset is."""
    return EpochS(float(math.ceil(EPOCH + moment)))


def _date(moment: float) -> EpochS:
    """A time of the server in whole seconds, cut as `Date` is."""
    return EpochS(float(math.floor(EPOCH + moment)))


def test_a_reset_that_was_rounded_up_hides_no_lost_request() -> None:
    """The window ends at 60.05, its Reset says 61, `Date` was cut: what is counted at 60.1 is the next one's.

    Its answer tells no quota, arrives before what Reset and `Date` come to, and is one of the share all the same.
    """
    budget = RequestBudget(0.2, Random(0))
    first = budget.sent(MonoS(0.0))
    budget.answered(first, 200, Quota(20, 19, _to_the_next(60.05)), _date(0.05), MonoS(0.1))
    second = budget.sent(MonoS(20.85))
    budget.answered(second, 200, Quota(20, 18, _to_the_next(60.05)), _date(20.9), MonoS(20.95))
    counted_at_60_1 = budget.sent(MonoS(60.0))
    budget.answered(counted_at_60_1, 503, None, _date(60.1), MonoS(60.2))
    third = budget.sent(MonoS(76.0))
    budget.answered(third, 200, Quota(20, 18, _to_the_next(120.1)), _date(76.1), MonoS(76.2))
    assert budget.usable(MonoS(76.2)) == 4 - 2


def test_where_reset_is_not_told_a_window_may_end_at_any_time() -> None:
    """The minute ends at 60, half a minute before one from the first answer would: what is lost at 70 is the next's."""
    budget = RequestBudget(0.4, Random(0))
    budget.answered(budget.sent(MonoS(30.0)), 200, Quota(20, 15, None), _date(30.05), MonoS(30.1))
    for second in (70.0, 72.0, 80.0):
        budget.answered(budget.sent(MonoS(second)), 503, None, _date(second), MonoS(second + 0.1))
    budget.answered(budget.sent(MonoS(100.0)), 200, Quota(20, 16, None), _date(100.0), MonoS(100.1))
    assert budget.usable(MonoS(100.1)) == 8 - 4


def test_where_reset_is_not_told_a_minute_that_is_over_takes_no_count_away() -> None:
    """The minute of 60 began unseen; when one is over by the clock, the count of the last minute stays."""
    budget = RequestBudget(0.2, Random(0))
    for second, spent in ((30.0, 1), (70.0, 2), (80.0, 3), (91.0, 4)):
        answer = Quota(20, 20 - spent, None)
        budget.answered(budget.sent(MonoS(second)), 200, answer, _date(second), MonoS(second + 0.1))
    assert budget.usable(MonoS(91.1)) == 0
    budget.answered(budget.sent(MonoS(151.5)), 200, Quota(20, 19, None), _date(151.5), MonoS(151.6))
    assert budget.usable(MonoS(151.6)) == 4 - 1


def test_what_left_just_before_the_turn_is_part_of_any_minute_too() -> None:
    """Three lost at a window's end may be the next one's: with them, not after them, four are ours in any minute."""
    budget = RequestBudget(0.8, Random(0))
    budget.answered(budget.sent(MonoS(0.0)), 200, Quota(6, 5, NEXT_MINUTE), HALF_PAST, MonoS(0.0))
    arrived = []
    for _ in range(3):
        budget.abandoned(budget.sent(MonoS(29.25)), MonoS(29.5))
        arrived.append(29.5)
    now = MonoS(29.5)
    while len(arrived) < 12:
        now = budget.ready_at(now)
        assert now < NEVER
        if budget.ready_at(now) > now:
            continue
        budget.abandoned(budget.sent(now), now)
        arrived.append(now)
    assert all(later - earlier >= 60.0 for earlier, later in zip(arrived, arrived[4:], strict=False))
