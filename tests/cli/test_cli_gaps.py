"""`te-collector gaps` against a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from collector.cli.gaps import Entry, as_text
from collector.core.event import rfc3339
from collector.core.ledger import Ledger
from collector.core.ledger_entries import LastWalk, Lost, Unreadable, Why
from collector.core.ledger_record import encode
from collector.core.model import EpochS, Lane
from tests.cli.conftest import Run
from tests.kafka_fixtures import KafkaCluster

TIMEOUT_S = 30
NOW = int(time.time()) // 60 * 60
DAY_S = 86_400
BEGINS = NOW - 40 * DAY_S

TROUBLED = Ledger(
    BEGINS,
    NOW - 30 * DAY_S,
    600,
    walked=((NOW - 30 * DAY_S, NOW - 7_200), (NOW - 3_600, NOW - 60)),
    settled=((NOW - 30 * DAY_S, NOW - 7_800), (NOW - 3_600, NOW - 660)),
    lost=(Lost(NOW - 35 * DAY_S, NOW - 30 * DAY_S, Why.RETENTION, "", NOW - DAY_S),),
    unreadable=(Unreadable(NOW - 7_200, NOW - 7_140, "no end", 2, NOW + 600),),
    last=(LastWalk(Lane.HOT, NOW - 660, NOW - 60, NOW - 60),),
)
FINE = Ledger(NOW - 7_200, NOW - 7_200, 900, walked=((NOW - 7_200, NOW - 30),), settled=((NOW - 7_200, NOW - 930),))


@pytest.fixture(scope="module")
def topics(kafka_cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment; the state topic has two organizations on two shards, what was aborted, and what is not decided."""
    prefix = f"cli-gaps-{tmp_path_factory.getbasetemp().name}"
    servers, state = kafka_cluster.bootstrap_servers, f"{prefix}.collector.state"
    admin = AdminClient({"bootstrap.servers": servers})
    for created in admin.create_topics([NewTopic(state, 3, 1, config={"cleanup.policy": "compact"})]).values():
        created.result(TIMEOUT_S)
    owner, aborting, open_one = (
        Producer({"bootstrap.servers": servers, "transactional.id": f"{state}.{number}"}) for number in range(3)
    )
    for producer in (owner, aborting, open_one):
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
    owner.produce(state, encode(FINE), "progress/a%20b/9", partition=0)
    owner.produce(state, b"x" * 100, "seen/acme/7625/0/0", partition=1)
    owner.produce(state, encode(FINE), "progress/acme/7625", partition=1)
    owner.produce(state, encode(FINE), "progress/gone/1", partition=0)
    owner.produce(state, encode(TROUBLED), "progress/acme/7625", partition=1)
    owner.produce(state, None, "progress/gone/1", partition=0)
    owner.commit_transaction(TIMEOUT_S)
    aborting.produce(state, b"aborted", "progress/acme/7625", partition=1)
    aborting.flush(TIMEOUT_S)
    aborting.abort_transaction(TIMEOUT_S)
    open_one.produce(state, b"not decided", "progress/a%20b/9", partition=0)
    open_one.flush(TIMEOUT_S)
    yield {"KAFKA_BOOTSTRAP_SERVERS": servers, "TE_COLLECTOR_KAFKA__TOPIC_PREFIX": prefix}
    open_one.abort_transaction(TIMEOUT_S)
    for deleted in admin.delete_topics([state]).values():
        deleted.result(TIMEOUT_S)


def test_everything_as_json(run_command: Run, topics: dict[str, str]) -> None:
    """The last committed ledger of each account group: watermarks, and each gap with its reason."""
    shown = run_command("gaps", "--json", **topics)
    assert (shown.code, shown.err) == (0, "")
    document = json.loads(shown.out)
    fine, troubled = document["account_groups"]
    assert (fine["organization"], fine["aid"], fine["parked"]) == ("a b", "9", None)
    assert fine["gaps"] == []
    assert (troubled["organization"], troubled["aid"]) == ("acme", "7625")
    assert troubled["begins"] == rfc3339(BEGINS)
    assert troubled["covered_until"] == rfc3339(NOW - 7_200)
    assert troubled["last_walks"] == {"hot": rfc3339(NOW - 60)}
    assert [(gap["why"], gap["lost"], gap["duration_s"]) for gap in troubled["gaps"][:3]] == [
        ("retention", True, 5 * DAY_S),
        ("unreadable", False, 60),
        ("missed", False, 3_540),
    ]
    assert troubled["gaps"][1]["detail"] == "no end"


def test_one_account_group_for_people(run_command: Run, topics: dict[str, str]) -> None:
    """What was asked for, in lines; what is lost is said loudly."""
    shown = run_command("gaps", "--organization", "acme", "--account-group", "7625", **topics)
    assert (shown.code, shown.err) == (0, "")
    assert "acme, account group 7625" in shown.out
    assert "a b" not in shown.out
    assert "5d: LOST: older than what ThousandEyes keeps" in shown.out
    assert "1m: cannot be read to its end, tried again rarely (no end)" in shown.out
    assert "59m: the collector was down, or the API did not answer" in shown.out


def test_what_is_not_known_is_an_error(run_command: Run, topics: dict[str, str]) -> None:
    """A mistyped name does not look as if nothing was missing, nor does a topic that is not there."""
    unknown = run_command("gaps", "--organization", "acne", **topics)
    assert (unknown.code, unknown.out) == (1, "")
    assert "knows nothing of organization 'acne'; did you mean \"acme\"? Collected: a b, acme\n" in unknown.err
    for organization in ((), ("--organization", "acme")):
        group = run_command("gaps", *organization, "--account-group", "762", **topics)
        assert (group.code, group.out) == (1, "")
        assert "knows nothing of account group '762'; did you mean \"7625\"? Collected: 7625" in group.err
    nowhere = run_command("gaps", **{**topics, "TE_COLLECTOR_KAFKA__TOPIC_PREFIX": "no-such-prefix"})
    assert (nowhere.code, nowhere.out) == (1, "")
    assert "there is no topic no-such-prefix.collector.state" in nowhere.err


def test_the_text_of_an_account_group() -> None:
    """Everything a person asks: from when until when, how often again, and that nothing is missing."""
    lines = list(as_text(Entry("acme", "7625", FINE, due_s=60.0), EpochS(NOW + 30.0)))
    assert lines == [
        "acme, account group 7625",
        f"  covered from {rfc3339(NOW - 7_200)[:19]}Z until {rfc3339(NOW - 30)[:19]}Z (1m ago)",
        f"  walked again after an overlap of 15m: until {rfc3339(NOW - 930)[:19]}Z",
        f"  walked again after the late horizon: until {rfc3339(NOW - 7_200)[:19]}Z",
        "  no gap",
    ]


def test_what_came_after_the_last_walk_is_a_gap_once_the_next_one_is_overdue() -> None:
    """A collector that is not there shows as a gap as soon as it should have come."""
    lines = list(as_text(Entry("acme", "7625", FINE, due_s=60.0), EpochS(NOW + 31.0)))
    assert lines[-1] == f"  gap {rfc3339(NOW - 30)[:19]}Z to {rfc3339(NOW + 31)[:19]}Z, 1m1s: not walked yet"


def test_the_configuration_says_when_the_next_walk_is_overdue(run_command: Run, topics: dict[str, str]) -> None:
    """``poll_interval_max`` of the organization, and of no other one; the default where it is not configured."""
    organization = {
        "TE_COLLECTOR_ORGANIZATIONS__0__NAME": "a b",
        "TE_COLLECTOR_ORGANIZATIONS__0__TOKEN": "secret",
        "TE_COLLECTOR_ORGANIZATIONS__0__POLL_INTERVAL_MIN": "1s",
        "TE_COLLECTOR_ORGANIZATIONS__0__POLL_INTERVAL_MAX": "1s",
    }
    shown = run_command("gaps", "--json", **topics, **organization)
    fine, troubled = json.loads(shown.out)["account_groups"]
    assert [gap["why"] for gap in fine["gaps"]] == ["not_yet"]
    assert "not_yet" not in [gap["why"] for gap in troubled["gaps"]]
