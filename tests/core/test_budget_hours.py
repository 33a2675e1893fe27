"""`RequestBudget` over hours of virtual time: how much of the allowed share is used, and what it costs others.

The allowed share of a window is `Drive.allowed`: what others left of the limit, and never more than the share.
"""

from __future__ import annotations

import pytest

from collector.core.tenants import MARGIN_PART, WINDOWS_KEPT
from tests.core.quota_drive import Drive, Spending, at_random, in_bursts, nobody, once_a_minute
from tests.core.quota_server import WINDOW_S, QuotaServer

HALF_AN_HOUR_S = 1_800.0
HOUR_S = 3_600.0

OTHERS = {
    "nobody": lambda limit: nobody,
    "most of their part, at random": lambda limit: at_random(0.15 * limit),
    "their part, at random": lambda limit: at_random(0.2 * limit),
    "more than their part, at random": lambda limit: at_random(0.35 * limit),
    "more than is there, at random": lambda limit: at_random(0.6 * limit),
    "their part, at once": lambda limit: once_a_minute(limit // 5, 50.0),
    "twice their part, at once": lambda limit: once_a_minute(2 * limit // 5, 30.0),
}


def _assert_good_neighbour(drive: Drive, utilisation: float = 0.95) -> None:
    assert drive.server.rejected_ours == 0
    assert drive.most_above_share() <= 0
    assert drive.utilisation() >= utilisation


@pytest.mark.parametrize("anchored", [False, True], ids=["calendar minute", "minute from the first request"])
@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize(("limit", "concurrency"), [(240, 4), (600, 8)])
def test_the_allowed_share_is_used(limit: int, concurrency: int, others: object, anchored: bool) -> None:
    """95 % of the allowed share once others are known, 0 answers 429 and never above the share from the start.

    Answers take 0.2 to 1 s; what is learnt of others spans ten windows.
    600 a minute with answers of 0.6 s on average are more than four requests on their way can fetch, hence eight.
    """
    spending: Spending = others(limit)  # type: ignore[operator]
    drive = Drive(QuotaServer(limit, anchored), others=spending, concurrency=concurrency, seed=limit)
    drive.learn((WINDOWS_KEPT + 3) * WINDOW_S)
    _assert_good_neighbour(drive.run(1_200.0 if limit < 600 else 480.0))


@pytest.mark.parametrize("others_part", [0.15, 0.35])
@pytest.mark.parametrize(("limit", "latency_s", "concurrency"), [(6_000, (0.05, 0.3), 32), (240, (1.0, 3.0), 16)])
def test_a_large_limit_and_slow_answers(
    limit: int, latency_s: tuple[float, float], concurrency: int, others_part: float
) -> None:
    """6,000 a minute, and answers that take up to 3 s: the same."""
    others = at_random(others_part * limit)
    drive = Drive(QuotaServer(limit), others=others, latency_s=latency_s, concurrency=concurrency, seed=2)
    _assert_good_neighbour(drive.run(300.0 if limit > 240 else HOUR_S))


@pytest.mark.parametrize("latency_s", [(0.05, 0.2), (0.2, 1.0)], ids=["fast", "slower"])
@pytest.mark.parametrize("others_part", [0.0, 0.2, 0.35, 0.6])
def test_a_small_limit(others_part: float, latency_s: tuple[float, float]) -> None:
    """40 a minute, where one request is 3 % of the share: 95 % all the same, because only what others may take within
    a round trip is left alone in the end."""
    others = at_random(others_part * 40) if others_part else nobody
    _assert_good_neighbour(Drive(QuotaServer(40), others=others, latency_s=latency_s, seed=2).run(2 * HOUR_S))


@pytest.mark.parametrize(
    "server",
    [
        QuotaServer(240, tells_reset=False),
        QuotaServer(240, anchored=True, tells_reset=False),
        QuotaServer(240, anchored=True, cuts=True),
        QuotaServer(240, date_skew_s=500.0),
        QuotaServer(240, date_skew_s=-7_300.0),
    ],
    ids=["no Reset", "no Reset, from the first request", "Reset cut to seconds", "Date ahead", "Date behind"],
)
def test_what_the_server_does_not_tell(server: QuotaServer) -> None:
    """No Reset, a Reset a fraction of a second early, a server clock that is minutes off: the same."""
    _assert_good_neighbour(Drive(server, others=at_random(36.0), seed=4).run(HOUR_S))


def test_lost_answers() -> None:
    """One answer in fifty never arrives: each is counted as ours and backed off from, and the share is still used."""
    _assert_good_neighbour(Drive(QuotaServer(240), others=at_random(36.0), lost_part=0.02, seed=5).run(HOUR_S))


@pytest.mark.parametrize("size", [40, 120])
def test_a_429_is_one_that_nothing_could_have_prevented(size: int) -> None:
    """Others jump beyond their part: we are refused only what they took between the last answer and our arrival.

    What no rule can know is how much that will be. What is held back for it is bounded by a tenth of the limit, so each
    429 must come with a jump of at least that, and nine tenths of the allowed share are used all the same.
    """
    drive = Drive(QuotaServer(240), others=in_bursts(size, 120.0), seed=6).run(2 * HOUR_S)
    assert drive.jumps, "bursts of this size must be felt"
    assert min(drive.jumps) >= 240 // MARGIN_PART
    assert len(drive.jumps) == drive.server.rejected_ours <= 100
    assert drive.most_above_share() <= 0
    assert drive.utilisation() >= 0.9


def test_a_burst_that_was_seen_costs_no_second_429() -> None:
    """The same jump in every minute, in the middle of our requests: one 429 each at first, none once it is known."""
    drive = Drive(QuotaServer(240), share=1.0, others=once_a_minute(24, 59.4), seed=7)
    drive.run(300.0)
    learnt = drive.server.rejected_ours
    drive.run(HOUR_S)
    assert drive.server.rejected_ours - learnt <= 1


@pytest.mark.parametrize("life_s", [7.0, 20.0, 61.0])
@pytest.mark.parametrize("others", [nobody, at_random(48.0)], ids=["nobody", "their part"])
def test_restarts_do_not_add_up(life_s: float, others: Spending) -> None:
    """A new process every few seconds, the old one's requests still on their way: no 429, and nothing above the share.

    What was on its way when the new process first asked could come on top: four here. What was spent before counts as
    ours, so a start costs the others' part of one window at most.
    """
    drive = Drive(QuotaServer(240), others=others, seed=8)
    while drive.now < HALF_AN_HOUR_S:
        drive.run(life_s)
        drive.restart()
    assert drive.server.rejected_ours == 0
    assert drive.most_above_share() <= drive.concurrency
    assert drive.utilisation() >= (0.97 if others is nobody else 0.75)


def test_others_take_all_and_we_restart() -> None:
    """Nothing is left when a process starts: it can only ask; a 429 a start is the bound."""
    drive = Drive(QuotaServer(240), others=at_random(400.0), seed=9)
    while drive.now < HOUR_S:
        drive.run(25.0)
        drive.restart()
    assert 0 < drive.server.rejected_ours <= drive.starts


@pytest.mark.parametrize("anchored", [False, True])
def test_a_window_turns_without_a_pause(anchored: bool) -> None:
    """No pause at the minute's edge: the longest wait between two requests in an hour is the time of an answer or so.

    Even pace is 0.31 s; a probe that everybody waits for, a second of caution and one of jitter would be three.
    """
    assert Drive(QuotaServer(240, anchored), seed=10).run(HOUR_S).waited <= 1.5


def test_nothing_is_asked_faster_than_evenly_from_the_start() -> None:
    """The share lasts to the window's end: in each third of a window a third of it is asked for, give or take."""
    drive = Drive(QuotaServer(240), seed=11).run(120.0)
    before = drive.server.ours[max(drive.server.limits)]
    drive.run(20.0)
    assert 58 <= drive.server.ours[max(drive.server.limits)] - before <= 70


def test_the_rate_is_what_was_possible() -> None:
    """Alone: the share of the limit a second. Others spend half: what they left on average."""
    alone = Drive(QuotaServer(240), seed=12).run(HALF_AN_HOUR_S)
    assert alone.budget.rate() == pytest.approx(192 / 60)
    pressed = Drive(QuotaServer(240), others=at_random(120.0), seed=12).run(HALF_AN_HOUR_S)
    ours = [pressed.server.ours[window] for window in pressed.windows()][-10:]
    assert pressed.budget.rate() == pytest.approx(sum(ours) / len(ours) / 60, rel=0.1)


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_next_to_no_quota(limit: int) -> None:
    """A limit that leaves our share not one request is asked about once a window, and never in a hurry."""
    drive = Drive(QuotaServer(limit), seed=13).run(HOUR_S)
    assert max(drive.server.ours.values(), default=0) <= max(1, int(limit * 0.8))
    assert drive.server.rejected_ours <= (61 if limit == 0 else 0)
    assert sum(drive.server.ours.values()) + drive.server.rejected_ours >= 50


def test_a_quota_that_comes_and_goes() -> None:
    """The limit changes every few minutes, to nothing and back: a window later the new one is used."""
    drive = Drive(QuotaServer(240), seed=14)
    for limit in (600, 0, 240, 40, 0, 0, 600):
        drive.server.limit = limit
        drive.run(200.0)
        settled = drive.windows()[-1]
        # Four on their way fetch 400 a minute at most.
        assert drive.server.ours[settled] >= (0.9 if limit < 600 else 0.75) * drive.allowed(settled)
    assert drive.server.rejected_ours <= 3 * 4 + 11  # what was on its way each time, and a probe a window
