"""`te-collector kafka`."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Start, ended


@pytest.mark.timeout(180)
def test_it_runs_until_it_is_stopped(start_command: Start, tmp_path: Path) -> None:
    """One line says where the broker is; SIGTERM ends it with exit code 0, and the data stay."""
    data_dir = tmp_path / "data"
    with start_command("kafka", "--port", "0", "--data-dir", str(data_dir)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.search(r"is ready at 127\.0\.0\.1:\d+", line)
        process.send_signal(signal.SIGTERM)
        done = ended(process)
    assert (done.code, done.out) == (0, "")
    assert "Traceback" not in done.err
    assert data_dir.is_dir()


@pytest.mark.timeout(60)
def test_a_directory_without_jars_is_said_in_one_line(start_command: Start, tmp_path: Path) -> None:
    """Jars that are not there: what is missing and what to give instead, exit code 1, no traceback."""
    with start_command("kafka", "--port", "0", "--data-dir", str(tmp_path / "data"), "--jars-dir", str(tmp_path)) as it:
        done = ended(it)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert str(tmp_path) in done.err
