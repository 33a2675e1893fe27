"""The organization's quota over hours of virtual time: shared, never exceeded, and independent of the local clock."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from collector.organization.gate import AHEAD_REQUESTS_MAX
from tests.core.pages import EPOCH
from tests.organization.fakes import FakeApi, server_time
from tests.organization.world import OVERLAP_S, World, make_sessions, run

MANY = [str(number) for number in range(1_000)]


def binding_world(**changes: object) -> World:
    """More to ask than the quota allows: 40 account groups, a limit of 30 a minute, a poll every 5 seconds."""
    aids = MANY[:40]
    api = FakeApi(aids, make_sessions(aids, 300, 300.0), limit=30)
    return World(api, poll_interval_s=5.0, **changes)  # type: ignore[arg-type]


def test_a_thousand_account_groups_share_one_quota() -> None:
    """1,000 account groups, 240 requests a minute: no 429, the share is used, all are walked, the busy ones most."""
    api = FakeApi(MANY, make_sessions(MANY, 500, 600.0))
    world = World(api, concurrency=8)

    async def main() -> None:
        await world.collect_for(1_300.0)

    run(main)
    assert world.diary.rejected == 0
    assert max(api.quota.ours.values()) <= 192
    full = sorted(api.quota.ours)[1:-1]
    assert min(api.quota.ours[window] for window in full) >= 0.95 * 192
    walks = Counter(aid for _, aid in world.diary.finished)
    assert set(walks) == set(MANY)
    assert min(walks.values()) >= 3  # all alike would be 4
    sessions = Counter(session.aid for session in api.sessions)
    quiet = [walks[aid] for aid in MANY if not sessions[aid]]
    busy = [walks[aid] for aid in MANY if sessions[aid] >= 2]
    assert sum(busy) / len(busy) > 1.5 * sum(quiet) / len(quiet)


@pytest.mark.parametrize("skew_s", [-90.0, 0.0, 90.0])
def test_a_wrong_local_clock_costs_no_429(skew_s: float) -> None:
    """90 s of local skew, either way: not one refused request, and every session once."""
    world = binding_world(skew_s=skew_s)

    async def main() -> None:
        await world.collect_for(1_200.0)

    run(main)
    assert world.diary.rejected == 0
    assert max(world.api.quota.ours.values()) <= 24
    world.assert_each_once(600.0)


def test_the_local_clock_moves_no_request() -> None:
    """The same run with a right and with a wrong local clock: the same requests at the same moments."""

    def asked(skew_s: float) -> list[object]:
        world = binding_world(skew_s=skew_s)

        async def main() -> None:
            await world.collect_for(300.0)

        run(main)
        return list(world.api.asked)

    assert asked(0.0) == asked(90.0) == asked(-90.0)


def test_others_get_what_they_take() -> None:
    """Another tool spends its reserve in bursts and fails now and then: it is refused nothing, and neither are we."""
    world = binding_world()
    refused = 0

    async def other_tool() -> None:
        nonlocal refused
        while True:
            await anyio.sleep(59.0)
            for _ in range(6 - world.api.quota.others_in_window(server_time())):
                refused += world.api.quota.request(server_time(), ours=False)[0] == 429

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other_tool)
            await world.collect_for(1_800.0)
            tasks.cancel_scope.cancel()

    run(main)
    assert (refused, world.diary.rejected) == (0, 0)


def test_walks_take_turns_at_the_quota() -> None:
    """Three long walks at once: after the pages that each may have ahead, requests leave in the order in which they
    were asked for, and none pushes past."""
    aids = MANY[:3]
    world = World(FakeApi(aids, make_sessions(aids, 300, 0.0), limit=60, page_rows=2), concurrency=3)

    async def main() -> None:
        await world.collect_for(100.0)

    run(main)
    pages = [request.aid for _, request in world.api.asked if request is not None][3 * AHEAD_REQUESTS_MAX : 60]
    assert len(pages) > 30
    assert all(len(set(pages[index : index + 4])) == 3 for index in range(len(pages) - 4))


def test_an_exhausted_quota_is_waited_for() -> None:
    """Others took everything: at most one refused request a window, and all is collected once they stop."""
    world = binding_world()

    async def greedy() -> None:
        while server_time() < EPOCH + 600.0:
            world.api.quota.request(server_time(), ours=False)
            await anyio.sleep(0.5)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(greedy)
            await world.collect_for(600.0 + 1_200.0)

    run(main)
    assert world.diary.rejected <= 11
    world.assert_each_once(600.0 - OVERLAP_S)


def test_what_another_worker_spent_counts_as_ours() -> None:
    """Our organization was another worker's for a moment, which spent our share: we add nothing in that window."""
    world = binding_world(quota_share=0.5)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 260.0)
            await anyio.sleep(60.0 - server_time() % 60.0 + 62.0)
            for _ in range(14):
                world.api.quota.request(server_time(), ours=True)
            world.organization.restore(dict(world.kafka.state))

    run(main)
    assert max(world.api.quota.ours.values()) <= 15 + world.concurrency
