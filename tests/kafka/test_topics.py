"""Topics: what is created and how, and everything that makes the collector refuse to start."""

from __future__ import annotations

import socket

import pytest

from collector.errors import StartRefused
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.topic_rules import ObservedTopic, internal_findings, wanted_topics, warnings
from collector.kafka.topics import TopicLayout, ensure_topics
from tests.kafka import librdkafka
from tests.kafka.owners import owner
from tests.kafka.publications import publication, settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(60)]

NO_LIMIT = "9223372036854775807"
DAY_S = 86_400


async def test_missing_topics_are_created_as_they_should_be(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """All four topics are created with the partitions and settings that the promise needs; once more is harmless."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, events_retention_ms=DAY_S * 1000)
    assert await ensure_topics(settings) == TopicLayout(event_partitions=3, dead_letter_partitions=2)
    assert await ensure_topics(settings) == TopicLayout(event_partitions=3, dead_letter_partitions=2)

    servers = settings.bootstrap_servers
    partitions = {name: await librdkafka.partition_count(servers, name) for name in settings.topics}
    assert list(partitions.values()) == [3, 2, 2, 2]
    configs = [await librdkafka.topic_configs(servers, name) for name in settings.topics]
    assert [config["cleanup.policy"] for config in configs] == ["delete", "delete", "compact", "delete"]
    assert {config["unclean.leader.election.enable"] for config in configs} == {"false"}
    assert {config["min.insync.replicas"] for config in configs} == {"1"}  # one broker, one replica
    events, dead_letters, state, _ = configs
    assert (events["retention.ms"], dead_letters["retention.ms"]) == ("86400000", "-1")
    assert events["message.timestamp.after.max.ms"] == events["message.timestamp.before.max.ms"] == NO_LIMIT
    assert (state["segment.ms"], state["min.cleanable.dirty.ratio"]) == ("3600000", "0.1")
    assert state["delete.retention.ms"] == "86400000"


async def test_existing_partition_counts_are_taken_over(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Events and dead letters may have any number of partitions; the layout tells the real ones."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    await librdkafka.create_topic(settings.bootstrap_servers, settings.events_topic, partitions=7)
    assert await ensure_topics(settings) == TopicLayout(event_partitions=7, dead_letter_partitions=2)


async def test_missing_topics_are_refused_with_the_commands(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """Where we may not create topics, the exact command for each missing one is printed, and none is created."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, create_topics=False)
    await librdkafka.create_topic(settings.bootstrap_servers, settings.events_topic, partitions=1)
    with pytest.raises(StartRefused) as caught:
        await ensure_topics(settings)
    start = f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} --create --if-not-exists --topic"
    lines = str(caught.value).splitlines()[1:]
    assert lines[1] == (
        f"- {settings.state_topic} is missing: {start} {settings.state_topic} --partitions 2 --replication-factor 1 "
        "--config min.insync.replicas=1 --config unclean.leader.election.enable=false --config cleanup.policy=compact "
        "--config segment.ms=3600000 --config min.cleanable.dirty.ratio=0.1"
    )
    assert lines[0].startswith(f"- {settings.dead_letters_topic} is missing: {start} {settings.dead_letters_topic} ")
    assert lines[2].startswith(f"- {settings.shards_topic} is missing: {start} {settings.shards_topic} ")
    assert len(lines) == 3
    assert await librdkafka.partition_count(settings.bootstrap_servers, settings.state_topic) == 0


async def test_refused_creation_is_told_with_the_reason(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """When the broker will not create a topic, its reason is in the refusal."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, replication_factor=9)
    with pytest.raises(StartRefused, match=r"would not create it \(InvalidReplicationFactorError .* factor of 9"):
        await ensure_topics(settings)


@pytest.mark.parametrize(
    ("topic", "configs", "finding", "remedy"),
    [
        ("state", {"cleanup.policy": "delete"}, "cleanup.policy is delete, not compact", "cleanup.policy=compact"),
        ("state", {"cleanup.policy": "compact,delete"}, "compact,delete, not compact", "cleanup.policy=compact"),
        ("events", {"cleanup.policy": "compact"}, "cleanup.policy is compact, not delete", "cleanup.policy=delete"),
        ("dlq", {"cleanup.policy": "compact,delete"}, "compact,delete, not delete", "cleanup.policy=delete"),
        ("state", {"min.insync.replicas": "2"}, "1 replicas, but min.insync.replicas is 2", "min.insync.replicas=1"),
        ("shards", {"min.insync.replicas": "2"}, "1 replicas, but min.insync.replicas is 2", "min.insync.replicas=1"),
        (
            "events",
            {"unclean.leader.election.enable": "true"},
            "unclean.leader.election.enable is true",
            "unclean.leader.election.enable=false",
        ),
        ("events", {"retention.ms": "3600000"}, "retention.ms is 3600000", "retention.ms=259200000"),
        (
            "events",
            {"message.timestamp.before.max.ms": "3600000"},
            "message.timestamp.before.max.ms is 3600000",
            f"message.timestamp.before.max.ms={NO_LIMIT}",
        ),
        ("dlq", {"max.message.bytes": "1000"}, "less than kafka.batch_bytes (900000)", "max.message.bytes=1800000"),
    ],
)
async def test_unsafe_topic_is_refused(
    kafka_cluster: KafkaCluster,
    kafka_topic_prefix: str,
    topic: str,
    configs: dict[str, str],
    finding: str,
    remedy: str,
) -> None:
    """A setting that would break the promise is named with the command that changes it; then the start succeeds."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    name = f"{kafka_topic_prefix}.{topic}"
    base = {"cleanup.policy": "compact"} if topic == "state" else {}
    await librdkafka.create_topic(settings.bootstrap_servers, name, partitions=2, configs=base | configs)
    with pytest.raises(StartRefused) as caught:
        await ensure_topics(settings, oldest_record_s=2 * DAY_S)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith(f"- {name}: ")
    assert finding in line
    command = f"kafka-configs.sh --bootstrap-server {settings.bootstrap_servers} --alter --entity-type topics"
    assert line.endswith(f"{command} --entity-name {name} --add-config {remedy}")

    changed = dict([remedy.split("=")])
    await librdkafka.alter_topic(settings.bootstrap_servers, name, changed)
    await ensure_topics(settings, oldest_record_s=2 * DAY_S)


async def test_retention_is_not_checked_without_an_age(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """When records carry the time of collection, a short retention is the operator's choice."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix, events_retention_ms=60_000)
    await ensure_topics(settings)


async def test_all_findings_at_once_and_differing_shard_counts(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """State, shards and configuration must agree on the number of shards; everything else wrong is told as well."""
    servers = kafka_cluster.bootstrap_servers
    settings = settings_for(servers, kafka_topic_prefix, shards=4, create_topics=False)
    await librdkafka.create_topic(servers, settings.state_topic, partitions=3, configs={"cleanup.policy": "delete"})
    await librdkafka.create_topic(servers, settings.shards_topic, partitions=5)
    with pytest.raises(StartRefused) as caught:
        await ensure_topics(settings)
    text = str(caught.value)
    assert f"{settings.state_topic} has 3 partitions, {settings.shards_topic} has 5 partitions" in text
    assert "kafka.shards is 4" in text
    assert f"{settings.events_topic} is missing" in text
    assert "cleanup.policy is delete, not compact" in text
    assert len(text.splitlines()) == 1 + 4


async def test_lost_state_is_refused_until_accepted(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """Events without any state mean a lost state topic: what was published is unknown, an operator must agree."""
    settings = settings_for(kafka_cluster.bootstrap_servers, kafka_topic_prefix)
    async with owner(settings, shard=1) as (sink, _):
        await sink.publish(publication(["a"], {"n": b"1"}))
    await ensure_topics(settings)  # one used shard of two is state enough

    names = {"state_topic": f"{kafka_topic_prefix}.new-state"}
    with pytest.raises(StartRefused, match=r"new-state is empty, but .*\.events holds records"):
        await ensure_topics(settings_for(settings.bootstrap_servers, kafka_topic_prefix, **names))
    accepted = settings_for(settings.bootstrap_servers, kafka_topic_prefix, accept_empty_state=True, **names)
    async with owner(accepted) as (sink, state):
        assert state == {}
    await ensure_topics(settings_for(settings.bootstrap_servers, kafka_topic_prefix, **names))


async def test_unreachable_brokers_are_named(kafka_topic_prefix: str, unused_tcp_port: int) -> None:
    """Where nobody listens, the error says which address was tried and what to look at."""
    address = f"127.0.0.1:{unused_tcp_port}"
    with pytest.raises(KafkaUnreachable, match=rf"no success at {address} while connecting .*kafka\.bootstrap_servers"):
        await ensure_topics(settings_for(address, kafka_topic_prefix))


@pytest.fixture
def unused_tcp_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_three_brokers_get_three_replicas_of_which_two_must_agree() -> None:
    """Replication follows the brokers up to three, or the configuration."""
    settings = settings_for("127.0.0.1:9", "x")
    replicas = {
        brokers: {
            (topic.replication_factor, topic.configs["min.insync.replicas"])
            for topic in wanted_topics(settings, brokers=brokers)
        }
        for brokers in (1, 2, 3, 9)
    }
    assert replicas == {1: {(1, "1")}, 2: {(2, "2")}, 3: {(3, "2")}, 9: {(3, "2")}}
    (explicit,) = {
        topic.replication_factor
        for topic in wanted_topics(settings_for("127.0.0.1:9", "x", replication_factor=5), brokers=9)
    }
    assert explicit == 5


def test_internal_topic_that_cannot_be_written_is_found() -> None:
    """The broker's own topic of transactions is held to the same replication rules."""
    settings = settings_for("127.0.0.1:9", "x")
    broken = ObservedTopic("__transaction_state", 50, 1, {"min.insync.replicas": "2"})
    sound = ObservedTopic("__transaction_state", 50, 3, {"min.insync.replicas": "2"})
    unseen = ObservedTopic("__transaction_state", 50, 3, {})
    assert [len(internal_findings(settings, topic)) for topic in (broken, sound, unseen)] == [1, 0, 0]


def test_weak_but_possible_settings_are_only_warned_about() -> None:
    """One replica in sync out of three, and a refusal of slightly future times, are said and not refused."""
    settings = settings_for("127.0.0.1:9", "x")
    weak = ObservedTopic("x.events", 3, 3, {"min.insync.replicas": "1", "message.timestamp.after.max.ms": "3600000"})
    sound = ObservedTopic("x.dlq", 3, 3, {"min.insync.replicas": "2", "message.timestamp.after.max.ms": NO_LIMIT})
    assert len(warnings(settings, {"x.events": weak, "x.dlq": sound})) == 2


def test_commands_never_show_credentials() -> None:
    """With security, a command names the operator's own client file and no secret."""
    settings = settings_for(
        "kafka:9093",
        "x",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="me",
        sasl_password="hunter2",
        ssl_key_password="hunter3",
    )
    assert "hunter" not in repr(settings)
    broken = ObservedTopic("x.events", 1, 1, {"min.insync.replicas": "2"})
    (finding,) = internal_findings(settings, broken)
    assert "--command-config client.properties" in finding
    assert "hunter" not in finding
