"""A program of this project under a guardian: it cannot outlive the harness, however that ends."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from collector.local_kafka.java import GuardedProcess

PROJECT = Path(__file__).resolve().parents[2]
_OURS = ("TE_COLLECTOR_", "KAFKA_")


class Program:
    """A running ``python -m``; made by `start`."""

    def __init__(self, process: GuardedProcess, log_file: Path) -> None:
        self._process = process
        self.log_file = log_file
        self.process_id = process.pid

    @classmethod
    async def start(cls, arguments: Sequence[str], log_file: Path, *variables: str) -> "Program":
        """Start ``python -m`` with these arguments; what it prints goes to a file of its own.

        Args:
            arguments: of ``python -m``.
            log_file: takes its output, from the beginning.
            variables: of its environment, ``NAME=value``.
        """
        unset = [text for name in os.environ if name.startswith(_OURS) for text in ("-u", name)]
        environment = [f"PYTHONPATH={PROJECT}", "PYTHONUNBUFFERED=1", *variables]
        command = ["env", *unset, *environment, sys.executable, "-m", *arguments]
        return cls(await GuardedProcess.start(command, cwd=log_file.parent, log_file=log_file), log_file)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + number after a signal."""
        return self._process.exit_code

    async def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        await self._process.signal(number)

    async def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        return await self._process.wait()

    async def aclose(self) -> None:
        """Kill it if it still runs."""
        await self._process.aclose()

    async def said(self) -> str:
        """All that it printed."""
        return (await anyio.Path(self.log_file).read_bytes()).decode(errors="replace")
