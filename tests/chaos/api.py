"""The simulated API of one run: `te-collector simulate`, its truth, its faults, and a tenant that spends the quota.

One rule: one disturbance at a time, and each of them is over when `disturb` returns.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from tests.chaos.plan import Kind, Step
from tests.chaos.program import Program

START_DEADLINE_S = 120.0
ASK_TIMEOUT_S = 60.0
"""The whole truth is some dozen megabytes, on a machine that does much else."""

LATE_MAX_S = 60
"""Latest commit after a session took place; shorter than the overlap by more than a round."""

OVERLAP_S = 180

TENANT_REQUESTS = 4
"""In flight at the same time while somebody else spends the quota."""

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")

FAULTS: dict[str, float] = {
    "status_500": 0.005,
    "status_503": 0.005,
    "dropped": 0.005,
    "truncated": 0.005,
    "malformed": 0.005,
    "bad_cursor": 0.01,
    "cursor_loop": 0.01,
    "empty_last_page": 0.1,
}
"""Always, a little; disturbances come on top."""

_NONE = dict.fromkeys(("status_500", "status_503", "dropped", "truncated", "malformed"), 0.0)
_DISTURBANCES: dict[Kind, dict[str, float]] = {
    Kind.OUTAGE: {**_NONE, "dropped": 1.0},
    Kind.ERRORS: {**_NONE, "status_500": 0.3, "status_502": 0.3, "status_503": 0.3},
    Kind.GARBAGE: {**_NONE, "dropped": 0.2, "truncated": 0.2, "malformed": 0.2, "error_in_200": 0.1},
    Kind.CURSORS: {"bad_cursor": 0.6, "cursor_loop": 0.2},
}


@dataclass(frozen=True, slots=True)
class Load:
    """What the API has to offer.

    Args:
        organizations: how many.
        groups: account groups of each.
        sessions_per_minute: of each organization.
        history_s: sessions that are there before anything starts, seconds.
        page_size: rows of a page.
        quota: requests a minute and organization.
    """

    organizations: int = 6
    groups: int = 1
    sessions_per_minute: int = 200
    history_s: int = 300
    page_size: int = 40
    quota: int = 2400

    def options(self, seed: int) -> list[str]:
        """Of `te-collector simulate`."""
        switches: dict[str, object] = {
            "port": 0,
            "seed": seed,
            "organization-count": self.organizations,
            "account-groups": self.groups,
            "sessions-per-minute": self.sessions_per_minute,
            "history-s": self.history_s,
            "page-size": self.page_size,
            "quota": self.quota,
            "other-tenants-per-minute": self.quota // 20,
            "late-share": 0.05,
            "late-max-s": LATE_MAX_S,
            "bad-share": 0.01,
            "unusual-share": 0.02,
            "changed-share": 0.02,
            "several-rows-share": 0.02,
            "clock-offset-s": 97,
            **{f"fault-{name.replace('_', '-')}": share for name, share in FAULTS.items()},
        }
        return [text for name, value in switches.items() for text in (f"--{name}", str(value))]


class Api:
    """A running simulator; made by `open_api`."""

    def __init__(self, load: Load, base_url: str, client: httpx.AsyncClient) -> None:
        self.load = load
        self.base_url = base_url
        self._client = client
        self._one_at_a_time = anyio.Lock()
        self._latest_s = 0.0

    def token(self, number: int) -> str:
        """Of an organization, from 0."""
        return "simulator-token" + (f"-{number + 1}" if number else "")

    async def control(self, path: str, body: Any = None, method: str = "") -> Any:
        """Call a control endpoint; returns its JSON."""
        answer = await self._client.request(
            method or ("GET" if body is None else "POST"),
            f"{self.base_url}/_sim/{path}",
            content=None if body is None else json.dumps(body),
        )
        return answer.raise_for_status().json()

    async def disturb(self, step: Step) -> None:
        """One disturbance, from its beginning to its end."""
        async with self._one_at_a_time:
            if step.kind is Kind.CLOCK:
                self._latest_s = max(self._latest_s, await self.now())
                await self.control("clock", {"advance_s": step.lasts_s})
            elif step.kind is Kind.QUOTA:
                await self._spend(int(step.choice * self.load.organizations))
            else:
                await self.control("faults", _DISTURBANCES[step.kind])
                await anyio.sleep(step.lasts_s)
                await self.control("faults", method="DELETE")

    async def now(self) -> float:
        """The server's time."""
        return float((await self.control("clock"))["serverTime"])

    async def calm(self) -> float:
        """No faults any more, the clock beyond wherever it was, and nothing new; returns when that was."""
        async with self._one_at_a_time:
            await self.control("faults", {**dict.fromkeys(FAULTS, 0.0)})
            behind_s = self._latest_s - await self.now()
            if behind_s >= 0:
                await self.control("clock", {"advance_s": behind_s + 1.0})
            return float((await self.control("freeze", {}))["frozenAt"])

    async def truth(self) -> dict[str, Any]:
        """Everything that is shown."""
        return await self.control("truth")  # type: ignore[no-any-return]

    async def faults_that_happened(self) -> Mapping[str, int]:
        """How many answers were spoiled, by kind, and how many said 429."""
        counts: dict[str, int] = {}
        for organization in (await self.control("stats"))["organizations"]:
            for kind, count in {**organization["faults"], "429": organization["tooManyRequests"]}.items():
                counts[kind] = counts.get(kind, 0) + count
        return counts

    async def requests_by_group(self) -> dict[str, int]:
        """How often each account group was asked for."""
        organizations = (await self.control("stats"))["organizations"]
        return {aid: count for one in organizations for aid, count in one["requestsByAid"].items()}

    async def _spend(self, number: int) -> None:
        """Somebody else asks until an organization's quota is spent, or has asked as often as it allows."""
        left = self.load.quota
        headers = {"Authorization": f"Bearer {self.token(number)}"}

        async def ask() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                try:
                    answer = await self._client.get(f"{self.base_url}/v7/account-groups", headers=headers)
                except httpx.HTTPError:  # dropped: a fault that is always there
                    continue
                if answer.status_code == 429:
                    left = 0

        async with anyio.create_task_group() as tasks:
            for _ in range(TENANT_REQUESTS):
                tasks.start_soon(ask)


@asynccontextmanager
async def open_api(load: Load, seed: int, folder: Path) -> AsyncIterator[Api]:
    """Run the simulator until the block ends."""
    program = await Program.start(["collector", "simulate", *load.options(seed)], folder / "simulator.log")
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=ASK_TIMEOUT_S) as client:
            with anyio.fail_after(START_DEADLINE_S):
                while (found := _ADDRESS.search(said := await program.said())) is None:
                    assert program.exit_code is None, f"the simulator ended: {said}"
                    await anyio.sleep(0.05)  # it is another process
            yield Api(load, found[0], client)
    finally:
        await program.aclose()
