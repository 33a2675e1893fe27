"""Organizations come, go and change while workers run: without a restart, and without disturbing the others."""

import os
import signal
from pathlib import Path

import pytest

from tests.kafka_fixtures import KafkaCluster
from tests.workers.fleet import Fleet, Worker, fleet, name_of

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

ONE_SHARD = "shards = 1\n"
"""All organizations are neighbours."""


def replace(file: Path, text: str) -> None:
    """Another file takes its place at once, as careful editors and tools do it."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def events_of(workers: Fleet, numbers: range) -> None:
    """Wait until the topic holds every session that these organizations have offered by now."""
    truth = workers.truth(numbers)
    workers.wait_for("their sessions", lambda: truth <= set(workers.events().ids))


def test_sighup_adds_removes_and_changes_organizations(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Nobody restores for it; one that is removed stops, one that is added has all of its sessions, each once."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=ONE_SHARD) as workers:
        config = tmp_path / "changing.toml"
        config.write_text(workers.configuration(range(4)))
        one = workers.worker(config)
        workers.wait_until_shared(one, numbers=range(4))
        config.write_text(workers.configuration(range(1, 6), more="quota_share = 0.7\n"))
        one.send(signal.SIGHUP)
        workers.wait_until_shared(one, numbers=range(1, 6))
        workers.wait_for("the removed one is gone", lambda: name_of(0) not in shown(one))
        events_of(workers, range(1, 6))
        assert one.said("shard restored") == 1
        assert sorted(shown(one)) == [name_of(number) for number in range(1, 6)]
        assert f"'{name_of(0)}'" in one.tail() or f'"{name_of(0)}"' in one.tail()
        workers.check_every_session_once(range(1, 6))


def test_an_organization_that_comes_back_has_its_state(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Removed and added again it goes on where it was, with what was published known."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=ONE_SHARD) as workers:
        config = tmp_path / "changing.toml"
        config.write_text(workers.configuration(range(3)))
        one = workers.worker(config)
        workers.wait_until_shared(one, numbers=range(3))
        events_of(workers, range(3))
        for numbers in (range(2), range(3)):
            replace(config, workers.configuration(numbers))
            workers.wait_until_shared(one, numbers=numbers)
        workers.check_every_session_once(range(3))


def test_a_changed_file_is_noticed_however_it_changes(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Written over, replaced, or behind a symbolic link that is swapped, as Kubernetes mounts a ConfigMap."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=ONE_SHARD) as workers:
        mounted = tmp_path / "mounted"
        mounted.mkdir()
        swap(mounted, 1, workers.configuration(range(1)))
        config = mounted / "collector.toml"
        config.symlink_to("..data/collector.toml")
        one = workers.worker(config)
        workers.wait_until_shared(one, numbers=range(1))
        swap(mounted, 2, workers.configuration(range(2)))
        workers.wait_until_shared(one, numbers=range(2))
        config.write_text(workers.configuration(range(3)))  # through the links
        workers.wait_until_shared(one, numbers=range(3))
        replace(config, workers.configuration(range(4)))
        workers.wait_until_shared(one, numbers=range(4))
        assert one.said("shard restored") == 1
        workers.check_every_session_once(range(4))


def test_what_cannot_be_taken_is_said_and_changes_nothing(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Mistakes are listed and the old configuration stays; keys that need a restart are named, the rest is taken."""
    with fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka=ONE_SHARD) as workers:
        config = tmp_path / "changing.toml"
        config.write_text(workers.configuration(range(2)))
        one = workers.worker(config)
        workers.wait_until_shared(one, numbers=range(2))
        wrong = workers.configuration(range(3)) + "quota_share = 7\nconcurrency = 0\n"
        replace(config, wrong.replace("overlap =", "overlapp ="))
        workers.wait_for("a refusal", lambda: one.said("configuration not taken"))
        refusal = next(line for line in one.log.read_text().splitlines() if "configuration not taken" in line)
        for part in ("quota_share", "concurrency", "overlapp"):
            assert part in refusal
        assert (status := one.status()) is not None
        assert "quota_share" in status["configuration"]["problem"]
        assert b"collector_configuration_taken 0.0" in (one.get("/metrics") or b"")
        assert one.organizations() == {name_of(0), name_of(1)}
        changed = workers.configuration(range(3)).replace("shards = 1", "shards = 2\ncompression = 'none'")
        replace(config, changed)
        workers.wait_until_shared(one, numbers=range(3))
        assert (status := one.status()) is not None
        assert status["configuration"] == {"problem": None, "needs_restart": ["kafka.shards", "kafka.compression"]}
        assert one.said("configuration needs a restart") == 1
        workers.check_every_session_once(range(3))


def swap(mounted: Path, version: int, text: str) -> None:
    """What the kubelet does when a ConfigMap changes."""
    folder = mounted / f"..version-{version}"
    folder.mkdir()
    (folder / "collector.toml").write_text(text)
    link = mounted / "..data_tmp"
    link.symlink_to(folder.name)
    os.replace(link, mounted / "..data")


def shown(worker: Worker) -> list[str]:
    """Names of the organizations on its status page."""
    status = worker.status()
    return [] if status is None else [one["organization"] for one in status["organizations"]]
