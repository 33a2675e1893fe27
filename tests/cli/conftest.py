"""Runs the command line as people do: a process of its own, with an empty environment and directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "collector")
END_TIMEOUT_S = 60  # a bound for a hanging process only; none takes long


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]
Start = Callable[..., AbstractContextManager[subprocess.Popen[str]]]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    ours = ("TE_COLLECTOR_", "KAFKA_BOOTSTRAP_SERVERS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "COLUMNS": "120", "PYTHONWARNINGS": "error", **variables}


@pytest.fixture
def run_command(tmp_path: Path) -> Run:
    """Run the command line to its end."""

    def run(*arguments: str, **variables: str) -> Ended:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=_environment(variables),
            capture_output=True,
            text=True,
            timeout=END_TIMEOUT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def start_command(tmp_path: Path) -> Start:
    """Start the command line; what still runs at the end of the block is killed."""

    @contextmanager
    def start(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=_environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    return start


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    out, err = process.communicate(timeout=END_TIMEOUT_S)
    return Ended(process.returncode, out, err)


def lines(texts: Sequence[str]) -> str:
    """Return the texts as lines."""
    return "".join(f"{text}\n" for text in texts)
