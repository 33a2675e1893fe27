"""The demonstration as a person starts it: real processes, a real Kafka, real kills."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.kafka_fixtures import KafkaCluster

SUMMARY = re.compile(
    r"offered=(?P<offered>\d+) events=(?P<events>\d+) missing=(?P<missing>\d+) duplicates=(?P<duplicates>\d+) "
    r"dead_letters=(?P<found>\d+)/(?P<bad>\d+) kills=(?P<kills>\d+)"
)
PROGRAM = """
import anyio, functools
from collector.demo import run_demo
raise SystemExit(anyio.run(functools.partial(run_demo, {duration_s}, kill_every_s={kill_every_s})))
"""
TIMEOUT_S = 120.0  # five times what it takes on a quiet machine

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]


class Demo:
    """A running demonstration; what it prints goes to files, which can be looked at meanwhile."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory

    @property
    def stdout(self) -> str:
        return (self.directory / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    @property
    def last_line(self) -> str:
        return self.stdout.splitlines()[-1]

    def children(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def child(self, *arguments: str) -> psutil.Process:
        """The one whose command line has these words in a row; not its guardian, whose command line has them too."""
        wanted = " ".join(("-m collector", *arguments))
        found = [
            one for one in self.children() if wanted in (command := " ".join(one.cmdline())) and "-I -S" not in command
        ]
        assert len(found) == 1, f"{wanted}: {found}"
        return found[0]

    def wait(self) -> int:
        return self.process.wait(TIMEOUT_S)

    def wait_for(self, pattern: str) -> None:
        """Wait until something was printed on standard output."""
        self.wait_until(lambda: re.search(pattern, self.stdout) is not None)

    def wait_until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not happened():
            assert self.process.poll() is None, self.stdout + self.stderr
            assert time.monotonic() < deadline, self.stdout + self.stderr
            time.sleep(0.05)

    def kept_folders(self) -> list[Path]:
        return list((self.directory / "tmp").glob("te-collector-demo-*"))


@contextmanager
def running_demo(
    directory: Path,
    *,
    duration_s: float | None = None,
    kill_every_s: float | None = None,
    bootstrap_servers: str | None = None,
) -> Iterator[Demo]:
    """Start it as the leader of its own process group, as a shell would."""
    (directory / "tmp").mkdir()
    program = PROGRAM.format(duration_s=duration_s, kill_every_s=kill_every_s)
    # Configuration of somebody's own collector must not reach the one of the demonstration.
    foreign = {
        "TE_COLLECTOR_TOKEN": "of-somebody-else",
        "TE_COLLECTOR_OVERLAP": "0s",
        "TE_COLLECTOR_LOG_LEVEL": "error",
    }
    environment = {**os.environ, **foreign, "TMPDIR": str(directory / "tmp")}
    environment.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    if bootstrap_servers is not None:
        environment["KAFKA_BOOTSTRAP_SERVERS"] = bootstrap_servers
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=stdout, stderr=stderr, start_new_session=True
        )
    demo = Demo(process, directory)
    try:
        yield demo
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # its children end by themselves
        process.wait(TIMEOUT_S)


def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    """A collector that is killed again and again delivers everything once: the last line says so. Nothing is left."""
    with running_demo(tmp_path, duration_s=20.0, kill_every_s=6.0) as demo:
        demo.wait_for("kills=1")
        children = demo.children()
        assert demo.wait() == 0, demo.stdout + demo.stderr
        summary = SUMMARY.fullmatch(demo.last_line)
        assert summary is not None, demo.last_line
        count = {name: int(value) for name, value in summary.groupdict().items()}
        assert count["kills"] == 3
        assert count["missing"] == count["duplicates"] == 0
        assert count["events"] == count["offered"] > 1000
        assert count["found"] == count["bad"] > 0
        assert demo.stderr == ""
        assert demo.kept_folders() == []
        assert not any(child.is_running() for child in children)


def test_uses_a_kafka_that_is_there(tmp_path: Path, kafka_cluster: KafkaCluster) -> None:
    """A Kafka that the environment names is used instead of one of its own, with topics that nobody else has."""
    with running_demo(tmp_path, duration_s=3.0, bootstrap_servers=kafka_cluster.bootstrap_servers) as demo:
        demo.wait_for(" collecting ")
        assert len(demo.children()) == 4  # simulator, collector, and their guardians
        configuration = (demo.kept_folders()[0] / "collector.toml").read_text()
        assert re.search(r'^topic_prefix = "te-demo-[0-9a-f]{8}"$', configuration, re.MULTILINE)
        assert demo.wait() == 0, demo.stdout + demo.stderr
        assert SUMMARY.fullmatch(demo.last_line) is not None, demo.last_line


def test_ctrl_c_comes_to_the_same_end(tmp_path: Path) -> None:
    """Ctrl-C, which reaches the whole process group, ends the run early, with the comparison and exit code 0."""
    with running_demo(tmp_path) as demo:
        demo.wait_for(r" collecting  events=\d{3,}")
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.wait() == 0, demo.stdout + demo.stderr
        summary = SUMMARY.fullmatch(demo.last_line)
        assert summary is not None, demo.last_line
        assert summary["missing"] == summary["duplicates"] == "0"
        assert demo.kept_folders() == []


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Who presses Ctrl-C twice wants to leave: no comparison, exit code 1, no process and no file left."""
    with running_demo(tmp_path) as demo:
        demo.wait_for(" collecting ")
        children = demo.children()
        # The simulator stands still, so that the first Ctrl-C cannot come to its end.
        demo.child("simulate").send_signal(signal.SIGSTOP)
        os.killpg(demo.process.pid, signal.SIGINT)
        demo.wait_for("nothing new is shown|waiting for the rest")
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.wait() == 1
        assert SUMMARY.fullmatch(demo.last_line) is None
        assert "ended before anything was compared" in demo.stderr
        assert demo.kept_folders() == []
        assert not any(child.is_running() for child in children)


def test_a_process_that_dies_is_named(tmp_path: Path) -> None:
    """A simulator that dies by itself ends the demonstration: it is named, and the logs are kept."""
    with running_demo(tmp_path) as demo:
        demo.wait_for(" collecting ")
        demo.child("simulate").kill()
        assert demo.wait() == 1
        assert "the simulator ended by itself with signal SIGKILL" in demo.stderr
        assert "  | ThousandEyes API simulator: http://127.0.0.1:" in demo.stderr
        (kept,) = demo.kept_folders()
        assert str(kept) in demo.stderr
        assert (kept / "simulator.log").stat().st_size > 0
        assert (kept / "collector-1.log").stat().st_size > 0


def test_nothing_survives_a_killed_demonstration(tmp_path: Path) -> None:
    """SIGKILL gives no chance to clean up: Kafka, simulator and collector end all the same."""
    with running_demo(tmp_path) as demo:
        demo.wait_for(" collecting ")
        children = demo.children()
        assert len(children) == 6  # three processes and their guardians
        demo.process.kill()
        gone, alive = psutil.wait_procs(children, timeout=10)
        assert (len(gone), alive) == (6, [])
