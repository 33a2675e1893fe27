"""How a command ends: exit codes, and what a person reads on standard error.

| code | meaning |
|---|---|
| 0 | done, or stopped by a signal |
| 1 | failed |
| 2 | the arguments or the configuration are wrong |

One rule: an error raised on purpose is shown as its message, anything else with its traceback, because it is a defect.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import ParamSpec

import typer

from collector.errors import CollectorError, ConfigurationError

Parameters = ParamSpec("Parameters")

_OUTPUT_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing a result to a full or broken disk says."""


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    FAILED = 1
    BAD_CONFIGURATION = 2


def command(function: Callable[Parameters, int | None]) -> Callable[Parameters, None]:
    """Make a command of a function that returns an exit code (None: done) and may raise any error."""

    @wraps(function)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        raise typer.Exit(_ended(lambda: function(*args, **kwargs)))

    return wrapper


def say(line: str) -> None:
    """Write one line for people to standard error; standard output belongs to results."""
    sys.stderr.write(f"{line}\n")


def _ended(run: Callable[[], int | None]) -> int:
    try:
        code = run() or ExitCode.DONE
        sys.stdout.flush()  # here, where a closed pipe is still handled, and not when the interpreter exits
    except KeyboardInterrupt:
        return ExitCode.DONE
    except (OSError, CollectorError) as error:
        if not _is_expected(error):
            raise
        return _explained([error])
    except BaseExceptionGroup as group:
        expected, unexpected = group.split(_is_expected)
        if unexpected is not None or expected is None:
            raise
        return _explained(_leaves(expected))
    return code


def _is_expected(error: BaseException) -> bool:
    """Whether it is no defect; what is no output has a file's name and is explained where it happens."""
    if isinstance(error, OSError) and error.filename is None:
        return isinstance(error, BrokenPipeError) or error.errno in _OUTPUT_FULL
    return isinstance(error, CollectorError | KeyboardInterrupt)


def _explained(errors: list[BaseException]) -> int:
    code = ExitCode.DONE
    for error in errors:
        if isinstance(error, OSError):
            _forget_output()  # a reader that has seen enough, such as `head`, is told nothing
            if not isinstance(error, BrokenPipeError):
                say(f"te-collector: the output cannot be written: {error.strerror}")
                code = max(code, ExitCode.FAILED)
        if isinstance(error, CollectorError):
            say(f"te-collector: {error}")
            code = max(code, ExitCode.BAD_CONFIGURATION if isinstance(error, ConfigurationError) else ExitCode.FAILED)
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _forget_output() -> None:
    """Python flushes standard output once more when it exits: what could not be written would be said again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
