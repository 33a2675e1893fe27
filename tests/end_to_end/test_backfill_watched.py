"""Whoever waits for a backfill on a terminal: sees a bar, stops watching with Ctrl-C, and the job is still there."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
import threading
from pathlib import Path

import pytest

from tests.end_to_end.processes import clean_environment, command, end, wait_until
from tests.end_to_end.test_backfill_killed import run
from tests.kafka_fixtures import KafkaCluster

WITHIN_S = 90.0
CONFIG = """
[kafka]
bootstrap_servers = "{servers}"
topic_prefix = "{prefix}"
shards = 2
[[organizations]]
name = "acme"
token = "t"
account_groups = ["11"]
"""


class Terminal:
    """A terminal of 80 columns on which a command shows its standard error."""

    def __init__(self, *arguments: str) -> None:
        self.shown = b""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self._ours = ours
        self.process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=clean_environment({"TERM": "xterm", "COLUMNS": "80"}),
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._ours, 65_536)
            except OSError:  # how Linux says that nobody has the other end any more
                return
            if not read:
                return
            self.shown += read

    def close(self) -> int:
        """End the command, if it still runs; returns its exit code."""
        code = end(self.process)
        self._reader.join(WITHIN_S)
        os.close(self._ours)
        return code


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.skipif(not hasattr(termios, "tcsetwinsize"), reason="needs Python 3.11 on a system with terminals")
@pytest.mark.timeout(600)
def test_ctrl_c_stops_watching_and_not_the_job(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """No worker runs: the bar says what it waits for, Ctrl-C says how to go on; then it is listed, and cancelled."""
    config = tmp_path / "collector.toml"
    config.write_text(CONFIG.format(servers=kafka_cluster.bootstrap_servers, prefix=kafka_topic_prefix))

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        hours = 3 if signal_number is signal.SIGINT else 2
        terminal = Terminal("backfill", "--config", str(config), "--from", f"{hours}h", "--to", f"{hours - 1}h")
        try:
            wait_until("the bar", lambda: b"waiting" in terminal.shown, WITHIN_S, alive=[terminal.process])  # noqa: B023
            terminal.process.send_signal(signal_number)
            terminal.process.wait(WITHIN_S)
            assert terminal.process.stdout is not None
            job = terminal.process.stdout.read().decode().strip()
        finally:
            code = terminal.close()
        shown = terminal.shown.decode()
        assert code == 0
        assert "stopped watching; the job goes on" in shown
        assert f"te-collector backfill --config {config} --watch {job}" in shown
        assert f"te-collector backfill --config {config} --cancel {job}" in shown
        assert "\x1b[?25h" in shown.rpartition("\x1b[?25l")[2], "the cursor stays hidden"

    listed = {one["job"]: one for one in json.loads(run(config, "--list", "--json").stdout)["jobs"]}
    assert {(one["state"], one["taken"]) for one in listed.values()} == {("waiting", False)}
    assert len(listed) == 2
    again = run(config, "--from", listed[job]["from"], "--to", listed[job]["to"])
    assert (again.returncode, again.stdout) == (2, "")
    assert f"{job}, which is waiting, has all of this range already" in again.stderr
    cancelled = run(config, "--cancel", job)
    assert cancelled.returncode == 0, cancelled.stderr
    assert f"{job} will be cancelled by the worker that collects acme" in cancelled.stderr
    (one,) = (one for one in json.loads(run(config, "--list", "--json").stdout)["jobs"] if one["job"] == job)
    assert (one["state"], one["taken"], one["heeded"]) == ("cancelled", False, False)
    watched = run(config, "--watch", job)
    assert (watched.returncode, watched.stdout) == (1, "")
    assert "cancelled, no worker heeded it yet" in watched.stderr
    again = run(config, "--cancel", job, "--json")
    assert f"{job} is cancelled already" in again.stderr
    assert [json.loads(again.stdout)[key] for key in ("job", "state")] == [job, "cancelled"]
    dry = run(config, "--from", "3h", "--to", "90m", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["account_groups"] == [{"aid": "11", "events": 0, "requests_at_least": 1}]


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_a_dry_run_creates_nothing(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path) -> None:
    """Before the first start there are no topics, and afterwards neither; it is said who creates them."""
    config = tmp_path / "collector.toml"
    config.write_text(CONFIG.format(servers=kafka_cluster.bootstrap_servers, prefix=kafka_topic_prefix))
    for _ in range(2):
        done = run(config, "--from", "3h", "--dry-run")
        assert done.returncode == 1
        assert "it is created by the first start of the collector" in done.stderr
