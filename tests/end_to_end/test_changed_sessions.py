"""Page rows and changed content, chosen to be published: each once in Kafka, killed with -9 in between."""

import json
import random
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.processes import Simulator, end, simulator, start_collector, wait_until
from tests.end_to_end.topics import Committed, read_committed
from tests.kafka_fixtures import KafkaCluster

KILLS = 6
ALIVE_S = (0.0, 2.0)
"""How long a collector lives once it collects, seconds."""

DEADLINE_S = 180.0
SEED = 20261125
REVISIONS_MIN = 10
"""Some sixty of the last five minutes' sessions change when the clock jumps."""

AIDS = (7625, 7626)

CONFIG = """
initial_lookback = "30m"
overlap = "20m"
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"
[events]
{events}
[[organizations]]
name = "acme"
base_url = "{base_url}"
token = "simulator-token"
poll_interval_min = "1s"
"""

TENANT = (
    *("--account-groups", "2", "--sessions-per-minute", "60", "--quota", "6000", "--page-size", "50"),
    *("--history-s", "900", "--late-share", "0", "--seed", str(SEED)),
)


def rows_of(api: Simulator) -> list[dict[str, Any]]:
    """Every row that the API shows now, asked for without any of the collector's code."""
    rows = []
    for aid in AIDS:
        now = api.control("clock")["serverTime"]
        start, end_ = (datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for t in (now - 7_200, now + 60))
        path = f"/v7/endpoint/test-results/real-user-tests/filter?aid={aid}&startDate={start}&endDate={end_}"
        url: str | None = api.base_url + path
        while url is not None:
            request = urllib.request.Request(
                url,
                data=b"{}",
                method="POST",
                headers={"Authorization": "Bearer simulator-token", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                page = json.loads(answer.read())
            rows += page["results"]
            url = page["_links"].get("next", {}).get("href")
    return rows


def sessions_in(kafka: KafkaCluster, topic: str) -> set[str]:
    """The sessions that a reader finds."""
    return {json.loads(value)["userSessionId"] for value in read_committed(kafka.bootstrap_servers, topic).values}


def restored_collector(config: Path, log: Path) -> subprocess.Popen[bytes]:
    """A collector that has read its state."""
    begins = log.stat().st_size if log.exists() else 0
    collector = start_collector(config, log)
    wait_until("a restored shard", lambda: b"shard restored" in log.read_bytes()[begins:], DEADLINE_S)
    return collector


def collected_with_kills(
    api: Simulator,
    kafka: KafkaCluster,
    prefix: str,
    folder: Path,
    events: str,
    complete: Callable[[Committed], bool],
) -> Committed:
    """What a reader finds once everything is there, collected by processes that were killed at random moments."""
    moments, log, config = random.Random(SEED), folder / "collector.log", folder / "collector.toml"
    config.write_text(
        CONFIG.format(bootstrap_servers=kafka.bootstrap_servers, prefix=prefix, base_url=api.base_url, events=events)
    )
    topic = f"{prefix}.user-sessions"
    for number in range(KILLS):
        collector = restored_collector(config, log)
        if number == KILLS // 2:  # so that what changes with the jump of the clock below was published before
            shown = {row["id"] for row in rows_of(api)}
            wait_until("all sessions so far", lambda: shown <= sessions_in(kafka, topic), DEADLINE_S)  # noqa: B023
        time.sleep(moments.uniform(*ALIVE_S))  # the moment of death is the test
        assert collector.poll() is None, f"the collector ended by itself: {log.read_text()[-3000:]}"
        collector.send_signal(signal.SIGKILL)
        collector.wait()
        if number == KILLS // 2:
            api.control("clock", {"advance_s": 200})  # much of what was published has changed meanwhile
    api.control("freeze", {})
    # It may have nothing left to do, and one that was not up yet would be ended by the signal itself.
    collector = restored_collector(config, log)
    try:
        wait_until(
            "everything in the topic",
            lambda: complete(read_committed(kafka.bootstrap_servers, topic)),
            DEADLINE_S,
            alive=[collector],
        )
    finally:
        code = end(collector)
    assert code == 0, log.read_text()[-3000:]
    return read_committed(kafka.bootstrap_servers, topic)


def content(row: dict[str, Any]) -> tuple[Any, ...]:
    """What is different in a changed row of the simulator, in an answer and in an event alike."""
    return row.get("userSessionId", row.get("id")), row["numberOfPages"], row.get("experienceScore")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_content_of_a_session_is_there_once(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """`revisions = "publish"`: a session once, each further content of it once, and the last content is there."""
    with simulator(*TENANT, "--changed-share", "0.5", log=tmp_path / "simulator.log") as api:
        last: set[tuple[Any, ...]] = set()

        def complete(found: Committed) -> bool:
            last.update(map(content, rows_of(api)) if not last else ())
            return last <= {content(json.loads(value)) for value in found.values}

        found = collected_with_kills(
            api, kafka_cluster, kafka_topic_prefix, tmp_path, 'revisions = "publish"', complete
        )
    contents = Counter(content(json.loads(value)) for value in found.values)
    first = Counter(headers["ce_id"] for headers in found.headers if "ce_revision" not in headers)
    revisions = [headers for headers in found.headers if "ce_revision" in headers]
    print(f"rows={len(last)} events={len(found.values)} revisions={len(revisions)}")
    assert set(contents.values()) == {1}
    assert set(found.ids.values()) == {1}
    assert set(first) == {identifier.encode() for identifier, _, _ in last}
    assert len(first) + len(revisions) == len(found.values)
    assert len(revisions) >= REVISIONS_MIN, "changes must have been seen, or nothing was tested"
    assert {headers["ce_revision"] for headers in revisions} == {b"1"}
    assert {headers["ce_id"].partition(b"#")[0] for headers in revisions} <= set(first)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_page_of_a_session_is_there_once(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """`identity = "session-page"`: each (userSessionId, pageId) row once, by its event id and by its value."""
    options = ("--several-rows-share", "0.5", "--changed-share", "0.1")
    with simulator(*TENANT, *options, log=tmp_path / "simulator.log") as api:
        offered: set[tuple[str, str | None]] = set()

        def complete(found: Committed) -> bool:
            offered.update(((row["id"], row.get("pageId")) for row in rows_of(api)) if not offered else ())
            return len(found.values) >= len(offered)

        found = collected_with_kills(
            api, kafka_cluster, kafka_topic_prefix, tmp_path, 'identity = "session-page"', complete
        )
        log = (tmp_path / "collector.log").read_text()
    events = [json.loads(value) for value in found.values]
    pages = Counter((event["userSessionId"], event.get("pageId")) for event in events)
    print(f"rows={len(offered)} sessions={len({session for session, _ in offered})} events={len(events)}")
    assert pages == Counter(dict.fromkeys(offered, 1))
    expected = {session if page is None else f"{session}:{page}" for session, page in offered}
    assert found.ids == Counter(dict.fromkeys(expected, 1))
    assert found.keys == Counter(event["userSessionId"] for event in events)
    assert len(pages) > len({session for session, _ in pages}) * 5 // 4, "sessions must have several pages"
    assert "came back changed" in log
    assert "another page" not in log
