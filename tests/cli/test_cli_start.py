"""Before a command does anything: help, version, mistyped arguments."""

from __future__ import annotations

import subprocess
import sys

import pytest

import collector
from tests.cli.conftest import Run

# Not pydantic: Typer itself reads the arguments of a command with it.
HEAVY = {"aiokafka", "anyio", "httpx", "orjson", "rich", "starlette", "structlog", "uvicorn"}
LIST_MODULES = """
import sys
from collector.__main__ import main
try:
    main()
except SystemExit as end:
    print("|".join(name for name, module in sys.modules.items() if module is not None))  # None: kept out on purpose
    raise
"""
COMMANDS = ["run", "leave", "validate", "kafka", "demo", "gaps", "backfill", "tail"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["runn"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help, the version and a mistyped command answer without the libraries that commands need."""
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    modules = set(done.stdout.splitlines()[-1].split("|"))
    assert "typer" in modules
    assert modules & HEAVY == set()


def test_help_lists_the_commands(run_command: Run) -> None:
    """All of them, each with a sentence."""
    shown = run_command("--help")
    assert shown.code == 0
    for name in [*COMMANDS, "simulate"]:
        assert any(line.split()[:1] == [name] and len(line.split()) > 3 for line in shown.out.splitlines()), name


def test_version(run_command: Run) -> None:
    """The version of the package."""
    assert run_command("--version").out == f"te-collector {collector.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runn"], "No such command 'runn'. Did you mean 'run'?"),
        (["run", "--onec"], "No such option: --onec"),
        (["run", "--log-level", "loud"], "'loud' is not one of"),
        (["tail", "--max", "many"], "Invalid value for '--max'"),
        (["kafka", "--brokers", "2"], "brokers must be 1 or 3, not 2"),
        (["kafka", "--port", "70000"], "Invalid value for '--port'"),
        (["demo", "--duration", "soon"], 'expected a duration such as "90s", "10m", "1h30m" or "1d", found "soon"'),
        (["simulate", "--sed", "1"], "No such option: --sed"),
        (["simulate", "--quota", "some"], '--quota-limit: expected a whole number, found "some"'),
        (["simulate", "--fault-slow", "2"], '--fault-slow: expected at most 1, found "2"'),
        (
            ["simulate", "--inferred-range-selects", "x"],
            '--inferred-range-selects: expected "date" or "round", found "x"',
        ),
        (["simulate", "--fault-v6-gone", "300"], "--fault-v6-gone: expected 301, 404 or 410, found 300"),
        (["simulate", "--commit-delay-min-s", "9"], "commit_delay_min_s must not exceed commit_delay_max_s"),
    ],
)
def test_wrong_arguments(run_command: Run, arguments: list[str], said: str) -> None:
    """Exit code 2, what is wrong on standard error, and no traceback."""
    shown = run_command(*arguments)
    assert (shown.code, shown.out) == (2, "")
    assert said in shown.err.replace("\n", " ")
    assert "Traceback" not in shown.err
