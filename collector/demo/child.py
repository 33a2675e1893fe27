"""A process of the demonstration: one of our own commands, under a guardian, with its log in a file.

The one rule: no child survives us. The guardian ends it when we end, kill -9 included, and it has a session of its own,
so that Ctrl-C reaches us alone and we decide who stops when.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

import anyio

from collector.demo.errors import ChildDied, DemoFailed
from collector.local_kafka.errors import BrokerFailed
from collector.local_kafka.java import GuardedProcess

LOG_LINES: Final = 12
"""Last lines of a log that are shown when its process died: a traceback's end and what led to it."""

_LOG_TAIL_BYTES: Final = 16_384

_OURS: Final = ("TE_COLLECTOR_", "KAFKA_BOOTSTRAP_SERVERS")
"""Variables that would change what the children are told by their arguments and files."""


class Child:
    """A running command; made by `start`."""

    def __init__(self, name: str, process: GuardedProcess, log_file: Path) -> None:
        self.name: Final = name
        self.log_file: Final = log_file
        self._process = process

    @classmethod
    async def start(cls, name: str, arguments: list[str], log_file: Path) -> "Child":
        """Start ``te-collector`` with these arguments.

        Args:
            name: for people.
            arguments: of the command.
            log_file: takes what it prints; its directory is where it runs.

        Raises:
            DemoFailed: it could not be started.
        """
        unset = [text for name in os.environ if name.startswith(_OURS) for text in ("-u", name)]
        command = ["env", *unset, sys.executable, "-m", "collector", *arguments]
        try:
            process = await GuardedProcess.start(command, cwd=log_file.parent, log_file=log_file)
        except BrokerFailed as error:
            raise DemoFailed(f"{name} could not be started: {error}") from error
        return cls(name, process, log_file)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.exit_code is None

    async def check_alive(self) -> None:
        """Raise ChildDied if it has ended."""
        if self._process.exit_code is not None:
            raise ChildDied(
                f"{self.name} ended by itself with {_how(self._process.exit_code)}\n{await self.log_tail()}"
            )

    async def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        await self._process.signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self, timeout_s: float) -> int:
        """Ask it to end, and wait.

        Args:
            timeout_s: how long it may take; then it is killed.

        Returns:
            Its exit code.

        Raises:
            DemoFailed: it had to be killed.
        """
        await self._process.signal(signal.SIGTERM)
        with anyio.move_on_after(timeout_s):
            return await self._process.wait()
        raise DemoFailed(f"{self.name} did not end within {timeout_s:g} s of SIGTERM\n{await self.log_tail()}")

    async def aclose(self) -> None:
        """Kill it if it still runs."""
        await self._process.aclose()

    async def log_tail(self) -> str:
        """The last lines of its log, for people."""
        data = (await anyio.Path(self.log_file).read_bytes())[-_LOG_TAIL_BYTES:]
        lines = data.decode(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"  | {line}" for line in lines or ["(nothing logged)"])


def _how(exit_code: int) -> str:
    if exit_code > 128:
        try:
            return f"signal {signal.Signals(exit_code - 128).name}"
        except ValueError:
            pass
    return f"exit code {exit_code}"
