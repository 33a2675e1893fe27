"""The only disk of the only broker is full: Kafka ends, the collector says so and waits, and goes on with room."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collector.local_kafka.ports import choose_nodes
from tests.end_to_end.processes import end, simulator, start_collector, wait_until
from tests.end_to_end.test_broker_away import DEADLINE_S, TOPIC, broker, check_every_session_once
from tests.end_to_end.test_run_once import QUIET_TENANT, write_config
from tests.end_to_end.topics import read_committed
from tests.kafka.disks import fill, needs_limits

pytestmark = [pytest.mark.slow, pytest.mark.kafka, needs_limits]


@pytest.mark.timeout(400)
def test_collector_waits_until_the_disk_has_room(tmp_path: Path) -> None:
    """The log says where nobody answers; when the broker is back, every session is in the topic once."""
    (node,) = choose_nodes(1, 0)
    with (
        simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api,
        broker(tmp_path, node.client_port) as (portal, cluster),
    ):
        servers, (only,) = cluster.bootstrap_servers, cluster.brokers
        config = write_config(tmp_path, api.base_url, bootstrap_servers=servers)
        config.write_text(config.read_text() + 'poll_interval_min = "1s"\n')  # an organization's key, the last table
        log = tmp_path / "collector.log"
        # A session that ends would take its shard away before it could say why it starts over.
        collector = start_collector(config, log, TE_COLLECTOR_KAFKA__SESSION_TIMEOUT="2m")

        def wait(what: str, condition: Callable[[], object]) -> None:
            wait_until(what, condition, DEADLINE_S, alive=[collector])

        try:
            wait("a shard", lambda: "shard restored" in log.read_text())
            wait("events", lambda: read_committed(servers, TOPIC).ids)
            fill(only)
            wait("the end of the broker", lambda: not only.is_running)
            wait("a word about it", lambda: "shard starts over" in log.read_text())
            assert servers in log.read_text().partition("shard starts over")[2].partition("\n")[0]
            portal.call(cluster.restart, 0)
            check_every_session_once(api, collector, servers, log)
        finally:
            end(collector)
