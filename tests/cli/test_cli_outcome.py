"""How commands end."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from collector.cli.outcome import command
from collector.errors import ConfigurationError, PublishFailed, StartRefused
from tests.cli.conftest import COMMAND


def _raising(error: BaseException) -> Callable[[], int]:
    def function() -> int:
        raise error

    return function


def _code(function: Callable[[], int | None]) -> int:
    with pytest.raises(typer.Exit) as caught:
        command(function)()
    return int(caught.value.exit_code)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StartRefused("the state topic is not compacted"), 1, "te-collector: the state topic is not compacted\n"),
        (ConfigurationError("two\n  lines"), 2, "te-collector: two\n  lines\n"),
        (KeyboardInterrupt(), 0, ""),
        (ExceptionGroup("tasks", [StartRefused("a"), ExceptionGroup("more", [PublishFailed("b")])]), 1,
         "te-collector: a\nte-collector: b\n"),
        (ExceptionGroup("t", [StartRefused("a"), ConfigurationError("b")]), 2, "te-collector: a\nte-collector: b\n"),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), 0, ""),
    ],
)  # fmt: skip
def test_errors_raised_on_purpose_are_messages(
    capfd: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    """Also those that task groups wrapped; being stopped is no failure."""
    assert _code(_raising(error)) == code
    assert capfd.readouterr() == ("", said)


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_returns_its_exit_code(returned: int | None, code: int) -> None:
    """None means done."""
    assert _code(lambda: returned) == code


@pytest.mark.parametrize(
    "error", [ValueError("defect"), ExceptionGroup("tasks", [StartRefused("a"), ValueError("defect")])]
)
def test_defects_are_not_hidden(error: Exception) -> None:
    """An error that nobody raised on purpose goes up, also in company of one that somebody did."""
    with pytest.raises(type(error)) as caught:
        command(_raising(error))()
    assert caught.value is error


@pytest.mark.parametrize("arguments", [["validate", "--schema"], ["--version"]])
def test_output_that_nobody_reads_is_no_traceback(arguments: list[str]) -> None:
    """As with `te-collector ... | head` when head is gone before the first line."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(write_end)
    assert done.stderr == ""
    assert done.returncode in ({0} if arguments[0] == "validate" else {0, 1})  # --version is Typer's own


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """As with `te-collector gaps > report` when the disk is full: what and why, exit code 1, no traceback."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "validate", "--schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "te-collector: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        OSError(errno.ENOSPC, "No space left on device", "/var/lib/kafka"),
    ],
)
def test_trouble_with_a_file_is_not_taken_for_the_output(error: OSError) -> None:
    """Whoever opens a file explains its trouble; what comes through unexplained is a defect."""
    with pytest.raises(OSError, match=str(error.strerror)) as caught:
        command(_raising(error))()
    assert caught.value is error


def test_a_defect_ends_the_process_with_a_traceback_but_no_local_values() -> None:
    """Exit code 1; a traceback with local variables would show secrets."""
    script = """
from collector.cli.app import app
from collector.cli.outcome import command

@app.command()
@command
def broken() -> None:
    token = "CANARY"
    raise ValueError("defect")

app(["broken"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ValueError: defect" in done.stderr
    assert "CANARY" not in done.stderr
