"""A range that an operator asked for: all of it once, whatever was published of it before and whatever crashes."""

from __future__ import annotations

# ruff: noqa: ASYNC110 - virtual time costs nothing, and what is waited for is durable state
from collections import Counter

import anyio
import pytest
import trio

from collector.core.backfill import CANCEL_KIND, BackfillJob, BackfillRequest, JobState, key_of
from collector.core.backfill_jobs import Letter
from collector.core.model import Answer, Destination, Lane, PageRequest
from collector.errors import ApiRejected, Rejection, SourceError
from tests.core.pages import EPOCH
from tests.organization.fakes import FakeApi, Session
from tests.organization.world import NAME, World, run

HOUR_S = 3_600
DAY_S = 86_400
AIDS = ["11", "22"]
NEVER_S = 10_000.0
"""Far more than any job here takes, virtual seconds."""


def every(step_s: int, from_s: int, until_s: int, aids: list[str] | None = None) -> list[Session]:
    """A session every ``step_s`` seconds, of each account group."""
    dates = range(EPOCH + from_s, EPOCH + until_s, step_s)
    return [Session(aid, f"n{n:07}", date, date + 1.0) for aid in aids or AIDS for n, date in enumerate(dates)]


def ask(
    world: World, start: int, end: int, *, job: str = "one", aids: tuple[str, ...] | None = None, share: float = 0.2
) -> None:
    """Write a request, times from the beginning of the test on."""
    now = EPOCH + trio.current_time()
    request = BackfillRequest(job, NAME, EPOCH + start, EPOCH + end, aids, share, now)
    world.letters.append(Letter(request.key, request.to_bytes(), now))


def cancel(world: World, job: str = "one") -> None:
    """Write the wish to cancel a job."""
    world.letters.append(Letter(key_of(CANCEL_KIND, NAME, job), b"{}", EPOCH + trio.current_time()))


def job_of(world: World, job: str = "one") -> BackfillJob | None:
    """What is durable of a job."""
    value = world.kafka.state.get(key_of("backfill", NAME, job))
    return None if value is None else BackfillJob.parse(value)


async def until_over(world: World, job: str = "one") -> BackfillJob:
    """Wait for the end of a job."""
    with anyio.fail_after(NEVER_S):
        while (found := job_of(world, job)) is None or not found.is_over:
            await anyio.sleep(1.0)
    return found


async def collect_until_over(world: World, job: str = "one") -> BackfillJob:
    """One process until a job is over."""
    shard = world.shard()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shard.run)
        found = await until_over(world, job)
        shard.drain()
    return found


def backfilled(world: World, job: str = "one") -> list[str]:
    """The sessions that were published for a job."""
    marked = [r for r in world.kafka.records if dict(r.headers).get("ce_backfilljob") == job.encode()]
    assert {dict(record.headers)["ce_lane"] for record in marked} <= {b"backfill"}
    return [record.key.decode() for record in marked]


def within(world: World, start: int, end: int) -> set[str]:
    """The sessions of a range."""
    return {s.identifier for s in world.api.sessions if EPOCH + start <= s.date <= EPOCH + end}


def assert_nothing_twice(world: World) -> None:
    """Each session that can be read can be read once."""
    assert {i: n for i, n in world.kafka.events().items() if n != 1} == {}


OLD = (-5 * DAY_S, -5 * DAY_S + 20 * HOUR_S)
"""Long before anything was promised, and before the ids that are kept."""


def test_an_old_range_is_published_once_and_marked() -> None:
    """Nothing of it was ever collected: all of it comes, once, with lane and job in the headers."""
    world = World(FakeApi(AIDS, [*every(120, *OLD), *every(60, -1_800, HOUR_S)]))

    async def main() -> BackfillJob:
        ask(world, *OLD)
        return await collect_until_over(world)

    job = run(main)
    assert job.state is JobState.DONE, job
    assert set(backfilled(world)) >= within(world, *OLD)
    assert_nothing_twice(world)
    assert job.counts.events == len(backfilled(world))
    assert job.share_done == 1.0
    assert job.counts.pages > 20


def test_what_was_published_of_a_range_is_not_published_again() -> None:
    """The same range asked for twice, and a range that the collector has walked itself: nothing comes twice."""
    world = World(FakeApi(AIDS, [*every(300, *OLD), *every(60, -1_800, HOUR_S)]))

    async def main() -> None:
        ask(world, *OLD, job="one")
        await collect_until_over(world, "one")
        ask(world, OLD[0] - HOUR_S, OLD[1] + HOUR_S, job="two")
        ask(world, -HOUR_S, 0, job="three")
        await collect_until_over(world, "two")
        await collect_until_over(world, "three")

    run(main)
    assert_nothing_twice(world)
    two, three = job_of(world, "two"), job_of(world, "three")
    assert two is not None
    assert three is not None
    assert two.counts.events == 0
    assert two.counts.seen >= len(within(world, *OLD))
    assert three.counts.events == 0
    assert three.counts.seen >= len(within(world, -1_800, 0))


def test_across_the_edge_of_the_ids_that_are_kept() -> None:
    """A range from before the ids that are kept up to now, parts of which were published: the rest comes, once."""
    world = World(FakeApi(AIDS, every(240, -3 * DAY_S, 2 * HOUR_S)))

    async def main() -> BackfillJob:
        await world.collect_for(600.0)
        ask(world, -2 * DAY_S, -40 * HOUR_S, job="part")
        await collect_until_over(world, "part")
        ask(world, -3 * DAY_S, 0)
        return await collect_until_over(world)

    job = run(main)
    assert job.state is JobState.DONE, job
    assert within(world, -3 * DAY_S, 0) <= set(world.kafka.events())
    assert_nothing_twice(world)


def test_the_ids_that_are_kept_may_be_dropped_meanwhile() -> None:
    """A job that takes hours while ids behind its range are dropped, and hot goes on: nothing twice, nothing lost."""
    world = World(FakeApi(["11"], every(30, -30 * HOUR_S, 8 * HOUR_S, ["11"]), limit=20))
    world.quota_share = 0.9

    async def main() -> BackfillJob:
        await world.collect_for(1_800.0)
        ask(world, -30 * HOUR_S, -1 * HOUR_S, share=0.05)
        shard = world.shard()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shard.run)
            with anyio.fail_after(30 * HOUR_S):
                while (found := job_of(world)) is None or not found.is_over:
                    await anyio.sleep(10.0)
            shard.drain()
        return found

    job = run(main)
    assert job.state is JobState.DONE, job
    assert within(world, -30 * HOUR_S, -HOUR_S) <= set(world.kafka.events())
    assert_nothing_twice(world)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_all_comes_once(seed: int) -> None:
    """Every few seconds the process dies, and transactions fail with and without their commit: all of it, once."""
    world = World(FakeApi(AIDS, [*every(60, *OLD), *every(60, -1_800, HOUR_S)]), seed=seed)
    world.api.latency_s = lambda: 0.5
    world.kafka._lots.seed(seed)
    world.kafka._failure_share = 0.1
    lives = world.kafka._lots

    async def main() -> BackfillJob:
        ask(world, *OLD)
        deaths = 0
        while (found := job_of(world)) is None or not found.is_over:
            with anyio.move_on_after(lives.uniform(0.5, 20.0)):
                await world.shard().run()
            deaths += 1
            assert deaths < 500
        assert deaths > 5
        return found

    job = run(main, seed)
    assert job.state is JobState.DONE, job
    assert within(world, *OLD) <= set(backfilled(world))
    assert_nothing_twice(world)
    assert job.counts.events == len(backfilled(world))


def test_a_restart_goes_on_where_rows_proved_their_order() -> None:
    """Killed in the middle: pages whose progress was durable are not asked for again."""
    world = World(FakeApi(["11"], [*every(10, *OLD, ["11"]), *every(60, -1_800, HOUR_S, ["11"])]))

    async def main() -> None:
        ask(world, *OLD)
        shard = world.shard()
        with anyio.move_on_after(45.0):
            await shard.run()
        before = job_of(world)
        assert before is not None
        (position,) = before.positions
        assert EPOCH + OLD[0] < position.until < EPOCH + OLD[1]
        asked = len(world.api.asked)
        await collect_until_over(world)
        again = [r.window.start for _, r in world.api.asked[asked:] if r is not None and r.window.end < EPOCH - DAY_S]
        assert min(again) >= position.until - 60

    run(main)
    assert_nothing_twice(world)


def test_a_cancelled_job_stops_and_stays_cancelled() -> None:
    """Cancelled while it runs: no further page, also after a restart that reads the request again."""
    world = World(FakeApi(AIDS, [*every(20, *OLD), *every(60, -1_800, HOUR_S)]))

    async def main() -> BackfillJob:
        ask(world, *OLD)
        shard = world.shard()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shard.run)
            while (found := job_of(world)) is None or found.counts.pages < 5:
                await anyio.sleep(0.5)
            cancel(world)
            job = await until_over(world)
            there = len(backfilled(world))
            await anyio.sleep(300.0)
            shard.drain()
        await world.collect_for(300.0)
        assert len(backfilled(world)) == there
        return job

    job = run(main)
    assert job.state is JobState.CANCELLED
    assert job == job_of(world)
    assert 0 < job.share_done < 1
    assert_nothing_twice(world)


def test_a_request_waits_for_a_worker_and_is_taken_once() -> None:
    """Written while nobody runs, read again by each restart: one job; one that waited too long is none."""
    world = World(FakeApi(AIDS, [*every(600, *OLD), *every(600, -1_800, 9 * DAY_S)]))

    async def main() -> None:
        ask(world, *OLD)
        await anyio.sleep(DAY_S)
        first = await collect_until_over(world)
        for _ in range(3):
            await world.collect_for(60.0)
        assert job_of(world) == first
        ask(world, *OLD, job="stale")
        await anyio.sleep(8 * DAY_S)
        await world.collect_for(60.0)
        assert job_of(world, "stale") is None

    run(main)
    assert_nothing_twice(world)


def test_an_account_group_that_is_not_there_fails_the_job_with_the_reason() -> None:
    """A mistyped account group, and a range that the API does not keep: said, and the next job goes on."""
    world = World(FakeApi(AIDS, [*every(600, *OLD), *every(600, -1_800, HOUR_S)]))

    async def main() -> None:
        ask(world, *OLD, job="wrong", aids=("33",))
        ask(world, -50 * DAY_S, -40 * DAY_S, job="gone")
        ask(world, *OLD, job="right", aids=("22",))
        await collect_until_over(world, "right")

    run(main)
    wrong, gone, right = (job_of(world, name) for name in ("wrong", "gone", "right"))
    assert wrong is not None
    assert gone is not None
    assert right is not None
    assert (wrong.state, gone.state) == (JobState.FAILED, JobState.FAILED)
    assert "33" in wrong.reason
    assert "11, 22" in wrong.reason
    assert "api_retention" in gone.reason
    assert right.state is JobState.DONE
    assert {key[:6] for key in backfilled(world, "right")} == {"00022:"}


def test_a_job_whose_account_groups_are_gone_makes_way() -> None:
    """What is left of it is collected no more: it fails with the reason, and the job behind it is done."""
    world = World(FakeApi(AIDS, [*every(20, *OLD), *every(600, -1_800, HOUR_S)], limit=20))

    async def main() -> None:
        ask(world, *OLD, job="gone", aids=("22",))
        ask(world, *OLD, job="right", aids=("11",))
        shard = world.shard()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shard.run)
            while (found := job_of(world, "gone")) is None or found.counts.pages < 3:
                await anyio.sleep(0.5)
            world.api.aids = ["11"]
            await until_over(world, "right")
            shard.drain()

    run(main)
    gone, right = job_of(world, "gone"), job_of(world, "right")
    assert gone is not None
    assert right is not None
    assert gone.state is JobState.FAILED
    assert gone.reason == "account group 22 is not collected any more; what was published stays"
    assert 0 < gone.share_done < 1
    assert right.state is JobState.DONE
    assert_nothing_twice(world)


def test_what_jobs_do_is_told_page_by_page_and_after_a_restart() -> None:
    """Whoever shows the jobs has what is durable: while one runs, and before a new process has walked anything."""
    world = World(FakeApi(["11"], [*every(20, *OLD, ["11"]), *every(60, -1_800, HOUR_S, ["11"])]))

    async def main() -> None:
        ask(world, *OLD)
        with anyio.move_on_after(40.0):
            await world.shard().run()
        assert world.diary.jobs == [job_of(world)]
        (before,) = world.diary.jobs
        assert before.counts.pages > 2
        world.diary.jobs = []
        world.api.fault = lambda request: SourceError("nothing works") if request is not None else None
        with anyio.move_on_after(20.0):
            await world.shard().run()
        assert world.diary.jobs == [before]

    run(main)


def test_what_the_schedule_intends_is_told() -> None:
    """Of every account group, as it is planned anew: a busy one is polled more often than a quiet one."""
    world = World(FakeApi(AIDS, [*every(2, -1_800, HOUR_S, ["11"]), *every(900, -1_800, HOUR_S, ["22"])], limit=20))
    world.poll_interval_s = 1.0

    async def main() -> None:
        await world.collect_for(1_800.0)

    run(main)
    busy, quiet = (world.diary.outlooks[aid] for aid in AIDS)
    assert set(world.diary.outlooks) == set(AIDS)
    assert 0.25 < busy.arrivals_per_s < 1.0
    assert quiet.arrivals_per_s < 0.01
    assert 1.0 <= busy.interval_s < quiet.interval_s


def test_new_sessions_stay_fresh_and_the_share_is_kept() -> None:
    """While hot has always something to ask, a backfill takes its share of the pages and no more."""
    aids = [str(n) for n in range(11, 31)]
    world = World(FakeApi(aids, [*every(5, *OLD, ["11"]), *every(15, -1_800, HOUR_S, aids)], limit=60))
    world.poll_interval_s = 1.0

    async def main() -> None:
        await world.collect_for(900.0)
        ask(world, *OLD, aids=("11",), share=0.05)
        begun = trio.current_time()
        await world.collect_for(1_800.0)
        pages = [r for at, r in world.api.asked if r is not None and at > begun + 300.0]
        mine = [r for r in pages if r.window.end < EPOCH - DAY_S]
        assert 0.02 < len(mine) / len(pages) < 0.1, len(mine) / len(pages)

    run(main)
    late = Counter(dict(r.headers)["ce_lane"] for r in world.kafka.records if r.destination is Destination.EVENTS)
    assert late[b"backfill"] > 0
    assert_nothing_twice(world)


def test_a_round_that_cannot_be_read_is_left_out_and_told() -> None:
    """One minute of the range is refused for ever: the job ends, with that minute named."""
    world = World(FakeApi(["11"], [*every(60, *OLD, ["11"]), *every(60, -1_800, HOUR_S, ["11"])]))
    bad = EPOCH + OLD[0] + 5 * HOUR_S

    def refused(request: PageRequest | None) -> SourceError | None:
        hit = request is not None and request.window.start <= bad <= request.window.end
        return ApiRejected(Rejection.BAD_REQUEST, "400", Answer(400)) if hit else None

    world.api.fault = refused

    async def main() -> BackfillJob:
        ask(world, *OLD)
        return await collect_until_over(world)

    job = run(main)
    assert job.state is JobState.DONE, job
    assert job.skipped_total >= 1
    assert all(one.start <= bad <= one.end and one.end - one.start <= 60 for one in job.skipped)
    assert len(within(world, *OLD) - set(backfilled(world))) <= 3
    assert_nothing_twice(world)


def test_a_lost_range_that_is_backfilled_is_a_gap_no_more() -> None:
    """What an operator has fetched after all is covered."""
    world = World(FakeApi(["11"], every(60, -1_800, 4 * HOUR_S, ["11"])))

    async def main() -> None:
        await world.collect_for(HOUR_S)
        ask(world, -1_800, 1_800)
        await collect_until_over(world)

    run(main)
    group = world.organization._memory.group("11")
    assert any(one.lane is Lane.BACKFILL for one in group.progress.ledger.last)
    assert_nothing_twice(world)
