"""Sources under test, opened against a server and closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from collector.sources.thousandeyes import ThousandEyesSource, open_source
from tests.sources.raw_server import RawServer, Script, serving, settings

Serve = Callable[[Script], Awaitable[RawServer]]
OpenSource = Callable[..., Awaitable[tuple[ThousandEyesSource, RawServer]]]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the developer's environment must not come between a test and this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def closed_last() -> AsyncIterator[AsyncExitStack]:
    """Closes servers and sources after the test, the newest first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(closed_last: AsyncExitStack) -> Serve:
    """Serves a script until the test is over."""

    async def serve_(script: Script) -> RawServer:
        return await closed_last.enter_async_context(serving(script))

    return serve_


@pytest.fixture
def open_against(closed_last: AsyncExitStack, serve: Serve) -> OpenSource:
    """Opens a source against a script; ``prefix`` is a path of the base URL, further arguments are settings."""

    async def open_(script: Script, prefix: str = "", **changes: object) -> tuple[ThousandEyesSource, RawServer]:
        server = await serve(script)
        source = open_source(settings(f"{server.base_url}{prefix}", **changes))
        closed_last.push_async_callback(source.aclose)
        return source, server

    return open_
