"""The workers of one run: started, killed, frozen, stopped, and started again when they are dead.

One rule: a worker's death is accounted for. Who was not killed, not stopped and did not strike an aimed point has died
by itself, and that fails the run.
"""

import contextlib
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.abc import TaskGroup

from tests.chaos import aims
from tests.chaos.program import Program

RESTART_PAUSE_S = 0.3
"""As a supervisor would, and long enough for another worker to be faster now and then."""

LOOK_EVERY_S = 0.05
AIM_DEADLINE_S = 120.0
"""For an armed point to be passed: by then somebody has published, however slow the machine."""

BELONG_DEADLINE_S = 180.0
"""For all workers to start, join and restore."""

ASK_TIMEOUT_S = 5.0

_GRACEFUL = (0, 128 + signal.SIGTERM)
"""Exit codes after SIGTERM; the second one of a worker that was still importing."""


@dataclass(slots=True)
class Worker:
    """One place for a worker; its lives follow each other.

    Args:
        number: from 0.
        port: of its status page.
        wanted: whether it is started again.
        program: its present life.
        lives: how many it had.
        doomed: whether it was told to die.
        frozen: whether it is stopped at the moment.
    """

    number: int
    port: int
    wanted: bool = False
    supervised: bool = False
    program: Program | None = None
    lives: int = 0
    doomed: bool = False
    frozen: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether it has a process that may do something."""
        return self.program is not None and self.program.exit_code is None and not self.frozen and not self.doomed


class Crew:
    """The workers; made by `open_crew`.

    Args:
        folder: for logs, and for what is armed.
        config: their configuration file.
        mode: see `tests.chaos.worker`.
        tasks: for what goes on beside.
    """

    def __init__(self, folder: Path, config: Path, mode: str, tasks: TaskGroup) -> None:
        self._folder = folder
        self._config = config
        self._mode = mode
        self._tasks = tasks
        self.workers: list[Worker] = []
        self.happened: Counter[str] = Counter()
        """Deaths and freezes that are faults of ours."""
        self.unexplained: list[str] = []
        """Workers that died by themselves."""

    def set_size(self, size: int) -> None:
        """From now on so many workers run; returns at once. Who is too many is asked to stop."""
        while len(self.workers) < size:
            self.workers.append(Worker(len(self.workers), _free_port()))
        for worker in self.workers:
            worker.wanted = worker.number < size
            if worker.wanted and not worker.supervised:
                worker.supervised = True
                self._tasks.start_soon(self._supervise, worker)
            elif not worker.wanted and worker.program is not None:
                self._tasks.start_soon(self.stop, worker)

    @property
    def size(self) -> int:
        """How many are wanted."""
        return sum(worker.wanted for worker in self.workers)

    def choose(self, choice: float) -> Worker | None:
        """A worker that lives, by a number from 0 to 1; None: there is none."""
        alive = [worker for worker in self.workers if worker.is_alive]
        return alive[int(choice * len(alive))] if alive else None

    async def kill(self, worker: Worker) -> None:
        """kill -9."""
        await self._doom(worker, signal.SIGKILL)

    async def stop(self, worker: Worker) -> None:
        """SIGTERM; returns when it has ended."""
        await self._doom(worker, signal.SIGTERM)

    async def freeze(self, worker: Worker, lasts_s: float) -> None:
        """SIGSTOP, and SIGCONT after some time; returns then."""
        program = worker.program
        assert program is not None
        worker.frozen = True
        await program.signal(signal.SIGSTOP)
        await self._thaw(worker, program, lasts_s)

    async def aim(self, point: str, number: signal.Signals, probability: float, lasts_s: float, choice: float) -> bool:
        """Let one worker, whichever comes by, die or freeze at a point. Returns whether one did.

        Points of a take-over are passed when a worker begins: one is killed for that.
        """
        armed = aims.armed_file(self._folder, point)
        prepared = armed.with_name("armed")
        prepared.write_text(f"{number.name} {probability}")
        prepared.rename(armed)
        fired: Path | None = None
        with anyio.move_on_after(AIM_DEADLINE_S):
            while fired is None:
                victim = self.choose(choice)
                if point in aims.OPENING and victim is not None:
                    await self.kill(victim)
                    self.happened["kill -9 for a take-over"] += 1
                with anyio.move_on_after(AIM_DEADLINE_S / 4):
                    fired = await self._fired(point)
        armed.unlink(missing_ok=True)
        if fired is None:
            return False
        process_id = int(fired.name.rpartition(" ")[2])
        for worker in self.workers:
            program = worker.program
            if number is signal.SIGSTOP and program is not None and program.process_id == process_id:
                worker.frozen = True
                self._tasks.start_soon(self._thaw, worker, program, lasts_s)
        fired.rename(fired.with_name(f"done {point} {process_id}"))
        return True

    async def end(self) -> None:
        """Everybody stops in peace, the frozen ones too."""
        for worker in self.workers:
            worker.wanted = False
        async with anyio.create_task_group() as tasks:
            for worker in self.workers:
                if worker.program is not None:
                    tasks.start_soon(self.stop, worker)

    async def kill_all(self) -> None:
        """Nobody is left, and nobody is started again."""
        for worker in self.workers:
            worker.wanted = False
        for worker in self.workers:
            await self.kill(worker)
        while any(worker.supervised for worker in self.workers):  # noqa: ASYNC110 - of other processes
            await anyio.sleep(LOOK_EVERY_S)

    async def covered_until(self) -> dict[str, int]:
        """By account group: server time up to which some living worker says that it was walked."""
        covered: dict[str, int] = {}
        for status in await self._statuses():
            for organization in status["organizations"]:
                for group in organization["account_groups"]:
                    known = covered.get(group["aid"], 0)
                    covered[group["aid"]] = max(known, group["covered_until"] or 0)
        return covered

    async def wait_until_all_belong(self, shards: int) -> None:
        """Wait until every wanted worker is a member of the group, and has work, if there are shards for so many."""
        with anyio.fail_after(BELONG_DEADLINE_S):
            while True:
                busy = [
                    status
                    for status in await self._statuses()
                    if status["group"] and status["group"]["member"] and any(s["owned"] for s in status["shards"])
                ]
                if len(busy) >= min(self.size, shards):
                    return
                await anyio.sleep(LOOK_EVERY_S * 5)

    async def _statuses(self) -> list[dict[str, Any]]:
        """What those say who answer."""
        found: list[dict[str, Any]] = []
        async with httpx.AsyncClient(trust_env=False, timeout=ASK_TIMEOUT_S) as client:
            for worker in self.workers:
                if worker.is_alive:
                    with contextlib.suppress(httpx.HTTPError, ValueError):
                        found.append((await client.get(f"http://127.0.0.1:{worker.port}/status")).json())
        return found

    async def _supervise(self, worker: Worker) -> None:
        """Start a worker whenever it is dead, for as long as it is wanted."""
        try:
            while worker.wanted:
                worker.lives += 1
                worker.doomed = worker.frozen = False
                log = self._folder / f"worker-{worker.number}-life-{worker.lives:03}.log"
                arguments = ["run", "--config", str(self._config)]
                module = ["tests.chaos.worker", str(self._folder), self._mode, *arguments]
                listen = f"TE_COLLECTOR_ADMIN__LISTEN=127.0.0.1:{worker.port}"
                worker.program = await Program.start(module, log, listen)
                if not worker.wanted:  # while it was being started it became one too many
                    self._tasks.start_soon(self.stop, worker)
                try:
                    code = await worker.program.wait()
                    self._account_for(worker, worker.program, code)
                finally:
                    await worker.program.aclose()
                if worker.wanted:
                    await anyio.sleep(RESTART_PAUSE_S)
        finally:
            worker.supervised = False

    def _account_for(self, worker: Worker, program: Program, code: int) -> None:
        struck = any(self._folder.glob(f"* {program.process_id}"))
        told = worker.doomed and code in (*_GRACEFUL, 128 + signal.SIGKILL)
        if told or (struck and code == 128 + signal.SIGKILL):
            return
        lines = program.log_file.read_text(errors="replace").splitlines()[-15:]
        self.unexplained.append("\n  | ".join([f"{program.log_file.name} ended with {code}", *lines]))

    async def _doom(self, worker: Worker, number: signal.Signals) -> None:
        program = worker.program
        if program is None or program.exit_code is not None:
            return
        if number is signal.SIGKILL or not worker.doomed:  # a second SIGTERM would end it at once
            worker.doomed = True
            await program.signal(number)
        if worker.frozen:
            await program.signal(signal.SIGCONT)
        await program.wait()

    async def _thaw(self, worker: Worker, program: Program, lasts_s: float) -> None:
        await anyio.sleep(lasts_s)
        await program.signal(signal.SIGCONT)
        if worker.program is program:
            worker.frozen = False

    async def _fired(self, point: str) -> Path:
        while True:
            for file in self._folder.glob(f"fired {point} *"):
                return file
            await anyio.sleep(LOOK_EVERY_S)  # it happens in another process


@asynccontextmanager
async def open_crew(folder: Path, config: Path, mode: str) -> AsyncIterator[Crew]:
    """Workers for as long as the block lasts; nobody is left behind."""
    async with anyio.create_task_group() as tasks:
        crew = Crew(folder, config, mode, tasks)
        try:
            yield crew
        finally:
            for worker in crew.workers:
                worker.wanted = False
            tasks.cancel_scope.cancel()


def log_errors(folder: Path, pattern: str) -> Counter[str]:
    """How often each thing that matches is said in all logs of the workers."""
    found: Counter[str] = Counter()
    for log in sorted(folder.glob("worker-*.log")):
        found.update(re.findall(pattern, log.read_text(errors="replace")))
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
