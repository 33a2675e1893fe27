"""`RequestGate`: what becomes of a request that nobody waits for any more."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import anyio
import pytest
import trio

from collector.core.model import Answer, EpochS, Page, Quota
from collector.errors import PageMalformed, SourceError
from collector.organization.gate import Draining, RequestGate
from collector.ports import Admit
from tests.core.pages import EPOCH, make_page
from tests.organization.world import Diary, VirtualClock, run


async def unchanging() -> str:
    """Credentials that stay the same."""
    return "the same"


def gate(observer: Diary | None = None) -> RequestGate:
    """A gate that has not asked anything."""
    return RequestGate(
        "acme",
        fingerprint=unchanging,
        quota_share=0.8,
        clock=VirtualClock(0.0),
        rng=random.Random(1),
        observer=observer or Diary(),
    )


async def never(admit: Admit) -> Page:
    """An API that hangs."""
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize("by_drain", [True, False])
def test_a_request_that_is_given_up_is_no_longer_on_its_way(by_drain: bool) -> None:
    """Drained or cancelled from outside: the budget hears of it, or it would wait for the answer for ever."""
    drained: list[Draining] = []

    async def main() -> int:
        asking, scope = gate(), anyio.CancelScope()

        async def ask() -> None:
            with scope:
                try:
                    await asking.ask(never)
                except Draining as error:
                    drained.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1.0)
            assert asking.budget.in_flight == 1
            if by_drain:
                asking.drain()
            else:
                scope.cancel()
        return asking.budget.in_flight

    assert run(main) == 0
    assert len(drained) == by_drain


class Answers(Diary):
    """When the gate told of an answer, virtual seconds, and what the budget had on its way then."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def answered(self, answer: Any, budget: Any, clock: Any, now: Any) -> None:
        self.at.append(now)
        super().answered(answer, budget, clock, now)


@pytest.mark.parametrize("then", ["page", "malformed", "drained"])
def test_an_answer_counts_as_it_arrives(then: str) -> None:
    """While its rows wait for room: the budget and the clock know it, once, whatever becomes of the rows."""
    answers, ended = Answers(), list[str]()

    async def main() -> int:
        asking = gate(answers)

        async def fetch(admit: Admit) -> Page:
            await anyio.sleep(0.5)
            answer = Answer(200, Quota(240, 239, EPOCH + 30), EpochS(EPOCH + trio.current_time()))
            await admit(answer, 350_000)
            if then == "malformed":
                raise PageMalformed("no page", answer)
            return replace(make_page([]), answer=answer)

        async def no_room_yet(body_bytes: int) -> None:
            assert body_bytes == 350_000
            await anyio.sleep(5.0)

        async def ask() -> None:
            try:
                await asking.ask(fetch, room=no_room_yet)
            except (SourceError, Draining) as error:
                ended.append(type(error).__name__)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1.0)
            assert asking.budget.in_flight == 0
            assert asking.server_clock.now(VirtualClock().monotonic()) == pytest.approx(EPOCH + 1.0, abs=1.0)
            if then == "drained":
                asking.drain()
        return asking.budget.in_flight

    assert run(main) == 0
    assert answers.at == [0.5]
    assert ended == {"page": [], "malformed": ["PageMalformed"], "drained": ["Draining"]}[then]
