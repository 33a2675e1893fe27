"""Makes sure, before anything is written, that the topics exist and can keep the promise.

The one rule: say everything that is wrong at once, each with its remedy, and start only when nothing is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import TopicPartition

from collector.errors import StartRefused
from collector.kafka.administration import Cluster, cluster
from collector.kafka.closing import close_producer
from collector.kafka.committed_reader import committed_reader
from collector.kafka.connection import client_arguments
from collector.kafka.errors import KafkaUnreachable, describe
from collector.kafka.settings import KafkaSettings
from collector.kafka.topic_rules import (
    ObservedTopic,
    batch_bytes,
    create_command,
    findings,
    internal_findings,
    record_age_max_s,
    wanted_topics,
    warnings,
)

_TRANSACTIONS_TOPIC = "__transaction_state"

# New topics are there when every broker has heard of them: tenths of a second.
_POLL_S = 0.1

_log = structlog.get_logger(__name__)


# How long a topic must be missing before a running collector believes it: a broker that has just started may not know
# of a topic for a moment.
_MISSING_S = 10.0


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """What a sink has to know of the topics.

    Args:
        event_partitions: how many the events are spread over.
        dead_letter_partitions: the same of the dead letters.
        event_batch_bytes: largest batch of events, before compression; None: as configured.
        dead_letter_batch_bytes: the same of dead letters.
        event_age_max_s: how old an event's record timestamp may be, seconds; None: as old as it likes.
    """

    event_partitions: int
    dead_letter_partitions: int
    event_batch_bytes: int | None = field(default=None, compare=False)
    dead_letter_batch_bytes: int | None = field(default=None, compare=False)
    event_age_max_s: float | None = field(default=None, compare=False)


async def ensure_topics(settings: KafkaSettings, *, oldest_record_s: float | None = None) -> TopicLayout:
    """Creates what is missing, if that is allowed, and checks what is there.

    Args:
        settings: see there; ``admin_timeout_s`` bounds everything together.
        oldest_record_s: age of the oldest record timestamp that may be written, in seconds; None: retention is not
            checked (record timestamps are those of collection).

    Raises:
        KafkaUnreachable: no broker answered in time.
        StartRefused: topics are missing or unsafe; every finding on a line of its own, with the command to run.
    """
    step = _Step()
    try:
        async with asyncio.timeout(settings.admin_timeout_s):
            async with cluster(settings) as brokers:
                observed, refused = await _existing_topics(settings, brokers, step)
                step.name = "checking topic settings"
                _refuse(await _all_findings(settings, brokers, observed, refused, oldest_record_s))
            step.name = "checking that transactions work"
            await _try_transactions(settings)
            if not settings.accept_empty_state:
                step.name = "comparing the state with the events"
                _refuse(await _lost_state(settings, observed))
    except (KafkaError, TimeoutError, OSError, AssertionError) as error:
        raise _unreachable(settings, step, error) from error
    for warning in warnings(settings, observed):
        _log.warning("kafka_topic_setting", detail=warning)
    return _layout(settings, observed)


async def look_again(settings: KafkaSettings) -> TopicLayout:
    """What `ensure_topics` looks at, for a collector that runs and has failed to write: nothing is created.

    Args:
        settings: see there; ``admin_timeout_s`` bounds everything together.

    Raises:
        KafkaUnreachable: no broker answered in time.
        StartRefused: topics are gone, or have become unsafe; every finding with the command to run.
    """
    step = _Step()
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(settings.admin_timeout_s), cluster(settings) as brokers:
            step.name = "looking at the topics again"
            wanted = wanted_topics(settings, brokers=brokers.size)
            observed = await brokers.topics(settings.topics)
            deadline_s = clock() + min(_MISSING_S, settings.admin_timeout_s / 2)
            while len(observed) < len(wanted) and clock() < deadline_s:
                await asyncio.sleep(_POLL_S)
                observed = await brokers.topics(settings.topics)
            _refuse(
                [
                    f"{topic.name} was deleted, with all that was in it; start again, or create it: "
                    f"{create_command(settings, topic)}"
                    for topic in wanted
                    if topic.name not in observed
                ]
                + findings(settings, observed, oldest_record_s=None, running=True)
            )
    except (KafkaError, TimeoutError, OSError, AssertionError) as error:
        raise _unreachable(settings, step, error) from error
    return _layout(settings, observed)


def _unreachable(settings: KafkaSettings, step: _Step, error: BaseException) -> KafkaUnreachable:
    return KafkaUnreachable(
        f"kafka: no success at {settings.bootstrap_servers} while {step.name} ({describe(error)}; deadline "
        f"{settings.admin_timeout_s:g} s). Are the brokers up, is kafka.bootstrap_servers right, do "
        f"kafka.security_protocol and the credentials fit?"
    )


def _layout(settings: KafkaSettings, observed: Mapping[str, ObservedTopic]) -> TopicLayout:
    events, dead_letters = observed[settings.events_topic], observed[settings.dead_letters_topic]
    return TopicLayout(
        event_partitions=events.partitions,
        dead_letter_partitions=dead_letters.partitions,
        event_batch_bytes=batch_bytes(settings, events),
        dead_letter_batch_bytes=batch_bytes(settings, dead_letters),
        event_age_max_s=record_age_max_s(events),
    )


class _Step:
    """What is being done, for the message when time runs out."""

    name = "connecting"


def _refuse(found: Sequence[str]) -> None:
    if found:
        raise StartRefused("kafka: the topics cannot keep the promise:\n" + "\n".join(f"- {line}" for line in found))


async def _existing_topics(
    settings: KafkaSettings, brokers: Cluster, step: _Step
) -> tuple[Mapping[str, ObservedTopic], Mapping[str, str]]:
    """The four topics, created if need be, with a leader for each partition; and why the broker created some not."""
    step.name = "listing topics"
    existing = await brokers.topics(settings.topics)
    missing = [topic for topic in wanted_topics(settings, brokers=brokers.size) if topic.name not in existing]
    expected, refused = set(existing), dict[str, str]()
    if missing and settings.create_topics:
        step.name = "creating " + ", ".join(topic.name for topic in missing)
        refused = await brokers.create(missing)
        expected = set(settings.topics) - set(refused)
    while waiting := _not_ready(expected, existing):
        step.name = "waiting for a leader of every partition of " + ", ".join(waiting)
        await asyncio.sleep(_POLL_S)
        existing = await brokers.topics(settings.topics)
    return existing, refused


def _not_ready(expected: set[str], existing: Mapping[str, ObservedTopic]) -> list[str]:
    return sorted(name for name in expected if name not in existing or existing[name].leaderless)


async def _all_findings(
    settings: KafkaSettings,
    brokers: Cluster,
    observed: Mapping[str, ObservedTopic],
    refused: Mapping[str, str],
    oldest_record_s: float | None,
) -> list[str]:
    found = []
    for topic in wanted_topics(settings, brokers=brokers.size):
        if topic.name not in observed:
            reason = f" and the broker would not create it ({refused[topic.name]})" if topic.name in refused else ""
            found.append(f"{topic.name} is missing{reason}: {create_command(settings, topic)}")
    found += findings(settings, observed, oldest_record_s=oldest_record_s)
    transactions = (await brokers.topics([_TRANSACTIONS_TOPIC])).get(_TRANSACTIONS_TOPIC)
    if transactions is not None:
        found += internal_findings(settings, transactions)
    return found


async def _try_transactions(settings: KafkaSettings) -> None:
    """Asks for a producer id: a cluster can answer everything else and have no transaction coordinator."""
    producer = AIOKafkaProducer(
        **client_arguments(settings, role="start-check"), transactional_id=f"{settings.state_topic}.start-check"
    )
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            await producer.start()
    except KafkaConnectionError:
        raise
    except (KafkaError, TimeoutError) as error:
        _refuse(
            [
                f"the brokers answer, but give out no producer id ({describe(error)}): transactions do not work. Check "
                f"transaction.state.log.replication.factor and transaction.state.log.min.isr against the number of "
                f"brokers, the health of {_TRANSACTIONS_TOPIC}, and the right to write and describe transactional ids "
                f"that begin with {settings.state_topic}"
            ]
        )
    finally:
        await close_producer(producer, settings.close_timeout_s)


async def _lost_state(settings: KafkaSettings, observed: Mapping[str, ObservedTopic]) -> list[str]:
    """Events without any state: the state topic was lost or made anew, so nothing is known of what was published.

    State and events are committed together, and a compacted partition keeps its offsets: once used, never at 0 again.
    """
    partitions = {
        name: [TopicPartition(name, number) for number in range(observed[name].partitions)]
        for name in (settings.state_topic, settings.events_topic)
    }
    async with committed_reader(settings, role="start-check", start_at="earliest") as consumer:
        consumer.assign([partition for topic in partitions.values() for partition in topic])
        ends = await consumer.end_offsets([partition for topic in partitions.values() for partition in topic])
    if any(ends[partition] for partition in partitions[settings.state_topic]):
        return []
    if not any(ends[partition] for partition in partitions[settings.events_topic]):
        return []
    return [
        f"{settings.state_topic} is empty, but {settings.events_topic} holds records: the collector does not know what "
        f"it has published, and would publish again what the API still shows. Put the right kafka.state_topic in the "
        f"configuration, or accept the duplicates once with kafka.accept_empty_state"
    ]
