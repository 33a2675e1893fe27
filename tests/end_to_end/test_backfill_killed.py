"""`te-collector backfill` as an operator uses it: the collector is killed in the middle, each session comes once."""

import json
import random
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.processes import clean_environment, command, end, simulator, start_collector, wait_until
from tests.end_to_end.topics import read_committed
from tests.kafka_fixtures import KafkaCluster

KILLS = 3
DONE_WITHIN_S = 240.0
COMMAND_ENDS_WITHIN_S = 120.0
TENANT = (
    *("--account-groups", "2", "--sessions-per-minute", "30", "--history-s", "14400", "--late-share", "0"),
    *("--page-size", "25", "--quota", "1200"),
)
"""Four hours of sessions, of which the collector by itself fetches ten minutes, and remembers some more."""

CONFIG = """
initial_lookback = "10m"
late_horizon = "10m"
overlap = "5m"
[kafka]
bootstrap_servers = "{servers}"
topic_prefix = "{prefix}"
[[organizations]]
name = "acme"
base_url = "{base_url}"
token = "simulator-token"
"""


def run(config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator's, to its end."""
    return subprocess.run(
        command("backfill", "--config", str(config), *options),
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=COMMAND_ENDS_WITHIN_S,
        check=False,
    )


def jobs(config: Path) -> dict[str, dict]:
    """What `--list --json` shows."""
    shown = run(config, "--list", "--json")
    assert shown.returncode == 0, shown.stderr
    return {job["job"]: job for job in json.loads(shown.stdout)["jobs"]}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_old_range_comes_once_whenever_the_collector_is_killed(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Asked for while nobody runs; killed with -9 in the middle; asked for again: all of it, and nothing twice."""
    moments = random.Random(20261125)
    log, config = tmp_path / "collector.log", tmp_path / "collector.toml"
    with simulator(*TENANT, log=tmp_path / "simulator.log") as api:
        config.write_text(
            CONFIG.format(servers=kafka_cluster.bootstrap_servers, prefix=kafka_topic_prefix, base_url=api.base_url)
        )
        start = datetime.now(UTC) - timedelta(hours=3, minutes=50)
        asked = run(config, "--organization", "acme", "--from", start.isoformat(), "--quota-share", "0.8", "--no-wait")
        assert asked.returncode == 0, asked.stderr
        job = asked.stdout.strip()
        assert jobs(config)[job]["state"] == "waiting"
        killed_while_running = 0
        for _ in range(KILLS):
            begins = log.stat().st_size if log.exists() else 0
            collector = start_collector(config, log)
            wait_until("a restored shard", lambda: b"shard restored" in log.read_bytes()[begins:], 60)  # noqa: B023
            time.sleep(moments.uniform(1.0, 6.0))  # the moment of death is the test
            assert collector.poll() is None, f"the collector ended by itself: {log.read_text()[-3000:]}"
            collector.send_signal(signal.SIGKILL)
            collector.wait()
            killed_while_running += jobs(config)[job]["state"] == "running"
        collector = start_collector(config, log)
        try:
            wait_until("the end of the job", lambda: jobs(config)[job]["state"] == "done", DONE_WITHIN_S)
            done = jobs(config)[job]
            truth = api.control("truth")
            again = run(config, "--organization", "acme", "--from", start.isoformat(), "--to", done["to"], "--wait")
        finally:
            code = end(collector)
        assert code == 0, log.read_text()[-3000:]
    events = read_committed(kafka_cluster.bootstrap_servers, f"{kafka_topic_prefix}.user-sessions")
    wanted = {
        session["id"]
        for organization in truth["organizations"]
        for group in organization["accountGroups"]
        for session in group["sessions"]
        if start.timestamp() <= int(session["id"].split(":")[1]) <= datetime.fromisoformat(done["to"]).timestamp() - 120
    }
    marked = [headers for headers in events.headers if headers.get("ce_backfilljob") == job.encode()]
    print(
        f"wanted={len(wanted)} events={events.ids.total()} backfilled={len(marked)} "
        f"killed_while_running={killed_while_running} pages={done['pages']}"
    )
    assert killed_while_running, "never killed in the middle"
    assert len(wanted) > 5_000
    assert wanted - set(events.ids) == set()
    assert {identifier: n for identifier, n in events.ids.items() if n > 1} == {}
    assert {headers["ce_lane"] for headers in marked} == {b"backfill"}
    assert len(marked) == done["events"]
    assert again.returncode == 0, again.stderr
    second = again.stdout.strip()
    assert second != job
    assert "0 sessions published" in again.stderr
