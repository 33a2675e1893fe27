"""`Room`: as many pages at a time as fit, first come, first served, and nobody waits for good."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from collector.core.model import Page
from collector.core.walk import WalkState
from collector.organization.room import BODY_BYTES_MAX, WAIT_S, Room
from collector.organization.walker import Walker
from tests.core.pages import EPOCH
from tests.organization.fakes import ROW_BYTES, FakeApi, FakeKafka, Session
from tests.organization.world import World, make_sessions, run


class Visits:
    """Pages in a room that has place for 100 bytes: when each came in and left."""

    def __init__(self) -> None:
        self.room = Room(100)
        self.inside: dict[str, int] = {}
        self.order: list[str] = []
        self.most = 0

    async def visit(self, name: str, body_bytes: int, stays_s: float) -> None:
        with self.room.place() as place:
            await place.take(body_bytes)
            self.inside[name] = body_bytes
            self.order.append(name)
            self.most = max(self.most, sum(self.inside.values()))
            await anyio.sleep(stays_s)
            del self.inside[name]


def test_as_many_as_fit_and_in_the_order_of_coming() -> None:
    """A small page does not overtake a large one that waits: else the large one might wait for ever."""

    async def main() -> Visits:
        visits = Visits()
        async with anyio.create_task_group() as tasks:
            for name, body_bytes in (("a", 60), ("b", 20), ("large", 90), ("small", 20), ("c", 90)):
                tasks.start_soon(visits.visit, name, body_bytes, 1.0)
                await anyio.sleep(0.1)
        return visits

    visits = run(main)
    assert visits.order == ["a", "b", "large", "small", "c"]
    assert visits.most == 90


def test_a_page_larger_than_the_room_waits_for_nobody_and_nobody_for_it() -> None:
    """It may take ten seconds to read, and is one of its kind at a time for another reason."""

    async def main() -> float:
        visits, began = Visits(), anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for name, body_bytes in (("a", 100), ("huge", 101), ("b", 100)):
                tasks.start_soon(visits.visit, name, body_bytes, 1.0)
                await anyio.sleep(0.1)
        return anyio.current_time() - began

    assert run(main) == pytest.approx(2.0)


def test_rows_that_lead_to_no_record_need_no_room() -> None:
    """Of a page of ten rows one is published: nine tenths of its room are free for the next page, and then all."""

    async def main() -> list[float]:
        room, began, waited = Room(100), anyio.current_time(), []
        with room.place() as place, room.place() as other:
            await place.take(100)
            place.keep(1, 10)
            await other.take(90)
            waited.append(anyio.current_time() - began)
            other.keep(0, 0)
            with room.place() as third:
                await third.take(90)
            waited.append(anyio.current_time() - began)
        with room.place() as place:
            await place.take(100)
        return [*waited, anyio.current_time() - began]

    assert run(main) == [0.0, 0.0, 0.0]


def test_nobody_waits_for_good() -> None:
    """When nothing leaves, a page comes in all the same after a while, and the room forgets none of it."""

    async def main() -> tuple[float, float]:
        visits, began = Visits(), anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visits.visit, "stays", 100, 10 * WAIT_S)
            await anyio.sleep(0.1)
            await visits.visit("in spite", 100, 0.0)
            waited_s = anyio.current_time() - began
            tasks.cancel_scope.cancel()
        began = anyio.current_time()
        await visits.visit("later", 100, 0.0)
        return waited_s, anyio.current_time() - began

    waited_s, later_s = run(main)
    assert waited_s == pytest.approx(WAIT_S + 0.1)
    assert later_s == 0.0


@pytest.mark.parametrize("in_the_moment", [False, True])
def test_who_gives_up_takes_no_room(in_the_moment: bool) -> None:
    """One who waits is cancelled, before or in the very moment in which it is let in: all of the room is left."""

    async def main() -> float:
        visits, scope = Visits(), anyio.CancelScope()
        first = visits.room.place()

        async def gives_up() -> None:
            with scope:
                await visits.visit("gives up", 100, 100.0)

        async with anyio.create_task_group() as tasks:
            with first as place:
                await place.take(100)
                tasks.start_soon(gives_up)
                await anyio.sleep(0.1)
                if not in_the_moment:
                    scope.cancel()
                    await anyio.sleep(0.1)
            scope.cancel()
        began = anyio.current_time()
        await visits.visit("later", 100, 0.0)
        return anyio.current_time() - began

    assert run(main) == 0.0


def test_a_place_holds_one_page() -> None:
    """Taking room for the next page gives back that of the one before, also when that was no page."""

    async def main() -> float:
        room, began = Room(100), anyio.current_time()
        with room.place() as place:
            for _ in range(3):
                await place.take(100)
            place.leave()
            with room.place() as other:
                await other.take(100)
        return anyio.current_time() - began

    assert run(main) == 0.0


def test_no_more_pages_are_decoded_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four walks of full pages while every commit takes a second: two pages in hand, and everything arrives."""
    aids = ["11", "12", "13", "14"]
    rows = 1_000
    world = World(FakeApi(aids, make_sessions(aids, 4 * 6_000, 900.0), page_rows=rows), FakeKafka(latency_s=1.0))
    take, in_hand, most = Walker._take, 0, 0

    async def watched(self: Walker, page: Page, *rest: Any) -> WalkState:
        nonlocal in_hand, most
        full = len(page.rows) == rows
        in_hand += full
        most = max(most, in_hand)
        try:
            return await take(self, page, *rest)
        finally:
            in_hand -= full

    monkeypatch.setattr(Walker, "_take", watched)

    async def main() -> None:
        await world.collect_for(600.0)

    run(main)
    assert most == BODY_BYTES_MAX // (rows * ROW_BYTES)
    world.assert_each_once(300.0)


def test_pages_of_published_sessions_share_a_transaction() -> None:
    """Full pages of which little is new, and a slow Kafka: as many as there are walks go together, not two."""
    aids = [str(11 + number) for number in range(16)]
    sessions = [
        Session(aids[number % 16], f"n{number:07}", EPOCH - 600 + number // 48, EPOCH - 599.0 + number // 48)
        for number in range(48 * 900)
    ]
    world = World(
        FakeApi(aids, sessions, page_rows=1_000), FakeKafka(latency_s=0.5), concurrency=16, poll_interval_s=1.0
    )

    async def main() -> None:
        await world.collect_for(240.0)

    run(main)
    later = world.diary.transactions[len(world.diary.transactions) // 2 :]
    assert sum(later) / len(later) > 3.5
