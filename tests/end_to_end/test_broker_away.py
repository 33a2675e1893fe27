"""A cluster that is away, at the start and later: the collector waits, says so and goes on; --once gives up."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafka, LocalKafkaSettings, local_kafka
from collector.local_kafka.ports import choose_nodes
from tests.end_to_end.processes import Simulator, end, simulator, start_collector, wait_until
from tests.end_to_end.test_run_once import NOBODY, QUIET_TENANT, ids, run, write_config
from tests.end_to_end.topics import read_committed

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

TOPIC = "test.user-sessions"
DEADLINE_S = 60


@contextmanager
def broker(folder: Path, port: int) -> Iterator[tuple[BlockingPortal, LocalKafka]]:
    """A broker on a port that was chosen before."""
    settings = LocalKafkaSettings(data_dir=folder / "kafka", port=port, properties=FAST_TEST_PROPERTIES)
    with (
        start_blocking_portal("asyncio", name="kafka") as portal,
        portal.wrap_async_context_manager(local_kafka(settings)) as cluster,
    ):
        yield portal, cluster


def check_every_session_once(api: Simulator, collector: subprocess.Popen[bytes], servers: str, log: Path) -> None:
    """Nothing new is offered; in the end each session is there once, and SIGTERM ends the collector with 0."""
    api.control("freeze", {})
    offered = ids(api.control("truth"))
    wait_until(
        "all sessions", lambda: offered <= set(read_committed(servers, TOPIC).ids), DEADLINE_S, alive=[collector]
    )
    assert end(collector) == 0, log.read_text()
    found = read_committed(servers, TOPIC).ids
    assert set(found) == offered
    assert max(found.values()) == 1


@pytest.mark.timeout(90)
def test_once_gives_up_when_no_broker_answers(tmp_path: Path) -> None:
    """A scheduled job ends with 1 after a few tries, and says where nobody answered and what to look at."""
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        done = run(write_config(tmp_path, api.base_url, bootstrap_servers=NOBODY), "--once")
    assert done.returncode == 1
    assert NOBODY in done.stderr
    assert "kafka.bootstrap_servers" in done.stderr


@pytest.mark.timeout(400)
def test_collector_waits_for_its_cluster(tmp_path: Path) -> None:
    """No broker at the start, then one; it dies and comes back: every session is in the topic once."""
    (node,) = choose_nodes(1, 0)
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        config = write_config(tmp_path, api.base_url, bootstrap_servers=f"127.0.0.1:{node.client_port}")
        log = tmp_path / "collector.log"
        collector = start_collector(config, log)

        def said(words: str, times: int = 1) -> bool:
            return log.read_text().count(words) >= times

        try:
            wait_until("two words about Kafka", lambda: said("Kafka does not answer", 2), DEADLINE_S, alive=[collector])
            with broker(tmp_path, node.client_port) as (portal, cluster):
                servers = cluster.bootstrap_servers
                wait_until("a shard", lambda: said("shard restored"), DEADLINE_S, alive=[collector])
                portal.call(cluster.kill, 0)
                wait_until("its end", lambda: said("shard released"), DEADLINE_S, alive=[collector])
                portal.call(cluster.restart, 0)
                check_every_session_once(api, collector, servers, log)
        finally:
            end(collector)


MANY = 20
"""Tries of an outage: with the usual pauses they take minutes, at the start, of a shard and of the group alike."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("session_timeout", "words"),
    [("30m", "shard starts over"), ("3s", "membership_client_failed")],
    ids=["with-its-shards", "without-them"],
)
def test_no_number_of_tries_ends_the_collector(tmp_path: Path, session_timeout: str, words: str) -> None:
    """Away for many tries, at the start and later, while it keeps its shards or without: all is there in the end."""
    (node,) = choose_nodes(1, 0)
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        servers = f"127.0.0.1:{node.client_port}"
        config = write_config(tmp_path, api.base_url, bootstrap_servers=servers)
        log = tmp_path / "collector.log"
        collector = start_collector(
            config, log, module="tests.end_to_end.impatient", TE_COLLECTOR_KAFKA__SESSION_TIMEOUT=session_timeout
        )

        def wait(what: str, condition: Callable[[], object]) -> None:
            wait_until(what, condition, DEADLINE_S, alive=[collector])

        try:
            wait("many tries", lambda: log.read_text().count("Kafka does not answer") >= MANY)
            with broker(tmp_path, node.client_port) as (portal, cluster):
                wait("a shard", lambda: "shard restored" in log.read_text())
                portal.call(cluster.kill, 0)
                wait("many tries", lambda: log.read_text().count(words) >= MANY)
                portal.call(cluster.restart, 0)
                check_every_session_once(api, collector, servers, log)
        finally:
            end(collector)
