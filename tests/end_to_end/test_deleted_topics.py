"""A topic that somebody deletes while the collector runs ends it with 1 and the command that creates the topic."""

from pathlib import Path

import pytest
from anyio import run as run_async

from tests.end_to_end.processes import end, simulator, start_collector, wait_until
from tests.end_to_end.test_run_once import QUIET_TENANT, write_config
from tests.end_to_end.topics import read_committed
from tests.kafka import librdkafka
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

DEADLINE_S = 90


@pytest.mark.timeout(175)
@pytest.mark.parametrize("name", ["user-sessions", "collector.state", "collector.shards"])
def test_collector_ends_when_a_topic_is_deleted(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path, name: str
) -> None:
    """Exit code 1, a log that names the topic and the command, and no storm of lines before."""
    servers, topic = kafka_cluster.bootstrap_servers, f"{kafka_topic_prefix}.{name}"
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        config = write_config(tmp_path, api.base_url, bootstrap_servers=servers, prefix=kafka_topic_prefix)
        log = tmp_path / "collector.log"
        collector = start_collector(config, log)
        try:
            events = f"{kafka_topic_prefix}.user-sessions"
            wait_until("a shard", lambda: "shard restored" in log.read_text(), DEADLINE_S, alive=[collector])
            wait_until("events", lambda: read_committed(servers, events).ids, DEADLINE_S, alive=[collector])
            run_async(librdkafka.delete_topic, servers, topic)
            wait_until("its end", lambda: collector.poll() is not None, DEADLINE_S)
        finally:
            end(collector)
        assert collector.returncode == 1
        assert f"{topic} was deleted" in log.read_text()
        assert "--create" in log.read_text()
        assert log.read_text().count("\n") < 100
