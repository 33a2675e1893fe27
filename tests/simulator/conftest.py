"""The simulator in memory, made to measure."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from collector.simulator.server import create_app
from collector.simulator.settings import SimulatorSettings
from tests.simulator.api import Api, MakeApi, ManualClock


@pytest.fixture
async def make_api() -> AsyncIterator[MakeApi]:
    """Makes simulators in memory; keyword arguments are settings, without late sessions and absent fields by
    default."""
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []

        def make(**settings: Any) -> Api:
            plain = {"late_share": 0.0, "optional_absent_share": 0.0, "history_s": 1800.0}
            clock = ManualClock()
            app = create_app(SimulatorSettings(**(plain | settings)), clock=clock)
            transport = httpx.ASGITransport(app, client=("192.0.2.7", 50000))
            client = httpx.AsyncClient(transport=transport, base_url="http://simulator")
            clients.append(client)
            return Api(app, client, clock)

        async def close() -> None:
            for client in clients:
                await client.aclose()

        stack.push_async_callback(close)
        yield make


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    """The simulator with plain settings."""
    return make_api()
