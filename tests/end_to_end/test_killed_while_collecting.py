"""The promise: killed with -9 at any moment, every session arrives once and every bad row is a dead letter once."""

import os
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.processes import Simulator, end, simulator, start_collector, wait_until
from tests.end_to_end.topics import Committed, read_committed
from tests.kafka_fixtures import KafkaCluster

KILLS = int(os.environ.get("KILLS", "30"))
ALIVE_S = (0.0, 2.5)
"""How long a collector lives once it collects, seconds."""

EARLY = 0.2
EARLY_S = (0.3, 1.5)
"""Share of the collectors that die while they start or restore, and when, seconds from their start."""

DRAIN_DEADLINE_S = 120.0
SEED = int(os.environ.get("SEED", "20261123"))

FAULTS = {
    "status_429": 0.002,
    "status_500": 0.03,
    "status_502": 0.02,
    "status_503": 0.02,
    "dropped": 0.03,
    "truncated": 0.03,
    "malformed": 0.02,
    "error_in_200": 0.01,
    "bad_cursor": 0.02,
    "cursor_loop": 0.02,
    "empty_last_page": 0.2,
}

MARKER = re.compile(rb"bad-[0-9]+-[0-9]+-[0-9]+")

CONFIG = """
initial_lookback = "30m"
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"
[[organizations]]
name = "seven"
base_url = "{base_url}"
token = "simulator-token"
poll_interval_min = "1s"
[[organizations]]
name = "six"
base_url = "{base_url}"
token = "simulator-token-2"
api_version = "v6"
poll_interval_min = "1s"
[[organizations]]
name = "six in xml"
base_url = "{base_url}"
user = "3.collector@example.com"
token = "0123456789abcdef0123456789abcdef-3"
api_version = "v6"
format = "xml"
poll_interval_min = "1s"
"""


def truth_of(api: Simulator) -> dict:
    return api.control("truth")


def expected(truth: dict) -> set[str]:
    return {s["id"] for o in truth["organizations"] for g in o["accountGroups"] for s in g["sessions"]}


def bad_markers(truth: dict) -> set[str]:
    """Markers of the bad rows. In XML a number and a text look the same, so an id that is a number is a valid one."""
    *in_json, in_xml = truth["organizations"]
    bad = [b for o in in_json for g in o["accountGroups"] for b in g["bad"]]
    bad += [b for g in in_xml["accountGroups"] for b in g["bad"] if b["kind"] != "id-number"]
    return {b["marker"] for b in bad}


def markers_in(dead: Committed) -> Counter[str]:
    """How often each bad row is in the dead letters, by the marker in its bytes."""
    return Counter(MARKER.search(value)[0].decode() for value in dead.values)  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_session_arrives_once_whenever_the_collector_is_killed(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Thirty times kill -9 at random moments, with faults, late commits, bad rows, skew and other tenants."""
    moments = random.Random(SEED)
    log = tmp_path / "collector.log"
    options = [
        *("--organization-count", "3", "--account-groups", "3", "--sessions-per-minute", "400", "--quota", "1200"),
        *("--page-size", "100", "--history-s", "1500", "--late-share", "0.05", "--late-max-s", "300"),
        *("--bad-share", "0.01", "--changed-share", "0.02", "--unusual-share", "0.02", "--clock-offset-s", "97"),
        *("--other-tenants-per-minute", "100", "--seed", str(SEED)),
    ]
    for name, share in FAULTS.items():
        options += [f"--fault-{name.replace('_', '-')}", str(share)]
    with simulator(*options, log=tmp_path / "simulator.log") as api:
        config = tmp_path / "collector.toml"
        config.write_text(
            CONFIG.format(
                bootstrap_servers=kafka_cluster.bootstrap_servers, prefix=kafka_topic_prefix, base_url=api.base_url
            )
        )
        for _ in range(KILLS):
            begins = log.stat().st_size if log.exists() else 0
            collector = start_collector(config, log)
            early = moments.random() < EARLY
            if not early:
                wait_until("a restored shard", lambda: b"shard restored" in log.read_bytes()[begins:], 30)  # noqa: B023
            time.sleep(moments.uniform(*(EARLY_S if early else ALIVE_S)))  # the moment of death is the test
            assert collector.poll() is None, f"the collector ended by itself: {log.read_text()[-3000:]}"
            collector.send_signal(signal.SIGKILL)
            collector.wait()
        api.control("faults", dict.fromkeys(FAULTS, 0.0))
        api.control("freeze", {})
        truth = truth_of(api)
        events_topic = f"{kafka_topic_prefix}.user-sessions"
        collector = start_collector(config, log)
        try:
            wait_until(
                "every session in the topic",
                lambda: not expected(truth) - set(read_committed(kafka_cluster.bootstrap_servers, events_topic).ids),
                DRAIN_DEADLINE_S,
                alive=[collector],
            )
        finally:
            code = end(collector)
        assert code == 0, log.read_text()[-3000:]
    events = read_committed(kafka_cluster.bootstrap_servers, events_topic)
    dead = read_committed(kafka_cluster.bootstrap_servers, f"{events_topic}.dlq")
    # Bad rows whose id is a number are valid in XML, and have the same number in every account group.
    duplicates = {identifier: n for identifier, n in events.ids.items() if n > 1 and not identifier.isdigit()}
    print(
        f"kills={KILLS} offered={len(expected(truth))} events={events.ids.total()} "
        f"missing={len(expected(truth) - set(events.ids))} duplicates={len(duplicates)} "
        f"bad={len(bad_markers(truth))} dead_letters={len(dead.values)}"
    )
    assert not expected(truth) - set(events.ids)
    assert duplicates == {}
    invented = {identifier for identifier in set(events.ids) - expected(truth) if not identifier.isdigit()}
    assert invented == set()
    assert markers_in(dead) == Counter(dict.fromkeys(bad_markers(truth), 1))
