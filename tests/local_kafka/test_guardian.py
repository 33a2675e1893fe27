"""A command under a guardian: signals, exit codes, and that nobody outlives the asking process."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from collector.local_kafka.errors import BrokerFailed
from collector.local_kafka.java import GuardedProcess
from tests.local_kafka.processes import processes_in, wait_until

# Starts a child of its own as Java does when it writes an ahead-of-time cache, says so, and never ends.
_STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("running", flush=True)
time.sleep(600)
"""

_PARENT = """
import sys, anyio
from pathlib import Path
from collector.local_kafka.java import GuardedProcess

async def main():
    cwd = Path(sys.argv[1])
    await GuardedProcess.start([sys.executable, "-c", sys.argv[2]], cwd=cwd, log_file=cwd / "log")
    print("started", flush=True)
    await anyio.sleep(600)

anyio.run(main)
"""


def _two_run(directory: Path) -> bool:
    """Whether the stubborn command and its child run, besides the guardian."""
    log = directory / "log"
    return log.exists() and "running" in log.read_text() and len(processes_in(directory)) == 3


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_nothing_outlives_the_parent(tmp_path: Path, end: signal.Signals) -> None:
    """However the parent ends, kill -9 included, its command and that one's children end; not while it is frozen."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path), _STUBBORN], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        wait_until("the command and its child run", lambda: _two_run(tmp_path))
        parent.send_signal(end)
        if end == signal.SIGSTOP:
            wait_until("the parent is frozen", lambda: psutil.Process(parent.pid).status() == psutil.STATUS_STOPPED)
            assert len(processes_in(tmp_path)) == 3
            parent.kill()
        wait_until("all are gone", lambda: not processes_in(tmp_path))
    finally:
        parent.kill()
        parent.communicate()


@pytest.mark.anyio
async def test_exit_code(tmp_path: Path) -> None:
    """The guardian ends with the command's exit code, and the command's output is in the log file."""
    command = [sys.executable, "-c", "print('said'); raise SystemExit(7)"]
    process = await GuardedProcess.start(command, cwd=tmp_path, log_file=tmp_path / "log")
    with anyio.fail_after(10):
        assert await process.wait() == 7
    await process.signal(signal.SIGTERM)  # too late, and harmless
    await process.aclose()
    assert (tmp_path / "log").read_text() == "said\n"


@pytest.mark.anyio
async def test_signals_arrive_before_the_call_returns(tmp_path: Path) -> None:
    """A frozen command is frozen when `signal` returns, goes on when told, and dies of SIGKILL with code 137."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = await GuardedProcess.start(command, cwd=tmp_path, log_file=tmp_path / "log")
    try:
        seen = psutil.Process(process.pid)
        await process.signal(signal.SIGSTOP)
        wait_until("the command is frozen", lambda: seen.status() == psutil.STATUS_STOPPED)
        await process.signal(signal.SIGCONT)
        wait_until("the command goes on", lambda: seen.status() != psutil.STATUS_STOPPED)
        assert process.exit_code is None
        await process.signal(signal.SIGKILL)
        with anyio.fail_after(10):
            assert await process.wait() == 128 + signal.SIGKILL
    finally:
        await process.aclose()
    assert processes_in(tmp_path) == []


@pytest.mark.anyio
async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A damaged Java runtime is an error for people, not a hang."""
    with pytest.raises(BrokerFailed, match="Java could not be started"):
        await GuardedProcess.start([str(tmp_path / "java")], cwd=tmp_path, log_file=tmp_path / "log")
    assert processes_in(tmp_path) == []
