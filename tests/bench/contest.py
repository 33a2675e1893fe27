"""Runs the collector and the plain loops in turn, each in a process of its own, against the same API and broker.

The one rule: a run counts only when everything it was to deliver has arrived, counted by another library.

Rounds go A B C, A B C: a machine that is slower for a while is slower for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil
from anyio import to_thread
from anyio.abc import Process

from tests.bench.arrivals import arrived, create_topic, delete_topics
from tests.bench.layout import rows_shown
from tests.bench.usage import Used

EVENT_PARTITIONS = 8
"""The collector's default; the plain loops get the same."""

START_TIMEOUT_S = 60.0
"""Of the API: it makes its pages first, a second for 50,000 rows."""

RUN_TIMEOUT_S = 60.0
RUN_TIMEOUT_S_A_MILLION = 600.0
"""A run takes seconds; ten times that on a busy machine, then something is wrong."""

_ROOT = Path(__file__).parents[2]
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class RunFailed(Exception):
    """A run did not deliver; the message says which, and what it wrote."""


@dataclass(frozen=True, slots=True)
class Runner:
    """One way to bring sessions into Kafka.

    Args:
        name: in the table.
        module: its process.
        arguments: after address, brokers and topic.
        promises: what it does besides delivering.
        own_topics: it makes its topics itself; their names begin with what it is given.
        overlap: nine rows in ten were published before.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    promises: str
    own_topics: bool = False
    overlap: bool = False

    @property
    def topic(self) -> str:
        """Its name as part of a topic's name."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name)

    def events_topic(self, topic: str) -> str:
        """Where its records arrive."""
        return f"{topic}.user-sessions" if self.own_topics else topic


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it took, and the broker's CPU seconds meanwhile."""

    used: Used
    broker_cpu_s: float


@dataclass(slots=True)
class Results:
    """All runs. ``starts``: runs without any session, which is what begins before the first page costs."""

    rows: int
    runs: dict[str, list[Run]] = field(default_factory=dict)
    starts: dict[str, Run] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arena:
    """Where the runs take place: addresses of API and brokers, the broker's process, rows to collect."""

    origin: str
    bootstrap_servers: str
    broker_pid: int
    rows: int

    async def contest(self, runners: list[Runner], *, rounds: int, deadline: float) -> Results:
        """Run all runners, ``rounds`` times or until ``deadline`` (``time.monotonic()``), at least once each.

        Raises:
            RunFailed: a run failed, or not everything arrived.
        """
        results = Results(self.rows)
        for runner in runners:
            await self._run(runner, "warm", view="none")  # compiles what is not compiled yet
            results.starts[runner.name] = await self._run(runner, "start", view="none")
        took_s = 0.0
        for number in range(rounds):
            began = time.monotonic()
            if number and began + took_s > deadline:
                break
            for runner in runners:
                results.runs.setdefault(runner.name, []).append(await self._run(runner, str(number), view="all"))
            took_s = time.monotonic() - began
        return results

    async def _run(self, runner: Runner, label: str, *, view: str) -> Run:
        topic = f"bench-{label}-{runner.topic}"
        brokers = self.bootstrap_servers
        if not runner.own_topics:
            await to_thread.run_sync(create_topic, brokers, topic, EVENT_PARTITIONS)
        if runner.overlap and view == "all":
            await self._process(runner, topic, "most")
        before = _cpu_s(self.broker_pid)
        used = await self._process(runner, topic, view)
        run = Run(used, _cpu_s(self.broker_pid) - before)
        expected = self.rows if view == "all" else 0
        found = await to_thread.run_sync(arrived, brokers, runner.events_topic(topic))
        if found != (expected, expected):
            raise RunFailed(f"{runner.name}: {expected} sessions were to arrive once each, in the topic are {found}")
        await to_thread.run_sync(delete_topics, brokers, topic)
        return run

    async def _process(self, runner: Runner, topic: str, view: str) -> Used:
        command = [
            *(sys.executable, "-m", runner.module),
            *(f"{self.origin}/{view}", self.bootstrap_servers, topic, *runner.arguments),
        ]
        used: Used = json.loads(
            await run_module(command, RUN_TIMEOUT_S + RUN_TIMEOUT_S_A_MILLION * self.rows / 1_000_000)
        )
        return used


async def run_module(command: list[str], timeout_s: float) -> str:
    """The last line that a process wrote on standard output.

    Raises:
        RunFailed: it failed, or took too long.
    """
    try:
        with anyio.fail_after(timeout_s):
            done = await anyio.run_process(command, check=False, cwd=_ROOT, env=environment())
    except TimeoutError:
        raise RunFailed(f"{' '.join(command)}: no end within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        raise RunFailed(f"{' '.join(command)}: ended with {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode().splitlines()[-1]


@asynccontextmanager
async def api(file: Path, records: int, *, compressed: bool) -> AsyncIterator[str]:
    """The API in its process, for as long as the context lasts; yields its address.

    Raises:
        RunFailed: it did not start.
    """
    form = "gzip" if compressed else "plain"
    command = [sys.executable, "-m", "tests.bench.api", str(file), str(records), form]
    timeout_s = START_TIMEOUT_S + RUN_TIMEOUT_S_A_MILLION * records / 1_000_000
    process = await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None, cwd=_ROOT, env=environment())
    try:
        yield await _first_line(process, timeout_s)
    finally:
        with anyio.CancelScope(shield=True):  # it ends at once when it is told to
            process.kill()
            await process.aclose()


async def _first_line(process: Process, timeout_s: float) -> str:
    assert process.stdout is not None
    text = b""
    try:
        with anyio.fail_after(timeout_s):
            while not text.endswith(b"\n"):
                text += await process.stdout.receive()
    except (TimeoutError, anyio.EndOfStream):
        raise RunFailed(f"the API of the benchmark did not start within {timeout_s:.0f} s") from None
    return text.decode().strip()


def environment() -> dict[str, str]:
    """The environment without proxies (nothing here leaves this machine), and with compiled modules kept.

    Without those every process would compile anew what it loads, as no installed program does.
    """
    left_out = (*_PROXIES, "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name.upper() not in left_out}


def arena(origin: str, bootstrap_servers: str, broker_pid: int, records: int) -> Arena:
    """Where the runs take place, for as many records as the API shows when ``records`` were asked for."""
    return Arena(origin, bootstrap_servers, broker_pid, rows_shown(records))


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
