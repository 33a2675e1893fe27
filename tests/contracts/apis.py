"""Two APIs behind one face: the simulation's, and the real source against the API simulator over a socket.

Rule: a contract test knows only what is here and the port, so that it cannot tell which one it talks to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Protocol

from collector.core.model import Window
from collector.ports import Source
from tests.core.pages import EPOCH, v6_row
from tests.simulation.api import SimulatedApi
from tests.simulation.arrivals import Session, Version
from tests.simulation.process import Process
from tests.simulation.trace import Trace
from tests.sources.test_against_simulator import Simulator, simulating

PAGE_ROWS = 30


class Trouble(Protocol):
    """What a contract test may order."""

    source: Source
    window: Window
    truth: dict[str, set[str]]
    """Account group -> ids of its sessions in the window."""

    async def trouble(self, kind: str, aid: str) -> None:
        """The next answers are of one kind: unavailable, lost, malformed, forbidden (for the account group), cursor."""


class FakeTrouble:
    """The simulation's API."""

    def __init__(self) -> None:
        aids = ["7625", "7626"]
        self.window = Window(EPOCH - 1_800, EPOCH)
        sessions = [_session(aid, number) for aid in aids for number in range(100)]
        outside = [_session(aid, number, EPOCH - 3_700) for aid in aids for number in range(100, 110)]
        self.truth = {aid: {s.identifier for s in sessions if s.aid == aid} for aid in aids}
        self._api = SimulatedApi(
            "acme", aids, [*sessions, *outside], rng=Random(1), trace=Trace(), page_rows=PAGE_ROWS, limit=10_000
        )
        self._api.switches.latency_s = (0.0, 0.0)
        self._api.request_timeout_s = 0.01
        self.source: Source = self._api.source(Process())

    async def trouble(self, kind: str, aid: str) -> None:
        self._api.calm()
        off = self._api.switches
        off.latency_s = (0.0, 0.0)
        if kind == "unavailable":
            off.unavailable_share = 1.0
        elif kind == "lost":
            off.lost_share = 1.0
        elif kind == "malformed":
            off.malformed_share = 1.0
        elif kind == "forbidden":
            off.forbidden = {aid}
        elif kind == "cursor":
            off.refused_cursor_share = 1.0
        else:
            assert kind == "none"


def _session(aid: str, number: int, begin: int = EPOCH - 1_800) -> Session:
    date = begin + number * 15 % 1_800
    identifier = f"{aid:0>5}:{date // 60 * 60}:s{number:07}"
    return Session(aid, identifier, date, date // 60 * 60, [Version(date + 1.0, v6_row(identifier, date))])


class RealTrouble:
    """The real source, and the API simulator behind a socket."""

    def __init__(self, simulator: Simulator, source: Source, window: Window, truth: dict[str, set[str]]) -> None:
        self._simulator, self.source, self.window, self.truth = simulator, source, window, truth

    async def trouble(self, kind: str, aid: str) -> None:
        await self._simulator.control("DELETE", "/_sim/faults")
        faults: dict[str, object] = {
            "unavailable": {"next": ["503"]},
            "lost": {"next": ["dropped"]},
            "malformed": {"next": ["malformed"]},
            "forbidden": {"forbidden_aids": [int(aid)]},
            "cursor": {"bad_cursor": 1.0},
            "none": {},
        }
        if faults[kind]:
            await self._simulator.control("POST", "/_sim/faults", faults[kind])


@asynccontextmanager
async def real_api() -> AsyncIterator[RealTrouble]:
    """A simulator with some history, frozen, and a source of version 7."""
    async with simulating(page_size=PAGE_ROWS) as simulator:
        window, groups = await simulator.truth()
        truth = {aid: {session["id"] for session in group["sessions"]} for aid, group in groups.items()}
        source = simulator.open()
        try:
            yield RealTrouble(simulator, source, window, truth)
        finally:
            await source.aclose()
