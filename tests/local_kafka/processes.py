"""What runs in a directory, and waiting for that to change."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

_POLL_S = 0.02


def processes_in(directory: Path) -> list[psutil.Process]:
    """Return the living processes whose working directory is the directory or below it: brokers and their guardians."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(directory):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until(what: str, happened: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a condition; a failure names it."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {timeout_s:.0f} s: {what}"
        time.sleep(_POLL_S)
