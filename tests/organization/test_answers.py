"""What an organization does about each kind of answer, and that one account group's trouble is nobody else's."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest
import trio

from collector.core.model import NO_ANSWER, Answer, PageRequest, Quota
from collector.errors import ApiRejected, PageMalformed, Rejection, SourceError, StartRefused
from collector.organization.gate import OrganizationStopped
from collector.ports import Admit, at_once
from tests.core.pages import EPOCH, make_collector
from tests.organization.fakes import FakeApi, FakeKafka, Session
from tests.organization.world import OVERLAP_S, World, make_sessions, run

AIDS = ["11", "12", "13"]
BAD = "11"
STATUS = {
    Rejection.UNAUTHORIZED: 401,
    Rejection.FORBIDDEN: 403,
    Rejection.BAD_REQUEST: 400,
    Rejection.VERSION_GONE: 404,
    Rejection.UNAVAILABLE: 503,
    Rejection.UNREACHABLE: 0,
}


def rejected(kind: Rejection) -> SourceError:
    """An answer of this kind, without quota."""
    return ApiRejected(kind, str(kind), Answer(STATUS[kind]) if STATUS[kind] else NO_ANSWER)


def of_the_bad(error: SourceError) -> FakeApi:
    """An API that answers one account group with an error, always."""
    api = FakeApi(AIDS, make_sessions(AIDS, 200, 300.0))
    api.fault = lambda request: error if request is not None and request.aid == BAD else None
    return api


def only_the_bad_is_missing(world: World) -> bool:
    """Whether everything of the other account groups can be read, and nothing of the bad one."""
    missing = {session.identifier for session in world.missing(600.0)}
    return missing == {session.identifier for session in world.api.sessions if session.aid == BAD}


@pytest.mark.parametrize(
    "error",
    [
        rejected(Rejection.FORBIDDEN),
        rejected(Rejection.BAD_REQUEST),
        PageMalformed("no page", Answer(200, Quota(240, 200, None))),
    ],
    ids=lambda error: getattr(error, "kind", "malformed"),
)
def test_one_account_group_does_not_delay_the_others(error: SourceError) -> None:
    """Refused, or answered with nonsense, for one account group: the others are complete, as often as ever."""
    world = World(of_the_bad(error))

    async def main() -> None:
        await world.collect_for(600.0 + OVERLAP_S)

    run(main)
    assert only_the_bad_is_missing(world)
    walks = Counter(aid for _, aid in world.diary.finished)
    assert min(walks[aid] for aid in AIDS if aid != BAD) >= 25
    parked = getattr(error, "kind", None) is not None
    assert world.diary.parked_aids == ([BAD] if parked else [])
    asked = [request for _, request in world.api.asked if request is not None and request.aid == BAD]
    assert len(asked) <= (5 if parked else 130)  # two lanes: the newest, and what a hot walk could not take along


def test_a_parked_account_group_comes_back() -> None:
    """Permissions were given: the account group is asked within ten minutes, and nothing of it is missing."""
    world = World(of_the_bad(rejected(Rejection.FORBIDDEN)))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 1_300.0)
            await anyio.sleep(60.0)
            world.api.fault = lambda request: None

    run(main)
    world.assert_each_once(1_200.0)


def test_a_window_that_is_refused_is_halved() -> None:
    """The API answers 400 to ranges over half an hour, after a long pause: the windows become small enough."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 100, 0.0)))

    def too_long(request: PageRequest | None) -> SourceError | None:
        wide = request is not None and request.window.end - request.window.start > 1_900
        return rejected(Rejection.BAD_REQUEST) if wide else None

    world.api.fault = too_long

    async def main() -> None:
        await world.collect_for(2_500.0)

    run(main)
    assert not world.missing(300.0)


@pytest.mark.parametrize("kind", [Rejection.UNAVAILABLE, Rejection.UNREACHABLE])
def test_an_api_that_is_away_is_asked_rarely_and_then_again(kind: Rejection) -> None:
    """Ten minutes of 5xx or of no answer: few requests; afterwards everything is collected."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 200, 600.0)))
    world.api.fault = lambda request: rejected(kind) if 30.0 < trio.current_time() < 630.0 else None

    async def main() -> None:
        await world.collect_for(630.0 + 400.0 + OVERLAP_S)

    run(main)
    world.assert_each_once(630.0 + 300.0)
    during = [at for at, _ in world.api.asked if 30.0 < at < 630.0]
    assert 8 <= len(during) <= 40


@pytest.mark.parametrize("kind", [Rejection.UNAUTHORIZED, Rejection.VERSION_GONE])
def test_the_whole_organization_stops(kind: Rejection) -> None:
    """401, or a version that is gone: a request every few minutes, far from the 100 a minute that block an address."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 100, 0.0)))
    world.api.latency_s = lambda: 3.0
    world.api.fault = lambda request: rejected(kind) if trio.current_time() > 10.0 else None

    async def main() -> None:
        await world.collect_for(3_600.0)

    run(main)
    after = [at for at, _ in world.api.asked if at > 10.0]
    assert len(after) <= world.concurrency + 4  # one probe after 5, 10, 20 minutes, whoever waits besides
    assert len(world.diary.stops) == 1


def test_changed_credentials_open_the_gate() -> None:
    """A new token is noticed within seconds, and everything goes on."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 100, 0.0)))
    world.api.fault = lambda request: rejected(Rejection.UNAUTHORIZED) if world.fingerprint == "first" else None

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 130.0)
            await anyio.sleep(60.0)
            world.fingerprint = "second"

    run(main)
    assert len(world.diary.resumptions) == 1
    assert world.diary.resumptions[0] <= 70.0
    assert world.kafka.events()


def test_an_answer_that_was_on_its_way_does_not_multiply_401s() -> None:
    """Many walks at once, then 401: at most one for each request that was on its way, and one probe at a time after."""
    aids = [str(number) for number in range(50)]
    world = World(FakeApi(aids, [], limit=10_000), concurrency=16)
    world.api.fault = lambda request: rejected(Rejection.UNAUTHORIZED) if trio.current_time() > 5.0 else None

    async def main() -> None:
        await world.collect_for(60.0)

    run(main)
    assert sum(at > 5.0 for at, _ in world.api.asked) <= 16


def test_credentials_that_change_right_after_the_refusal_count() -> None:
    """The operator was quick: what was changed before the first look is not taken for what was refused."""
    world = World(FakeApi(AIDS, []))
    world.api.fault = lambda request: rejected(Rejection.UNAUTHORIZED) if world.fingerprint == "first" else None

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 100.0)
            await anyio.sleep(1.5)
            assert world.diary.stops
            world.fingerprint = "second"

    run(main)
    (resumed,) = world.diary.resumptions
    assert resumed < 60.0


def test_once_ends_when_the_organization_is_refused() -> None:
    """``until_caught_up`` and 401: an error for the operator instead of waiting."""
    world = World(FakeApi(AIDS, []))
    world.api.fault = lambda request: rejected(Rejection.UNAUTHORIZED)

    async def main() -> None:
        with pytest.raises(OrganizationStopped):
            await world.catch_up()

    run(main)


@pytest.mark.parametrize("kind", [Rejection.FORBIDDEN, Rejection.UNAVAILABLE])
def test_once_ends_although_an_account_group_never_answers(kind: Rejection) -> None:
    """``until_caught_up``: an account group that does not get there is given up and named; the others are complete."""
    world = World(of_the_bad(rejected(kind)))

    async def main() -> None:
        await anyio.sleep(300.0 + OVERLAP_S)
        await world.catch_up()

    run(main)
    assert set(world.organization.given_up) == {BAD}
    assert only_the_bad_is_missing(world)


def test_once_ends_only_when_now_is_reached() -> None:
    """``until_caught_up`` with windows that work only when they are short: the first of them is not the end."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 100, 0.0)))

    def unreadable(request: PageRequest | None) -> SourceError | None:
        wide = request is not None and request.window.end - request.window.start > 700
        return PageMalformed("too much", Answer(200)) if wide else None

    world.api.fault = unreadable

    async def main() -> None:
        await anyio.sleep(OVERLAP_S)
        await world.catch_up()

    run(main)
    world.assert_each_once(OVERLAP_S)


def test_once_forgets_that_it_gave_up_when_it_gets_there_after_all() -> None:
    """Given up before a restore, complete after it: nobody is told that it failed."""
    world = World(of_the_bad(rejected(Rejection.FORBIDDEN)), FakeKafka())
    world.kafka.fails = lambda: "after" if world.organization.given_up and world.kafka.opened < 2 else None  # type: ignore[method-assign]
    refused = world.api.fault
    world.api.fault = lambda request: refused(request) if world.kafka.opened < 2 else None

    async def main() -> None:
        await anyio.sleep(300.0 + OVERLAP_S)
        await world.catch_up()

    run(main)
    assert world.diary.parked_aids == [BAD]
    assert world.kafka.opened == 2
    assert world.organization.given_up == {}
    world.assert_each_once(300.0)


@pytest.mark.parametrize("latency_s", [0.1, 3.0])
def test_next_links_in_a_circle_do_not_hold_anyone_up(latency_s: float) -> None:
    """A walk that leads in a circle is given up and tried with half of its window, until it works, late ones too."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 300, 900.0)))
    world.api.latency_s = lambda: latency_s
    circle = world.api.fetch

    class Circles(FakeApi):
        async def fetch(self, request: PageRequest, admit: Admit = at_once):  # type: ignore[no-untyped-def]
            page = await circle(request, admit)
            if request.aid == BAD and request.window.end - request.window.start > 400 and request.continuation:
                object.__setattr__(page, "continuation", request.continuation)
            return page

    world.api.fetch = Circles.fetch.__get__(world.api)  # type: ignore[method-assign]

    async def main() -> None:
        await world.collect_for(1_800.0)

    run(main)
    assert any("circle" in detail for _, detail in world.diary.failures)
    world.assert_each_once(1_200.0)


def test_our_own_defect_stays_with_its_account_group() -> None:
    """An exception inside ``collect`` is told, delays that account group, and stops nobody else."""

    class Defect:
        def collect(self, page, seen, provenance):  # type: ignore[no-untyped-def]
            if provenance.aid == BAD:
                raise ZeroDivisionError("a defect")
            return make_collector().collect(page, seen, provenance)

    world = World(FakeApi(AIDS, make_sessions(AIDS, 200, 300.0)), collector=Defect())

    async def main() -> None:
        await world.collect_for(600.0 + OVERLAP_S)

    run(main)
    assert only_the_bad_is_missing(world)
    assert all(isinstance(error, ZeroDivisionError) for error in world.diary.crashes)
    assert not world.diary.failed_alone, "the whole organization started over"
    assert world.kafka.opened == 1


def test_sessions_of_another_account_group_are_never_published() -> None:
    """The API answers for its default account group: nothing is published under the wrong name, and it is parked."""
    world = World(FakeApi([BAD], [Session("99", f"n{n:07}", EPOCH - 100, EPOCH - 90) for n in range(30)]))
    world.api.sessions = [session._replace(aid=BAD) for session in world.api.sessions]
    world.api.page_rows = 1_000
    foreign = world.api.fetch

    class Foreign(FakeApi):
        async def fetch(self, request: PageRequest, admit: Admit = at_once):  # type: ignore[no-untyped-def]
            page = await foreign(request, admit)
            for row in page.rows:
                row["userSessionId"] = row["userSessionId"].replace("00011:", "00099:")
            return page

    world.api.fetch = Foreign.fetch.__get__(world.api)  # type: ignore[method-assign]

    async def main() -> None:
        await world.collect_for(60.0)

    run(main)
    assert world.kafka.records == []
    assert world.diary.parked_aids == [BAD]


def test_a_state_that_cannot_be_read_stops_the_shard() -> None:
    """A foreign or newer state is for an operator: no retry, no fresh start."""
    world = World(FakeApi(AIDS, []))
    world.kafka.state["progress/example/11"] = b'{"version":99}'

    async def main() -> None:
        with pytest.raises(StartRefused, match="newer"):
            await world.shard().run()

    run(main)


def test_an_account_group_that_flickers_is_walked_once_at_a_time() -> None:
    """The list lacks an account group for one refresh during a long walk of it: no second walk beside it."""
    world = World(FakeApi(AIDS, make_sessions([BAD], 400, 0.0), page_rows=1), concurrency=4)
    world.api.latency_s = lambda: 4.0

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 1_900.0)
            await anyio.sleep(200.0)
            world.api.aids = AIDS[1:]
            await anyio.sleep(300.0)
            world.api.aids = AIDS

    run(main)
    world.assert_each_once(1_000.0)


def test_one_stray_404_stops_nobody() -> None:
    """An API that works and answers 404 once goes on being asked; only several in a row mean that it is gone."""
    world = World(FakeApi(AIDS, make_sessions(AIDS, 100, 300.0)))
    strays = iter([False] * 10 + [True])
    world.api.fault = lambda request: rejected(Rejection.VERSION_GONE) if request and next(strays, False) else None

    async def main() -> None:
        await world.collect_for(300.0 + OVERLAP_S)

    run(main)
    assert world.diary.stops == []
    world.assert_each_once(300.0)
