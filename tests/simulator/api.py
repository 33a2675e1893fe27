"""The simulator's API as a test sees it: in memory, with a clock that stands still until the test moves it."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from starlette.applications import Starlette

from collector.simulator.world import World

START = 1_800_000_000.0
"""A full minute, and a multiple of 300 s."""
REAL_USER_TESTS = "/v7/endpoint/test-results/real-user-tests"
V6_SESSIONS = "/v6/endpoint-data/user-sessions"


@dataclass
class ManualClock:
    """A machine's clock that a test sets."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Api:
    """The simulator's API as one caller sees it."""

    app: Starlette
    client: httpx.AsyncClient
    clock: ManualClock
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": "Bearer simulator-token"})

    @property
    def world(self) -> World:
        """What is behind the application."""
        world: World = self.app.state.world
        return world

    async def get(self, path: str, **params: Any) -> httpx.Response:
        """GET with the caller's credentials."""
        return await self.client.get(path, params=params or None, headers=self.headers)

    async def post(self, path: str, body: Any = None, **params: Any) -> httpx.Response:
        """POST with the caller's credentials and a JSON body."""
        return await self.client.post(
            path, params=params or None, headers=self.headers, json={} if body is None else body
        )

    async def tests(self, body: Any = None, **params: Any) -> httpx.Response:
        """One page of the v7 list."""
        return await self.post(f"{REAL_USER_TESTS}/filter", body, **params)

    async def walk_v7(self, body: Any = None, *, pages_max: int = 100, **params: Any) -> list[list[dict[str, Any]]]:
        """The rows of every page of a walk of the v7 list."""
        answer = await self.tests(body, **params)
        pages = []
        for _ in range(pages_max):
            assert answer.status_code == 200, answer.text
            pages.append(answer.json().get("results", []))
            href = answer.json()["_links"].get("next", {}).get("href")
            if href is None:
                return pages
            answer = await self.post(href, body)
        raise AssertionError(f"the walk did not end within {pages_max} pages")

    async def walk_v6(self, *, pages_max: int = 100, **params: Any) -> list[list[dict[str, Any]]]:
        """The rows of every page of a walk of the v6 list."""
        answer = await self.get(f"{V6_SESSIONS}.json", **params)
        pages = []
        for _ in range(pages_max):
            assert answer.status_code == 200, answer.text
            pages.append(answer.json().get("userSessions", []))
            url = answer.json()["pages"].get("next")
            if url is None:
                return pages
            answer = await self.get(url)
        raise AssertionError(f"the walk did not end within {pages_max} pages")

    async def truth(self, **params: Any) -> dict[str, Any]:
        """The truth list."""
        answer = await self.client.get("/_sim/truth", params=params)
        assert answer.status_code == 200, answer.text
        listed: dict[str, Any] = answer.json()
        return listed

    async def faults(self, **changes: Any) -> None:
        """Changes faults at run time."""
        answer = await self.client.post("/_sim/faults", json=changes)
        assert answer.status_code == 200, answer.text


class MakeApi(Protocol):
    """Makes a simulator in memory from settings."""

    def __call__(self, **settings: Any) -> Api:
        """Makes one."""
        ...
