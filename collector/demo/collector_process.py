"""The collector as a process that is killed and started again.

The one rule: a kill is SIGKILL at any moment, without a word before, and the next start gets nothing but the same
configuration: what it knows, it knows from Kafka.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio

from collector.demo.child import Child
from collector.demo.errors import DemoFailed

_READY_S: Final = 60.0
"""First topics, first walk, on a machine that does much else; usually three seconds."""

_READY_POLL_S: Final = 0.1

_STOP_S: Final = 25.0
"""The collector's own grace period, 20 s, and some for the interpreter."""


class CollectorProcess:
    """Starts, kills and stops the collector. Owns the current process and the count of kills.

    Args:
        configuration: its file.
        log_dir: each start writes a log file of its own there.
    """

    def __init__(self, configuration: Path, log_dir: Path) -> None:
        self._configuration = configuration
        self._log_dir = log_dir
        self._child: Child | None = None
        self._expected_to_run = False
        self.kills = 0
        self.starts = 0

    @property
    def is_running(self) -> bool:
        """Whether there is a living process."""
        return self._child is not None and self._child.is_running

    @property
    def pid(self) -> int | None:
        """Its process id; None between two of them."""
        return self._child.pid if self._child is not None and self._child.is_running else None

    async def start(self) -> None:
        """Start it; it is not ready yet.

        Raises:
            DemoFailed: it could not be started.
        """
        self.starts += 1
        log_file = self._log_dir / f"collector-{self.starts}.log"
        self._child = await Child.start("the collector", ["run", "--config", str(self._configuration)], log_file)
        self._expected_to_run = True

    async def wait_until_ready(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait for its first answer that it is ready.

        Raises:
            ChildDied: it ended instead.
            DemoFailed: it was not ready in time.
        """
        with anyio.move_on_after(_READY_S):
            while not await is_ready():
                await self.check_alive()
                await anyio.sleep(_READY_POLL_S)
            return
        assert self._child is not None
        raise DemoFailed(f"the collector was not ready within {_READY_S:g} s\n{await self._child.log_tail()}")

    async def check_alive(self) -> None:
        """Raise ChildDied if it ended although nobody asked it to."""
        if self._expected_to_run and self._child is not None:
            await self._child.check_alive()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._child is not None
        self._expected_to_run = False
        await self._child.kill()
        self.kills += 1
        await self._child.aclose()

    async def stop(self) -> None:
        """End it in order.

        Raises:
            DemoFailed: it did not end in time, or not with exit code 0.
        """
        assert self._child is not None
        await self.check_alive()
        self._expected_to_run = False
        code = await self._child.stop(_STOP_S)
        if code != 0:
            raise DemoFailed(f"the collector ended with exit code {code} after SIGTERM\n{await self._child.log_tail()}")

    async def aclose(self) -> None:
        """Kill it if it still runs."""
        self._expected_to_run = False
        if self._child is not None:
            await self._child.aclose()
