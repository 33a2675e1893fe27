"""Kafka in the foreground: one line when ready, then until a signal."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_kafka.processes import processes_in, wait_until

_RUN = """
import sys, anyio
from pathlib import Path
from collector.local_kafka import LocalKafkaError, LocalKafkaSettings
from collector.local_kafka.run import run_kafka

try:
    anyio.run(run_kafka, LocalKafkaSettings(data_dir=Path(sys.argv[1])), lambda line: print(line, flush=True))
except LocalKafkaError as error:
    sys.exit(str(error))
"""


def _start(data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(data_dir)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_one_line_then_a_signal(tmp_path: Path, end: signal.Signals) -> None:
    """It says in one line where Kafka is, and a signal ends it cleanly: exit code 0, no complaint, no process."""
    process = _start(tmp_path / "data")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Kafka 4.3.1 (1 broker) is ready at 127.0.0.1:")
        port = int(line.split(":")[1].split(",")[0])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        process.send_signal(end)
        stdout, stderr = process.communicate(timeout=15)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stdout, stderr) == (0, "", "")
    assert processes_in(tmp_path) == []


def test_a_signal_while_it_starts(tmp_path: Path) -> None:
    """A signal before Kafka is ready ends it just as cleanly."""
    process = _start(tmp_path / "data")
    try:
        wait_until("Java runs", lambda: bool(processes_in(tmp_path)))
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=15)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stdout, stderr) == (0, "", "")
    assert processes_in(tmp_path) == []


def test_a_broker_that_dies(tmp_path: Path) -> None:
    """A broker that dies by itself ends the program with one line that says so."""
    process = _start(tmp_path / "data")
    try:
        assert process.stdout is not None
        process.stdout.readline()
        (java,) = [p for p in processes_in(tmp_path / "data") if p.name() == "java"]
        java.kill()
        _, stderr = process.communicate(timeout=15)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1
    assert stderr == f"Broker 1 (process {java.pid}) was ended from outside with SIGKILL.\n"
