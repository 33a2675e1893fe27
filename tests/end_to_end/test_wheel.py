"""What is published is the wheel: it is built, installed into an empty environment, and run from there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.processes import clean_environment, simulator

PROJECT = Path(__file__).resolve().parents[2]


def do(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean_environment(),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an empty environment that holds the locked dependencies and the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    do(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, PROJECT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    uv = PROJECT / ".tools" / "bin" / "uv"
    locked = PROJECT / "requirements" / "runtime.txt"
    if uv.exists():
        do(uv, "venv", "--quiet", "--python", sys.executable, environment)
        pip: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", environment / "bin" / "python"]
    else:
        do(sys.executable, "-m", "venv", environment)
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet"]
    do(*pip, "--require-hashes", "-r", locked)
    do(*pip, "--no-deps", wheel)
    return environment / "bin"


@pytest.mark.timeout(300)
def test_the_wheel_runs_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    """The installed command finds its schema and prints events; nothing of the checkout is used."""
    with simulator("--history-s", "300", "--late-share", "0", log=tmp_path / "simulator.log") as api:
        config = tmp_path / "collector.toml"
        config.write_text(f'[[organizations]]\nname = "acme"\nbase_url = "{api.base_url}"\ntoken = "simulator-token"\n')
        done = do(installed / "te-collector", "run", "--once", "--dry-run", "--config", config, cwd=tmp_path)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events
    assert {"aid", "userSessionId", "roundId", "date"} <= events[0].keys()


def test_without_its_extra_the_local_kafka_says_how_to_get_it(installed: Path, tmp_path: Path) -> None:
    """Production installs carry no JRE; the command that needs it names the extra in one line."""
    done = subprocess.run(
        [str(installed / "te-collector"), "kafka", "--port", "0", "--data-dir", str(tmp_path / "kafka")],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "te-collector[local]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_wheel_carries_no_tests(installed: Path) -> None:
    """Only the package and its schema are installed."""
    (site,) = (installed.parent / "lib").glob("python3.*/site-packages")
    assert (site / "collector" / "schemas" / "user-session.v1.json").is_file()
    assert not (site / "tests").exists()
    assert shutil.which("te-collector", path=str(installed))
