"""`Turnstile`: one at a time, those ahead first, and nobody is forgotten when somebody gives up."""

from __future__ import annotations

import anyio
import pytest

from collector.organization.turnstile import Turnstile
from tests.organization.world import run


def test_who_came_ahead_goes_first_and_the_rest_in_order() -> None:
    """Five wait, two of them ahead: these two first, each kind in the order in which it came."""
    order: list[str] = []

    async def main() -> None:
        turnstile = Turnstile()

        async def pass_through(name: str, ahead: bool) -> None:
            await turnstile.enter(ahead=ahead)
            await anyio.sleep(1.0)
            order.append(name)
            turnstile.leave()

        async with anyio.create_task_group() as tasks:
            for name, ahead in (("first", False), ("b", False), ("x", True), ("c", False), ("y", True)):
                tasks.start_soon(pass_through, name, ahead)
                await anyio.sleep(0.1)

    run(main)
    assert order == ["first", "x", "y", "b", "c"]


@pytest.mark.parametrize("in_the_moment", [False, True])
def test_giving_up_takes_nobodys_place(in_the_moment: bool) -> None:
    """One who waits is cancelled, before or in the very moment in which it is let in: the next one still goes."""
    passed: list[str] = []

    async def main() -> None:
        turnstile, scope = Turnstile(), anyio.CancelScope()
        await turnstile.enter(ahead=False)

        async def gives_up() -> None:
            with scope:
                await turnstile.enter(ahead=False)
                passed.append("gives up")

        async def waits() -> None:
            await turnstile.enter(ahead=False)
            passed.append("waits")
            turnstile.leave()

        with anyio.fail_after(60.0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(gives_up)
                await anyio.sleep(0.1)
                tasks.start_soon(waits)
                await anyio.sleep(0.1)
                scope.cancel()
                if not in_the_moment:
                    await anyio.sleep(0.1)
                turnstile.leave()

    run(main)
    assert passed == ["waits"]
