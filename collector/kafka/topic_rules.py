"""Which topics we want, what would break the promise in those we find, and the command that puts it right.

The one rule: pure; it looks at what was observed and returns findings, all of them at once.

Settings are those of https://kafka.apache.org/documentation/#topicconfigs
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.kafka.settings import DAY_MS, KafkaSettings

# Long.MAX_VALUE, as brokers write "no limit" for message.timestamp.*.
_NO_LIMIT_MS = 2**63 - 1

_DEFAULT_REPLICATION = 3


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic as this program creates it."""

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ObservedTopic:
    """A topic as the brokers describe it.

    Args:
        name: of the topic.
        partitions: how many it has.
        replication_factor: the least of all its partitions.
        configs: effective settings, broker defaults included; empty when we may not see them.
        leaderless: partitions that nobody can write to at the moment.
    """

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]
    leaderless: int = 0

    def number(self, config: str, otherwise: int) -> int:
        """A numeric setting, or ``otherwise`` when it is unknown."""
        value = self.configs.get(config)
        return int(value) if value else otherwise


def wanted_topics(settings: KafkaSettings, *, brokers: int) -> tuple[WantedTopic, ...]:
    """All four topics as they would be created on a cluster of that many brokers."""
    replication_factor = settings.replication_factor or min(_DEFAULT_REPLICATION, brokers)
    durable = {
        # With one replica there is no second one to wait for.
        "min.insync.replicas": str(min(2, replication_factor)),
        "unclean.leader.election.enable": "false",
    }
    # A record carries the time of its session: the broker must take it, however old it is or however wrong a clock was.
    records = durable | {
        "cleanup.policy": "delete",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.before.max.ms": str(_NO_LIMIT_MS),
        "message.timestamp.after.max.ms": str(_NO_LIMIT_MS),
    }
    state = durable | {
        "cleanup.policy": "compact",
        # Only closed segments are compacted, and a restore reads what is not; delete.retention.ms stays at its default.
        "segment.ms": str(settings.state_segment_ms),
        "min.cleanable.dirty.ratio": str(settings.state_dirty_ratio),
    }
    events = records | {"retention.ms": str(settings.events_retention_ms)}
    dead_letters = records | {"retention.ms": str(settings.dead_letters_retention_ms)}
    shards = durable | {"cleanup.policy": "delete", "retention.ms": str(settings.shards_retention_ms)}
    return (
        WantedTopic(settings.events_topic, settings.event_partitions, replication_factor, events),
        WantedTopic(settings.dead_letters_topic, settings.dead_letter_partitions, replication_factor, dead_letters),
        WantedTopic(settings.state_topic, settings.shards, replication_factor, state),
        WantedTopic(settings.shards_topic, settings.shards, replication_factor, shards),
    )


def create_command(settings: KafkaSettings, topic: WantedTopic) -> str:
    """The exact command that creates a topic as we would; on one line, to be copied."""
    arguments = [
        *_command(settings, "kafka-topics.sh"),
        *("--create", "--if-not-exists", "--topic", topic.name),
        *("--partitions", str(topic.partitions), "--replication-factor", str(topic.replication_factor)),
    ]
    for name, value in topic.configs.items():
        arguments += ["--config", f"{name}={value}"]
    return shlex.join(arguments)


def alter_command(settings: KafkaSettings, topic: str, configs: Mapping[str, str]) -> str:
    """The exact command that changes settings of a topic. Values with commas need the brackets."""
    changes = ",".join(f"{name}=[{value}]" if "," in value else f"{name}={value}" for name, value in configs.items())
    entity = ("--entity-type", "topics", "--entity-name", topic)
    return shlex.join([*_command(settings, "kafka-configs.sh"), "--alter", *entity, "--add-config", changes])


def _command(settings: KafkaSettings, script: str) -> list[str]:
    command = [script, "--bootstrap-server", settings.bootstrap_servers]
    if settings.security_protocol != "PLAINTEXT":
        command += ["--command-config", "client.properties"]  # the operator's own file: credentials are never printed
    return command


def findings(
    settings: KafkaSettings,
    topics: Mapping[str, ObservedTopic],
    *,
    oldest_record_s: float | None,
    running: bool = False,
) -> list[str]:
    """What would break a promise in the topics that exist, with the remedy; empty when nothing would.

    Args:
        settings: see there.
        topics: the observed ones of the four, by name.
        oldest_record_s: age of the oldest record timestamp that may be written, in seconds; None: not to be checked.
        running: only what a running collector cannot adapt to: smaller batches of events and dead letters it can make.
    """
    found = []
    for name in settings.topics:
        topic = topics.get(name)
        if topic is not None:
            found += _replication(settings, topic)
            if name != settings.shards_topic and not (running and name in settings.topics[:2]):
                found += _acceptance(settings, topic)
            found += _cleanup(settings, topic)
    events = topics.get(settings.events_topic)
    if events is not None and oldest_record_s is not None:
        found += _retention(settings, events, oldest_ms=int(oldest_record_s * 1000))
    return found + shard_counts(settings, topics)


def batch_bytes(settings: KafkaSettings, topic: ObservedTopic) -> int:
    """How large a batch for a topic may be: what is configured, or less where the topic takes less."""
    return min(settings.batch_bytes, topic.number("max.message.bytes", settings.batch_bytes))


def record_age_max_s(topic: ObservedTopic) -> float | None:
    """How old a record timestamp may be, in seconds; None: as old as it likes."""
    before_ms = topic.number("message.timestamp.before.max.ms", _NO_LIMIT_MS)
    if before_ms == _NO_LIMIT_MS or topic.configs.get("message.timestamp.type") == "LogAppendTime":
        return None
    return before_ms / 1000


def internal_findings(settings: KafkaSettings, transactions: ObservedTopic) -> list[str]:
    """The same for the broker's own topic of transactions: losing it would lose commits."""
    return _replication(settings, transactions)


def warnings(settings: KafkaSettings, topics: Mapping[str, ObservedTopic]) -> list[str]:
    """What is worth a word but no refusal: the promise holds as long as something else does too."""
    said = []
    for topic in topics.values():
        if topic.replication_factor > 1 and topic.number("min.insync.replicas", 2) < 2:
            remedy = alter_command(settings, topic.name, {"min.insync.replicas": "2"})
            said.append(
                f"{topic.name}: min.insync.replicas is 1, so one broken disk can lose what was committed; {remedy}"
            )
        if topic.name in settings.topics[:2] and topic.number("message.timestamp.after.max.ms", _NO_LIMIT_MS) < DAY_MS:
            remedy = alter_command(settings, topic.name, {"message.timestamp.after.max.ms": str(_NO_LIMIT_MS)})
            said.append(f"{topic.name}: the broker refuses records with a time slightly in the future; {remedy}")
    return said


def _replication(settings: KafkaSettings, topic: ObservedTopic) -> list[str]:
    found = []
    in_sync = topic.number("min.insync.replicas", 1)
    if topic.replication_factor < in_sync:
        remedy = alter_command(settings, topic.name, {"min.insync.replicas": str(topic.replication_factor)})
        found.append(
            f"{topic.name}: {topic.replication_factor} replicas, but min.insync.replicas is {in_sync}: nothing can be "
            f"written. Add replicas with kafka-reassign-partitions.sh, or: {remedy}"
        )
    if topic.configs.get("unclean.leader.election.enable") == "true":
        remedy = alter_command(settings, topic.name, {"unclean.leader.election.enable": "false"})
        found.append(
            f"{topic.name}: unclean.leader.election.enable is true: a broker that lacks committed records may become "
            f"leader, and they are lost. {remedy}"
        )
    return found


def _acceptance(settings: KafkaSettings, topic: ObservedTopic) -> list[str]:
    """Whether the broker takes our batches."""
    if topic.number("max.message.bytes", settings.batch_bytes) >= settings.batch_bytes:
        return []
    # Twice, because one byte more would do and would be the next thing to stumble over.
    remedy = alter_command(settings, topic.name, {"max.message.bytes": str(2 * settings.batch_bytes)})
    return [
        f"{topic.name}: max.message.bytes is {topic.configs['max.message.bytes']}, less than kafka.batch_bytes "
        f"({settings.batch_bytes}): full batches would be refused for ever. Lower kafka.batch_bytes, or: {remedy}"
    ]


def _cleanup(settings: KafkaSettings, topic: ObservedTopic) -> list[str]:
    policies = {policy.strip() for policy in topic.configs.get("cleanup.policy", "").split(",")} - {""}
    if not policies:
        return []
    if topic.name == settings.state_topic and policies != {"compact"}:
        wanted, harm = "compact", "old state would be deleted by age, and sessions published twice"
    elif topic.name in (settings.events_topic, settings.dead_letters_topic) and "compact" in policies:
        wanted, harm = "delete", "records with the same key would be removed"
    else:
        return []
    remedy = alter_command(settings, topic.name, {"cleanup.policy": wanted})
    return [f"{topic.name}: cleanup.policy is {','.join(sorted(policies))}, not {wanted}: {harm}. {remedy}"]


def _retention(settings: KafkaSettings, events: ObservedTopic, *, oldest_ms: int) -> list[str]:
    found = []
    retention_ms = events.number("retention.ms", -1)
    if 0 <= retention_ms < oldest_ms:
        remedy = alter_command(settings, events.name, {"retention.ms": str(oldest_ms + DAY_MS)})
        found.append(
            f"{events.name}: retention.ms is {retention_ms}, but records up to {oldest_ms} ms old may be written: the "
            f"broker would delete them soon after they arrive. {remedy}"
        )
    before_ms = events.number("message.timestamp.before.max.ms", _NO_LIMIT_MS)
    if before_ms < oldest_ms:
        remedy = alter_command(settings, events.name, {"message.timestamp.before.max.ms": str(_NO_LIMIT_MS)})
        found.append(
            f"{events.name}: message.timestamp.before.max.ms is {before_ms}, but records up to {oldest_ms} ms old may "
            f"be written: the broker would refuse them. {remedy}"
        )
    return found


def shard_counts(settings: KafkaSettings, topics: Mapping[str, ObservedTopic]) -> list[str]:
    """What is wrong with the number of shards, as far as the topics are known.

    Args:
        settings: see there.
        topics: the topics that exist; others are not judged here.
    """
    counted: Sequence[ObservedTopic] = [
        topics[name] for name in (settings.state_topic, settings.shards_topic) if name in topics
    ]
    if all(topic.partitions == settings.shards for topic in counted):
        return []
    counts = ", ".join(f"{topic.name} has {topic.partitions} partitions" for topic in counted)
    return [
        f"{counts}, kafka.shards is {settings.shards}: all three must be equal, because the number decides which state "
        f"belongs to which organization. Set kafka.shards to the partitions of the state topic; where the topics "
        f"differ, delete {settings.shards_topic} (it holds no state) and let it be created again"
    ]
