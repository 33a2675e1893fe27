"""Applies one mistake to a copy of the project and runs the test that must catch it.

One rule: the project itself is never changed. A mistake that no longer applies fails the run, because then it is not
known any more whether the tests can see it; so does a test that does not fail, or that fails to run at all.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("collector", "deploy", "schemas", "tests", "pyproject.toml")
TEST_DEADLINE_S = 300
HANGS_S = "100"
"""A test that takes longer hangs because of the mistake, and fails by pytest's own time-out; the slowest takes 40 s."""

FAILED = 1
"""pytest's exit code for 'tests were run, some failed'; anything else proves nothing."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One seeded mistake.

    Args:
        name: short, in the words of whoever makes it.
        file: which file, from the project's folder.
        old: the text that is right; must stand exactly once in the file.
        new: what stands there instead.
        caught_by: pytest node ids of the tests that must fail (one is enough).
    """

    name: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mistake: whether it was caught, by which test, or why nothing is known."""

    mistake: Mistake
    caught: bool
    detail: str
    duration_s: float


def try_mistake(mistake: Mistake, workspace: Path, environment: Mapping[str, str]) -> Verdict:
    """Run the tests of one mistake in a fresh copy of the project below ``workspace``."""
    began = time.monotonic()
    copy = workspace / re.sub(r"[^a-z0-9]+", "-", mistake.name.lower())
    copy.mkdir()
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(source, copy / name)
    target = copy / mistake.file
    text = target.read_text()
    if text.count(mistake.old) != 1:
        return Verdict(mistake, False, f"stands {text.count(mistake.old)} times in {mistake.file}", 0.0)
    target.write_text(text.replace(mistake.old, mistake.new))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--timeout", HANGS_S, *mistake.caught_by],
            cwd=copy,
            env={**os.environ, **environment, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TEST_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(mistake, False, f"the tests did not end within {TEST_DEADLINE_S} s", time.monotonic() - began)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    caught = done.returncode == FAILED and bool(failed)
    detail = failed[0] if caught else (done.stdout + done.stderr).strip().splitlines()[-1][:200]
    return Verdict(mistake, caught, detail, time.monotonic() - began)
