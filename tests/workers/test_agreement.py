"""Workers notice that they have different configurations, say so, and say when it is over."""

from pathlib import Path

import pytest

from tests.kafka_fixtures import KafkaCluster
from tests.workers.fleet import Worker, fleet

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENT = 'session_timeout = "2m"\n'
ANOTHER = "another worker has another configuration"


def differing(worker: Worker) -> list[list[str]]:
    """What differs at each of the other workers, as its status says."""
    status = worker.status()
    group = None if status is None else status["group"]  # none before it joins
    return [] if group is None else [other["differs"] for other in group["others"]]


def test_different_organizations_are_noticed_by_everybody_until_they_agree(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """One worker lacks an organization: each says so, in log, metric and status; after a reload all is well again."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=PATIENT) as workers:
        shorter = tmp_path / "shorter.toml"
        shorter.write_text(workers.configuration(range(9)))
        first, second = workers.worker(), workers.worker(shorter)
        workers.wait_for(
            "both know",
            lambda: differing(first) == [["organizations"]] and differing(second) == [["organizations"]],
        )
        assert first.said(ANOTHER) == 1
        assert second.said(ANOTHER) == 1
        assert b"collector_workers_differing 1.0" in (first.get("/metrics") or b"")
        shorter.write_text(workers.configuration())
        workers.wait_for("they agree", lambda: differing(first) == [[]] and differing(second) == [[]])
        workers.wait_until_shared(first, second)
        assert first.said("all workers have the same configuration") == 1
        workers.check_every_session_once()


def test_a_restarted_worker_with_another_configuration_is_noticed(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Back in time under its name nothing is shared out anew; the others hear of its new settings all the same."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=PATIENT) as workers:
        own = tmp_path / "own.toml"
        own.write_text(workers.configuration())
        first = workers.worker()
        second = workers.worker(own, TE_COLLECTOR_KAFKA__INSTANCE_ID="named")
        workers.wait_until_shared(first, second)
        assert differing(first) == [[]]
        had = second.organizations()
        second.kill()
        own.write_text(workers.configuration(more="quota_share = 0.5\n"))
        second.start()
        workers.wait_for("both know", lambda: differing(first) == [["settings"]] == differing(second))
        workers.wait_until_shared(first, second)
        assert second.organizations() == had
        workers.check_every_session_once()
