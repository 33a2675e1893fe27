"""Real processes for end-to-end tests: the simulator and the collector, as a user starts them.

One rule: a process that was started here is ended here, whatever the test did.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_DEADLINE_S = 30.0
END_DEADLINE_S = 30.0
LOOK_EVERY_S = 0.05


def command(*arguments: str, module: str = "collector") -> list[str]:
    """The command line that runs ``te-collector`` with this interpreter, or a module that does so in its own way."""
    return [sys.executable, "-m", module, *arguments]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without anything that configures the collector."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TE_COLLECTOR_", "KAFKA_"))}
    return {**kept, **(extra or {})}


@dataclass
class Simulator:
    """A running simulator."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def base_url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}"

    def control(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Call a control endpoint; returns its JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.base_url}/_sim/{path}",
            data=data,
            method=method or ("POST" if data is not None else "GET"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


@contextmanager
def simulator(*options: str, log: Path) -> Iterator[Simulator]:
    """Run the simulator on a free port until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("simulate", "--port", "0", *options),
            stdout=subprocess.PIPE,
            stderr=output,
            env=clean_environment({"PYTHONUNBUFFERED": "1"}),
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            assert "http://127.0.0.1:" in line, f"the simulator said {line!r}; see {log}"
            yield Simulator(int(line.partition("http://127.0.0.1:")[2].split()[0]), process)
        finally:
            end(process)


def start_collector(
    config: Path, log: Path, *options: str, module: str = "collector", **extra: str
) -> subprocess.Popen[bytes]:
    """Start a collector; its log is appended to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command("run", "--config", str(config), *options, module=module),
            stdout=subprocess.DEVNULL,
            stderr=output,
            env=clean_environment(extra),
        )


def end(process: subprocess.Popen[bytes], deadline_s: float = END_DEADLINE_S) -> int:
    """SIGTERM (to a collector once it is up), then kill -9 when the deadline passes. Returns the exit code."""
    is_collector = isinstance(process.args, list) and "run" in process.args
    up_deadline = time.monotonic() + START_DEADLINE_S
    while is_collector and process.poll() is None and not _heeds_sigterm(process.pid):
        if time.monotonic() > up_deadline:
            break
        time.sleep(LOOK_EVERY_S)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return process.returncode


def _heeds_sigterm(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM: one that still loads its modules would be ended by the signal."""
    try:
        caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    except (OSError, IndexError):  # no /proc, or the process is gone
        return True
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def wait_until(what: str, condition: Any, deadline_s: float, *, alive: Sequence[subprocess.Popen[bytes]] = ()) -> None:
    """Wait for a condition; a deadline that passes, or a process that ends, fails with ``what``."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        for process in alive:
            assert process.poll() is None, f"a process ended with {process.returncode} while waiting for {what}"
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(LOOK_EVERY_S)  # the condition lives in another process
