"""`te-collector run --once`, `--dry-run` and signals, as a user or a scheduled job meets them."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.processes import clean_environment, command, end, simulator, start_collector, wait_until
from tests.end_to_end.topics import read_committed
from tests.kafka_fixtures import KafkaCluster

ENDS_WITHIN_S = 60
NOBODY = "127.0.0.1:1"
"""An address where no broker is."""

QUIET_TENANT = ("--sessions-per-minute", "60", "--history-s", "900", "--late-share", "0", "--quota", "6000")


def write_config(folder: Path, base_url: str, *, bootstrap_servers: str, prefix: str = "test", more: str = "") -> Path:
    path = folder / "collector.toml"
    path.write_text(
        f"""
initial_lookback = "20m"
{more}
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"
[[organizations]]
name = "acme"
base_url = "{base_url}"
token = "simulator-token"
"""
    )
    return path


def run(config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("run", "--config", str(config), *options),
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=ENDS_WITHIN_S,
        check=False,
    )


def ids(truth: dict) -> set[str]:
    return {s["id"] for o in truth["organizations"] for g in o["accountGroups"] for s in g["sessions"]}


@pytest.mark.timeout(150)
def test_once_collects_all_there_is_and_a_second_time_only_what_is_new(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """`--once` exits 0 with everything up to now in the topic; again, it publishes nothing twice."""
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        servers = kafka_cluster.bootstrap_servers
        config = write_config(tmp_path, api.base_url, bootstrap_servers=servers, prefix=kafka_topic_prefix)
        before = ids(api.control("truth"))
        first = run(config, "--once")
        assert first.returncode == 0, first.stderr
        topic = f"{kafka_topic_prefix}.user-sessions"
        assert before <= set(read_committed(servers, topic).ids)
        api.control("freeze", {})
        second = run(config, "--once")
        assert second.returncode == 0, second.stderr
        after = read_committed(servers, topic)
        assert set(after.ids) == ids(api.control("truth"))
        assert max(after.ids.values()) == 1


@pytest.mark.timeout(90)
def test_a_dry_run_prints_events_and_needs_no_kafka(tmp_path: Path) -> None:
    """Each line of standard output is one event; logs go elsewhere."""
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        config = write_config(tmp_path, api.base_url, bootstrap_servers=NOBODY)
        before = ids(api.control("truth"))
        done = run(config, "--once", "--dry-run")
        assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert before <= {event["userSessionId"] for event in printed}
    assert len(printed) == len({event["userSessionId"] for event in printed})
    assert {"aid", "userSessionId", "roundId", "date"} <= printed[0].keys()


@pytest.mark.timeout(90)
def test_once_ends_with_1_and_says_why_when_the_api_refuses_the_token(tmp_path: Path) -> None:
    """A scheduled job can tell that nothing was collected, and the log says what to do; the token is not in it."""
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        config = write_config(tmp_path, api.base_url, bootstrap_servers=NOBODY)
        config.write_text(config.read_text().replace("simulator-token", "canary-4f1d"))
        done = run(config, "--once", "--dry-run")
    assert done.returncode == 1
    assert "401" in done.stderr
    assert "token" in done.stderr
    assert "canary-4f1d" not in done.stderr + done.stdout


@pytest.mark.timeout(90)
def test_sigterm_ends_a_collector_with_0_even_while_no_broker_answers(tmp_path: Path) -> None:
    """Waiting for Kafka at start is no reason not to stop."""
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        config = write_config(tmp_path, api.base_url, bootstrap_servers=NOBODY)
        log = tmp_path / "collector.log"
        collector = start_collector(config, log)
        try:
            wait_until("a word about Kafka", lambda: NOBODY in log.read_text(), ENDS_WITHIN_S, alive=[collector])
        finally:
            code = end(collector)
    assert code == 0, log.read_text()


@pytest.mark.timeout(120)
def test_sigint_drains_and_exits_0_within_the_grace_period(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Ctrl-C in the middle of pages publishes what is in hand; a later start finds no session twice or missing."""
    options = ("--sessions-per-minute", "600", "--history-s", "1500", "--page-size", "50", "--quota", "6000")
    with simulator(*options, "--late-share", "0", log=tmp_path / "simulator.log") as api:
        servers = kafka_cluster.bootstrap_servers
        config = write_config(
            tmp_path, api.base_url, bootstrap_servers=servers, prefix=kafka_topic_prefix, more='grace_period = "15s"'
        )
        config.write_text(config.read_text().replace('"20m"', '"30m"'))
        log = tmp_path / "collector.log"
        collector = start_collector(config, log)
        wait_until("the first account groups", lambda: "account groups" in log.read_text(), 60, alive=[collector])
        collector.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert collector.wait(20) == 0, log.read_text()
        assert time.monotonic() - began < 15
        api.control("freeze", {})
        done = run(config, "--once")
        assert done.returncode == 0, done.stderr
        events = read_committed(servers, f"{kafka_topic_prefix}.user-sessions")
        assert set(events.ids) == ids(api.control("truth"))
        assert max(events.ids.values()) == 1
