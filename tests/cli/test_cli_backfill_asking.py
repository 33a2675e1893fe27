"""`te-collector backfill` against a real broker: how often it reads, and what it says of jobs that it cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from collector.cli import backfill, backfill_jobs, backfill_watch
from collector.cli.backfill import How, ask
from collector.cli.backfill_wish import Wanted
from collector.core.backfill import key_of
from collector.kafka.state import read_state
from tests.cli.conftest import Run
from tests.kafka_fixtures import KafkaCluster

pytestmark = pytest.mark.kafka
TIMEOUT_S = 30
CONFIG = """
[kafka]
bootstrap_servers = "{servers}"
topic_prefix = "{prefix}"
shards = 1
[[organizations]]
name = "acme"
token = "t"
"""


@pytest.fixture
def config_file(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path) -> Iterator[Path]:
    """One organization; its topics are not there yet."""
    path = tmp_path / "collector.toml"
    path.write_text(CONFIG.format(servers=kafka_cluster.bootstrap_servers, prefix=kafka_topic_prefix))
    yield path
    admin = AdminClient({"bootstrap.servers": kafka_cluster.bootstrap_servers})
    ours = [name for name in admin.list_topics(timeout=TIMEOUT_S).topics if name.startswith(kafka_topic_prefix)]
    for deleted in admin.delete_topics(ours).values():
        deleted.result(TIMEOUT_S)


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("wait", [False, True])
def test_whoever_asks_reads_the_state_once(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wait: bool
) -> None:
    """For the account groups, for the jobs that have the range already, and for those that come first."""
    read: list[str] = []

    async def counted(*what: Any, **how: Any) -> dict[str, bytes]:
        read.append("state")
        return await read_state(*what, **how)

    async def not_over(*what: object) -> bool:
        return False

    for module in (backfill, backfill_jobs):
        monkeypatch.setattr(module, "read_state", counted)
    monkeypatch.setattr(backfill_watch, "_until_over", not_over)  # nobody works at it
    assert ask(config_file, Wanted("acme", (), "3h", None, 0.2), How(wait=wait)) == 0
    assert read == ["state"]
    shown = capsys.readouterr()
    assert f"--watch {shown.out.strip()}" in shown.err
    assert ("stopped watching; the job goes on" in shown.err) == wait


def test_a_job_that_cannot_be_read_ends_each_command_with_a_line(
    run_command: Run, kafka_cluster: KafkaCluster, kafka_topic_prefix: str, config_file: Path
) -> None:
    """No traceback, and nothing that looks as if there was no job."""
    assert run_command("backfill", "--from", "3h", "--to", "2h", "--no-wait").code == 0
    state, key = f"{kafka_topic_prefix}.collector.state", key_of("backfill", "acme", "theirs")
    producer = Producer({"bootstrap.servers": kafka_cluster.bootstrap_servers})
    producer.produce(state, b'{"version":99}', key, partition=0)
    assert producer.flush(TIMEOUT_S) == 0
    for arguments in (
        ("--list",),
        ("--watch", "theirs"),
        ("--cancel", "theirs"),
        ("--from", "1h", "--dry-run"),
        ("--from", "1h", "--wait"),
    ):
        shown = run_command("backfill", *arguments)
        assert (shown.code, shown.out) == (1, ""), arguments
        (line,) = shown.err.splitlines()
        assert line.startswith(f"te-collector: {state} holds what this version cannot read at {key} (not of version 1")
