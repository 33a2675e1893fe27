"""Hot, catch-up and sweep side by side: what is new stays fresh, what was missed comes, what is late is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import anyio
import anyio.lowlevel
import orjson
import pytest
import trio

from collector.core.ledger import Ledger
from collector.core.ledger_entries import Why
from collector.core.ledger_record import decode
from collector.core.model import Answer, EpochS, Lane, Page, PageRequest, Quota
from collector.core.walk import PAGES_UNPROVEN_MAX
from collector.errors import ApiRejected, PageMalformed, Rejection, SourceError
from collector.ports import Admit, at_once
from tests.core.pages import EPOCH
from tests.organization.fakes import FakeApi, Session
from tests.organization.world import OVERLAP_S, PROGRESS, World, make_sessions, run

AID = "11"
HOUR_S = 3_600.0
DAY_S = 86_400.0


def every(step_s: int, until_s: float, from_s: int = -1_800, late_s: float = 1.0) -> list[Session]:
    """A session every ``step_s`` seconds."""
    dates = range(EPOCH + from_s, EPOCH + int(until_s), step_s)
    return [Session(AID, f"n{number:07}", date, date + late_s) for number, date in enumerate(dates)]


def ledger(world: World, aid: str = AID) -> Ledger:
    """What is durable of an account group."""
    return decode(world.kafka.state[f"progress/example/{aid}"])


def walks_of(world: World, lane: Lane) -> list[tuple[int, int]]:
    """The windows of the finished walks of a lane."""
    return [(walk.window.start - EPOCH, walk.window.end - EPOCH) for walk in world.diary.walks if walk.lane is lane]


def test_hot_stays_fresh_while_an_outage_is_caught_up() -> None:
    """Ten hours down: the newest sessions come first and all the time; the gap comes in slices, oldest first."""
    world = World(FakeApi([AID], every(20, 12 * HOUR_S), limit=60))
    published: list[tuple[float, int]] = []  # when, and how old

    async def main() -> None:
        await world.collect_for(300.0)
        await anyio.sleep(10 * HOUR_S)
        before = len(world.kafka.records)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, HOUR_S)
            while len(published) < 1_800:
                await anyio.sleep(1.0)
                for record in world.kafka.records[before:]:
                    published.append(
                        (trio.current_time(), int(EPOCH + trio.current_time() - record.timestamp_ms / 1000))
                    )
                before = len(world.kafka.records)

    run(main)
    world.assert_each_once(10 * HOUR_S + 600.0)
    began = published[0][0]
    assert published[0][1] <= OVERLAP_S + 60, "the newest come first"
    old = [(at, age) for at, age in published if age > 2 * OVERLAP_S]
    caught_up_at = old[-1][0]
    fresh_at = sorted(at for at, age in published if age < 120)
    pauses = [b - a for a, b in pairwise(fresh_at) if a < caught_up_at]
    assert caught_up_at - began > 120.0, "nothing to see: the gap was caught up at once"
    assert max(pauses) <= 120.0, "fresh sessions waited for old ones"
    slices = walks_of(world, Lane.CATCH_UP)
    assert len(slices) >= 5
    assert slices == sorted(slices)
    gaps = ledger(world).gaps(EpochS(EPOCH + 10 * HOUR_S + 300.0))
    assert gaps == ()


@pytest.mark.parametrize("late_s", [2_000.0, 5 * HOUR_S, DAY_S - 60.0])
def test_sweeps_find_what_comes_late(late_s: float) -> None:
    """Sessions that appear half an hour, five hours and almost the late horizon after their date: each once."""
    world = World(FakeApi([AID], every(60, HOUR_S, late_s=late_s)), poll_interval_s=300.0)

    async def main() -> None:
        await world.collect_for(HOUR_S + late_s + 2 * HOUR_S)

    run(main)
    in_time = [s for s in world.api.sessions if s.date >= EPOCH - 3_600]
    assert len(in_time) == len(world.api.sessions)
    world.assert_each_once(HOUR_S + late_s)
    lanes = Counter(dict(record.headers)["ce_lane"] for record in world.kafka.records)
    assert lanes[b"sweep"] > 0


def test_the_horizon_is_kept_across_an_outage() -> None:
    """Sessions committed while the collector is down, hours after it had walked their time: found after it."""
    sessions = [
        *every(300, 3 * HOUR_S),
        *(s._replace(suffix="x" + s.suffix[1:]) for s in every(300, HOUR_S, late_s=20 * HOUR_S)),
    ]
    world = World(FakeApi([AID], sessions), poll_interval_s=120.0)

    async def main() -> None:
        await world.collect_for(3 * HOUR_S)
        await anyio.sleep(40 * HOUR_S)
        await world.collect_for(3 * HOUR_S)

    run(main)
    world.assert_each_once(44 * HOUR_S)


def test_the_overlap_follows_the_lateness() -> None:
    """A quarter of the sessions is fifteen minutes late: the overlap grows to it, and hot walks find them."""
    sessions = [s._replace(committed=s.date + 900.0) if n % 4 == 0 else s for n, s in enumerate(every(10, 5 * HOUR_S))]
    world = World(FakeApi([AID], sessions, page_rows=200), poll_interval_s=60.0)

    async def main() -> None:
        await world.collect_for(5 * HOUR_S)

    run(main)
    world.assert_each_once(5 * HOUR_S - 60.0)
    assert 900 <= ledger(world).overlap_s <= 1_200
    lately = [record for record in world.kafka.records if record.timestamp_ms / 1000 > EPOCH + 3 * HOUR_S]
    assert {dict(record.headers)["ce_lane"] for record in lately} == {b"hot"}


def test_what_the_api_does_not_keep_any_more_is_lost_loudly_once() -> None:
    """Down for longer than the API's retention: what is gone is told once, kept, and the rest is complete."""
    kept_s = 2 * 86_400
    world = World(FakeApi([AID], every(600, 5 * DAY_S)), progress=replace(PROGRESS, api_retention_s=kept_s))

    async def main() -> None:
        await world.collect_for(600.0)
        await anyio.sleep(4 * DAY_S)
        now = EPOCH + trio.current_time()
        world.api.sessions = [s for s in world.api.sessions if s.date > now - kept_s]
        await world.collect_for(HOUR_S)
        await world.collect_for(HOUR_S)

    run(main)
    world.assert_each_once(4 * DAY_S + 600.0 + HOUR_S)
    ((aid, lost),) = world.diary.lost_ranges
    assert (aid, lost.why) == (AID, Why.RETENTION)
    assert lost.start <= EPOCH + 600
    assert abs(lost.end - (EPOCH + 600 + 4 * DAY_S - kept_s)) <= HOUR_S
    assert [gap.why for gap in ledger(world).gaps(EpochS(EPOCH + 4 * DAY_S))] == [Why.RETENTION]


def circles_around(world: World, start: int, end: int) -> None:
    """Walks that touch this time never end: each page leads to itself."""
    fetch = world.api.fetch

    async def circling(request: PageRequest, admit: Admit = at_once) -> Page:
        page = await fetch(request, admit)
        if request.window.start < end and request.window.end >= start:
            object.__setattr__(page, "continuation", "again")
        return page

    world.api.fetch = circling  # type: ignore[method-assign]


def test_a_round_that_cannot_be_read_holds_nobody_up() -> None:
    """One minute leads in a circle for hours: it is left out and told, all else is complete; later it is read."""
    world = World(FakeApi([AID], every(20, 3 * HOUR_S)), poll_interval_s=60.0)
    whole = world.api.fetch
    bad = (EPOCH + 1_200, EPOCH + 1_260)
    circles_around(world, *bad)

    async def main() -> None:
        await world.collect_for(2 * HOUR_S)
        missing = [s for s in world.missing(2 * HOUR_S - 60.0) if not bad[0] - 60 <= s.date <= bad[1] + 60]
        assert not missing
        gaps = ledger(world).gaps(EpochS(EPOCH + 2 * HOUR_S - 120.0))
        assert [gap.why for gap in gaps] == [Why.UNREADABLE] * len(gaps) != []
        assert sum(gap.end - gap.start for gap in gaps) <= 180
        world.api.fetch = whole  # type: ignore[method-assign]
        await world.collect_for(6 * HOUR_S)

    run(main)
    world.assert_each_once(3 * HOUR_S)
    assert ledger(world).gaps(EpochS(EPOCH + 7 * HOUR_S)) == ()


def test_a_gap_says_that_the_account_group_was_parked() -> None:
    """Refused for two hours: the gap has the reason, as long as it is there."""
    world = World(FakeApi([AID], every(60, 4 * HOUR_S)))

    def refused(request: PageRequest | None) -> SourceError | None:
        away = 600.0 < trio.current_time() < 2 * HOUR_S
        return ApiRejected(Rejection.FORBIDDEN, "403", Answer(403)) if request is not None and away else None

    world.api.fault = refused

    async def main() -> None:
        await world.collect_for(HOUR_S)
        (gap,) = ledger(world).gaps(EpochS(EPOCH + HOUR_S))
        assert (gap.why, gap.detail) == (Why.PARKED, "forbidden")
        await anyio.sleep(2 * HOUR_S)
        await world.collect_for(1_800.0)

    run(main)
    world.assert_each_once(3 * HOUR_S + 1_700.0)
    assert ledger(world).parked is None


def test_two_lanes_never_publish_a_session_twice() -> None:
    """A hot page and one of catch-up arrive at the same moment with the same new session: one of them publishes it."""
    restart_s = 2 * HOUR_S
    late = [
        session._replace(suffix="x" + session.suffix[1:], committed=EPOCH + restart_s + 15.0)
        for session in every(1, restart_s, from_s=int(restart_s) - 900)
    ]
    api = FakeApi([AID], [*every(10, 3 * HOUR_S, from_s=0), *late], page_rows=1_000_000, limit=10_000)
    world = World(api, poll_interval_s=10.0)  # an answer that takes longer than a time-out would count as a stall
    fetch, hot_asks, met = world.api.fetch, anyio.Event(), []

    async def together(request: PageRequest, admit: Admit = at_once) -> Page:
        now = trio.current_time()
        is_hot = request.window.end >= EPOCH + now - 5.0
        if is_hot and now > restart_s + 16.0:
            hot_asks.set()
        elif not is_hot and request.window.end >= EPOCH + now - OVERLAP_S - 120.0 and not met:
            met.append(request.window.end)
            await hot_asks.wait()  # the last slice, which ends where the hot window begins
        return await fetch(request, admit)

    world.api.fetch = together  # type: ignore[method-assign]

    async def main() -> None:
        await world.collect_for(60.0)
        await anyio.sleep(restart_s - 60.0)
        await world.collect_for(600.0)

    run(main)
    assert met, "they never met"
    world.assert_each_once(restart_s + 300.0)


def test_a_long_walk_goes_on_where_its_rows_proved_order() -> None:
    """Killed in the middle of a slice with rows in order: the next process does not ask for its beginning again."""
    world = World(FakeApi([AID], every(1, HOUR_S, from_s=360), page_rows=100))
    world.api.latency_s = lambda: 1.0

    async def main() -> None:
        await anyio.sleep(HOUR_S + OVERLAP_S)
        with anyio.move_on_after(25.0):
            await world.shard().run()
        walked = ledger(world).walked
        asked = len(world.api.asked)
        await world.catch_up()
        again = [request for _, request in world.api.asked[asked:] if request is not None]
        assert walked
        for start, end in walked:
            inside = end - OVERLAP_S - 60
            assert not [r for r in again if r.window.start <= start and r.window.end >= inside], "from the first page"

    run(main)
    world.assert_each_once(HOUR_S)


def test_a_ledger_stays_small() -> None:
    """A day with an outage every hour and a page that is nothing now and then: a few KB at most."""
    world = World(FakeApi([AID], every(300, DAY_S)), poll_interval_s=120.0)
    turns = iter(range(10**9))

    def now_and_then(request: PageRequest | None) -> SourceError | None:
        broken = request is not None and next(turns) % 7 == 0
        return PageMalformed("nothing", Answer(200, Quota(240, 200, None))) if broken else None

    world.api.fault = now_and_then

    async def main() -> None:
        for _ in range(23):
            await world.collect_for(1_500.0)
            await anyio.sleep(2_100.0)
        await world.collect_for(1_500.0)

    run(main)
    world.assert_each_once(23 * HOUR_S)
    value = world.kafka.state[f"progress/example/{AID}"]
    assert len(value) <= 1_024
    assert orjson.loads(value)["version"] == 2


def test_once_leaves_nothing_to_do() -> None:
    """A scheduled ``--once`` after hours: the gap and the sweeps that were due are done before it ends."""
    sessions = make_sessions([AID], 300, 600.0)
    late = [s._replace(suffix="x" + s.suffix[1:], committed=s.date + 4 * HOUR_S) for s in sessions[:40]]
    world = World(FakeApi([AID], [*sessions, *late]))

    async def main() -> None:
        await anyio.sleep(700.0)
        await world.catch_up()
        await anyio.sleep(6 * HOUR_S)
        await world.catch_up()

    run(main)
    world.assert_each_once(6 * HOUR_S)
    assert world.organization.given_up == {}


def test_a_window_that_catch_up_is_refused_parks_nobody() -> None:
    """The API answers 400 to everything older than an hour: hot goes on; the old is left out, told, and given up."""
    world = World(FakeApi([AID], every(60, 5 * HOUR_S)))

    async def main() -> None:
        await world.collect_for(300.0)
        await anyio.sleep(2 * HOUR_S)
        world.api.fault = lambda request: (
            ApiRejected(Rejection.BAD_REQUEST, "400", Answer(400))
            if request is not None and request.window.start < EPOCH + 2 * HOUR_S - 1_800
            else None
        )
        await world.collect_for(HOUR_S)

    run(main)
    assert world.diary.parked_aids == []
    missing = [s for s in world.missing(3 * HOUR_S) if s.date >= EPOCH + 2 * HOUR_S - 1_700]
    assert not missing
    hot = [at for at, _ in world.diary.finished if at > 2 * HOUR_S + 400.0]
    assert max(b - a for a, b in pairwise(hot)) <= 120.0


def test_rows_without_order_are_walked_in_windows_that_a_restart_may_repeat() -> None:
    """Two thousand pages in no order: the windows become shorter instead, and every session arrives once."""
    world = World(FakeApi([AID], every(2, 0.0, from_s=-3_600), page_rows=1, limit=100_000))
    world.api.order = lambda session: session.suffix[::-1]

    async def main() -> None:
        with anyio.fail_after(HOUR_S):
            await world.catch_up()

    run(main)
    assert max(walk.pages for walk in world.diary.walks) <= PAGES_UNPROVEN_MAX
    assert any("no end" in detail for _, detail in world.diary.failures)
    assert len(world.kafka.records) == len(world.api.sessions)
    world.assert_each_once(-1.0)
