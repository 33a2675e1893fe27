"""`te-collector tail` against a real broker."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from collector.cli.tail import line
from collector.kafka.tail import TailRecord
from tests.cli.conftest import Run, Start, ended
from tests.kafka_fixtures import KafkaCluster

RECORDS = 200
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def topics(kafka_cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Bootstrap servers and a topic prefix; the events topic holds committed records and an aborted one."""
    prefix = f"cli-tail-{tmp_path_factory.getbasetemp().name}"
    admin = AdminClient({"bootstrap.servers": kafka_cluster.bootstrap_servers})
    names = [f"{prefix}.user-sessions", f"{prefix}.user-sessions.dlq"]
    for created in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        created.result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": kafka_cluster.bootstrap_servers, "transactional.id": prefix})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(names[0], b'{"userSessionId":"aborted"}')
    producer.flush(TIMEOUT_S)
    producer.abort_transaction(TIMEOUT_S)
    producer.begin_transaction()
    for number in range(RECORDS):
        value = json.dumps({"userSessionId": f"id-{number}"}).encode()
        producer.produce(
            names[0], value, f"id-{number}", headers={"ce_id": f"id-{number}"}, timestamp=1_700_000_000_123
        )
    producer.produce(names[1], b"\xff\x00", b"broken")
    producer.commit_transaction(TIMEOUT_S)
    yield kafka_cluster.bootstrap_servers, prefix
    for deleted in admin.delete_topics(names).values():
        deleted.result(TIMEOUT_S)


def test_committed_records_as_json_lines(run_command: Run, topics: tuple[str, str]) -> None:
    """No organization is needed; the aborted record is not shown; each line has all there is to know."""
    servers, prefix = topics
    shown = run_command(
        "tail",
        "--from-beginning",
        "--max",
        "3",
        KAFKA_BOOTSTRAP_SERVERS=servers,
        TE_COLLECTOR_KAFKA__TOPIC_PREFIX=prefix,
    )
    assert (shown.code, shown.err) == (0, "")
    records = [json.loads(text) for text in shown.out.splitlines()]
    assert [record["value"]["userSessionId"] for record in records] == ["id-0", "id-1", "id-2"]
    assert records[0] == {
        "topic": f"{prefix}.user-sessions",
        "partition": 0,
        "offset": records[0]["offset"],
        "timestamp": "2023-11-14T22:13:20.123Z",
        "key": "id-0",
        "headers": {"ce_id": "id-0"},
        "value": {"userSessionId": "id-0"},
    }


def test_the_topic_of_the_dead_letters(run_command: Run, topics: tuple[str, str], tmp_path: Path) -> None:
    """By its short name, with the brokers from a file; bytes that are no text are marked."""
    servers, prefix = topics
    (tmp_path / "collector.toml").write_text(f'[kafka]\nbootstrap_servers = "{servers}"\ntopic_prefix = "{prefix}"\n')
    shown = run_command("tail", "--topic", "dlq", "--from-beginning", "--max", "1")
    assert shown.code == 0
    record = json.loads(shown.out)
    assert (record["key"], record["value_base64"]) == ("broken", "/wA=")
    assert "value" not in record


def test_a_closed_pipe_is_no_error(start_command: Start, topics: tuple[str, str]) -> None:
    """As with `tail | head -n 1`: it ends quietly, although it waits for records and writes nothing any more."""
    servers, prefix = topics
    with start_command(
        "tail", "--topic", f"{prefix}.user-sessions", "--from-beginning", KAFKA_BOOTSTRAP_SERVERS=servers
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["key"] == "id-0"
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(start_command: Start, topics: tuple[str, str], stop: signal.Signals) -> None:
    """While it waits for more, with exit code 0."""
    servers, prefix = topics
    with start_command(
        "tail", "--topic", f"{prefix}.user-sessions", "--from-beginning", KAFKA_BOOTSTRAP_SERVERS=servers
    ) as process:
        assert process.stdout is not None
        for _ in range(RECORDS):
            assert process.stdout.readline()
        process.send_signal(stop)
        done = ended(process)
    assert (done.code, done.err) == (0, "")


def test_a_topic_that_does_not_exist(run_command: Run, kafka_cluster: KafkaCluster) -> None:
    """A message and exit code 1."""
    shown = run_command("tail", "--topic", "cli-none", KAFKA_BOOTSTRAP_SERVERS=kafka_cluster.bootstrap_servers)
    assert shown.code == 1
    assert "there is no topic cli-none" in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"a":1}', {"value": {"a": 1}}),
        (b"no json", {"value_text": "no json"}),
        ("é".encode(), {"value_text": "é"}),
        (b"\xff", {"value_base64": "/w=="}),
        (b"", {"value_text": ""}),
        (None, {"value": None}),
    ],
)
def test_how_values_are_shown(value: bytes | None, shown: dict[str, object]) -> None:
    """JSON as JSON, text as text, bytes as base64; a tombstone is null."""
    record = TailRecord("t", 1, 2, 0, None, (("h", b"\xff"), ("g", b"v")), value)
    text = json.loads(line(record))
    assert text == {
        "topic": "t",
        "partition": 1,
        "offset": 2,
        "timestamp": "1970-01-01T00:00:00.000Z",
        "key": None,
        "headers": {"h_base64": "/w==", "g": "v"},
        **shown,
    }
