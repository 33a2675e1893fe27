"""One broker: its files, its Java process, and what its log says when that process ends.

The one rule: the broker's directory is complete before its process starts, and every start writes the same files anew.
"""

import re
import shutil
import signal
from importlib import resources
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from collector.local_kafka.errors import BrokerFailed, PortInUse
from collector.local_kafka.java import GuardedProcess, Java
from collector.local_kafka.settings import Node, render_properties

_FORMAT_TIMEOUT_S = 60.0  # 1.5 s on a quiet machine
_LOG_TAIL_BYTES = 65_536
_ENDED_BY = {128 + number: number for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM)}
_BIND_FAILED = re.compile(r"BindException|Address already in use")
_CAUSE = re.compile(
    r"^(?:Caused by: |Exception in thread \S+ )?[\w.]+(?:Exception|Error)\b.*|.*\b(?:FATAL|ERROR)\b.*", re.M
)
_CAUSE_CHARS_MAX = 300


class Broker:
    """One broker, running or not; restarts keep its ports and files.

    Args:
        node: identity and ports.
        directory: for its files.
        properties: its complete configuration.
    """

    def __init__(self, node: Node, directory: Path, properties: dict[str, str]) -> None:
        self.node: Final = node
        self.directory: Final = directory
        self.properties: Final = properties
        self._process: GuardedProcess | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        """Process id of the broker's Java process, also after its end."""
        assert self._process is not None, "the broker was never started"
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """What Kafka logs."""
        return self.directory / "broker.log"

    @property
    def java_log_file(self) -> Path:
        """What the Java virtual machine itself printed since the last start."""
        return self.directory / "java.log"

    @property
    def is_running(self) -> bool:
        """Whether the process lives; a paused one does."""
        return self._process is not None and self._process.exit_code is None

    async def format(self, java: Java, cluster_id: str) -> None:
        """Prepare the broker's storage.

        Raises:
            BrokerFailed: Kafka refused, or did not finish in time.
        """
        await self._write_files()
        log_file = self.directory / "format.log"
        command = java.command(
            "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c", "server.properties"
        )
        process = await GuardedProcess.start(command, cwd=self.directory, log_file=log_file)
        try:
            with anyio.move_on_after(_FORMAT_TIMEOUT_S):
                if await process.wait() == 0:
                    return
        finally:
            await process.aclose()
        cause = _last_cause(await to_thread.run_sync(_tail, log_file, 0))
        raise BrokerFailed(f"The storage of broker {self.node.node_id} could not be prepared: {cause} (see {log_file})")

    async def start(
        self, java: Java, *, lock_fd: int | None = None, niceness: int = 0, flags: tuple[str, ...] = ()
    ) -> None:
        """Start the process; it is not ready yet.

        Args:
            java: how.
            lock_fd: a lock to hold until the process has ended.
            niceness: 0 to 19.
            flags: further ones for the virtual machine.
        """
        assert not self.is_running
        await self._write_files()
        self._log_start = await to_thread.run_sync(_size, self.log_file)
        self._process = await GuardedProcess.start(
            java.command("kafka.Kafka", "server.properties", flags=flags),
            cwd=self.directory,
            log_file=self.java_log_file,
            niceness=niceness,
            lock_fd=lock_fd,
        )

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None:
            await self._process.signal(number)

    async def wait(self) -> None:
        """Wait for the end of the process, without a deadline."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self, timeout_s: float) -> None:
        """End the process in order, or by force after `timeout_s` seconds; recovery then happens at the next start."""
        if self._process is None:
            return
        try:
            await self.signal(signal.SIGCONT)
            await self.signal(signal.SIGTERM)
            with anyio.move_on_after(timeout_s):
                await self.wait()
        finally:
            await self._process.aclose()

    async def check_alive(self) -> None:
        """Raise if the process has ended.

        Raises:
            PortInUse: another program had taken a port.
            BrokerFailed: anything else; the message names the cause that the log gives.
        """
        if self._process is None or self._process.exit_code is None:
            return
        if self._process.exit_code in _ENDED_BY:
            name = _ENDED_BY[self._process.exit_code].name
            raise BrokerFailed(f"Broker {self.node.node_id} (process {self.pid}) was ended from outside with {name}.")
        text = await to_thread.run_sync(self._said)
        if _BIND_FAILED.search(text):
            raise PortInUse(self.node.client_port)
        raise BrokerFailed(
            f"Broker {self.node.node_id} ended with exit code {self._process.exit_code}: {_last_cause(text)} "
            f"(see {self.log_file})"
        )

    def _said(self) -> str:
        """Return what Kafka and Java wrote since the last start."""
        return _tail(self.log_file, self._log_start) + _tail(self.java_log_file, 0)

    async def _write_files(self) -> None:
        try:
            await to_thread.run_sync(self._write_files_blocking)
        except OSError as error:
            raise BrokerFailed(f"{self.directory} cannot be written: {error.strerror}.") from error

    def _write_files_blocking(self) -> None:
        scratch = self.directory / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)  # libraries that a killed process had unpacked
        scratch.mkdir(parents=True, exist_ok=True)
        (self.directory / "server.properties").write_text(render_properties(self.properties), "ascii")
        logging = resources.files(__package__).joinpath("log4j2.properties").read_text("ascii")
        (self.directory / "log4j2.properties").write_text(logging, "ascii")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tail(path: Path, start: int) -> str:
    """Return the end of what was written after `start`; the log may have been rotated since."""
    size = _size(path)
    if size == 0:
        return ""
    with path.open("rb") as file:
        file.seek(max(start if start <= size else 0, size - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace")


def _last_cause(text: str) -> str:
    """Return the line that most likely says why, for people."""
    causes = _CAUSE.findall(text) or text.strip().splitlines() or ["no reason logged"]
    return str(causes[-1]).strip()[:_CAUSE_CHARS_MAX]
