"""Several workers share the organizations, whatever happens to them: every session arrives once."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.processes import clean_environment, command
from tests.kafka_fixtures import KafkaCluster
from tests.workers.fleet import fleet

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

QUICK = 'session_timeout = "8s"\n'
"""Long enough for a busy machine, short enough to wait for."""

PATIENT = 'session_timeout = "2m"\n'
"""Nobody's session ends in such a test: what moves, moves because somebody said so."""


def test_a_killed_worker_is_replaced(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path) -> None:
    """After kill -9 the others collect its organizations, and nobody else is needed."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=QUICK) as workers:
        first, second, third = (workers.worker() for _ in range(3))
        workers.wait_until_shared(first, second, third)
        assert all(worker.organizations() for worker in (first, second, third))
        second.kill()
        workers.wait_until_shared(first, third)
        workers.check_every_session_once()


def test_a_killed_worker_that_is_back_goes_on_at_once(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Started again on its machine it has its organizations again; the session of the dead one need not end first."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=PATIENT) as workers:
        first, second = workers.worker(), workers.worker()
        workers.wait_until_shared(first, second)
        had, changes = first.organizations(), second.said("membership_changed")
        first.kill()
        first.start()
        workers.wait_until_shared(first, second)
        assert first.organizations() == had
        assert second.said("membership_changed") == changes
        workers.check_every_session_once()


def test_a_frozen_worker_does_no_harm_when_it_wakes_up(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Stopped for longer than its session it is replaced; woken up it lets go, is fenced, and takes its share again."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=QUICK) as workers:
        first, second = workers.worker(), workers.worker()
        workers.wait_until_shared(first, second)
        first.send(signal.SIGSTOP)
        workers.wait_until_shared(second)
        first.send(signal.SIGCONT)
        workers.wait_until_shared(first, second)
        workers.check_every_session_once()


def test_a_stopped_worker_hands_over_at_once(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """SIGTERM gives everything away, although sessions last for minutes."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=PATIENT) as workers:
        first, second = workers.worker(), workers.worker()
        workers.wait_until_shared(first, second)
        first.stop()
        workers.wait_until_shared(second)
        workers.check_every_session_once()


def test_more_workers_than_shards_stand_by(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """A worker that is given nothing is ready, says so, and takes over when the other one stops."""
    kafka = PATIENT + "shards = 1\n"
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=kafka) as workers:
        workers.wait_until_shared(first := workers.worker())
        standby = workers.worker()
        workers.wait_until_shared(first, standby)
        assert (status := standby.status()) is not None
        assert (status["group"]["member"], status["phase"]) == (True, "standby")
        assert [shard["state"] for shard in status["shards"]] == ["elsewhere"]
        assert status["organizations"] == []
        first.stop()
        workers.wait_until_shared(standby)
        workers.check_every_session_once()


def test_a_worker_with_a_name_comes_back_or_leaves_for_good(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """With an instance id a restart moves nothing; ``leave`` gives everything away without waiting for the session."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=PATIENT) as workers:
        named = workers.worker(TE_COLLECTOR_KAFKA__INSTANCE_ID="named")
        other = workers.worker(TE_COLLECTOR_KAFKA__INSTANCE_ID="other")
        workers.wait_until_shared(named, other)
        had, changes = named.organizations(), other.said("membership_changed")
        named.stop()
        named.start()
        workers.wait_until_shared(named, other)
        assert named.organizations() == had
        assert other.said("membership_changed") == changes
        named.stop()
        left = subprocess.run(
            command("leave", "--config", str(named.config), "named"), env=clean_environment(), timeout=60, check=False
        )
        assert left.returncode == 0
        workers.wait_until_shared(other)
        workers.check_every_session_once()
