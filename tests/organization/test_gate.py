"""`RequestGate`: what becomes of a request that nobody waits for any more."""

from __future__ import annotations

import random

import anyio
import pytest

from collector.core.model import Page
from collector.organization.gate import Draining, RequestGate
from tests.organization.world import Diary, VirtualClock, run


async def unchanging() -> str:
    """Credentials that stay the same."""
    return "the same"


def gate() -> RequestGate:
    """A gate that has not asked anything."""
    return RequestGate(
        "acme",
        fingerprint=unchanging,
        quota_share=0.8,
        clock=VirtualClock(0.0),
        rng=random.Random(1),
        observer=Diary(),
    )


async def never() -> Page:
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
