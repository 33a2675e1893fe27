"""Seeded mistakes of what is done when Kafka misbehaves."""

from tests.mutants.runner import Mistake

ISOLATION = "collector/core/isolation.py"
ISOLATED = "tests/organization/test_isolation.py"

SINK = "collector/kafka/sink.py"
ORIGIN = "collector/kafka/origin.py"
LOST = "tests/kafka/test_lost_state.py"

OPENING = "tests/kafka/test_opening.py"

BROKER = "tests/kafka/test_broker_faults.py"
DISKS = "tests/kafka/test_disk_full.py"
REFUSED = "tests/kafka/test_refused_in_shard.py"
AWAY = "tests/end_to_end/test_broker_away.py::test_no_number_of_tries_ends_the_collector"

FAULTS = (
    Mistake(
        "nobody is told which partition no broker leads",
        "collector/kafka/leaders.py",
        "leader_for_partition(TopicPartition(t, p)) == -1]",
        "leader_for_partition(TopicPartition(t, p)) is None]",
        (f"{DISKS}::test_one_of_two_disks_is_full",),
    ),
    Mistake(
        "a failed publication ends the shard instead of starting it over",
        "collector/shard.py",
        "if isinstance(cause, StartRefused | OrganizationStopped):\n                    raise",
        "if True:\n                    raise",
        ("tests/end_to_end/test_disk_full.py::test_collector_waits_until_the_disk_has_room",),
    ),
    Mistake(
        "what aiokafka wraps is not recognised",
        "collector/kafka/errors.py",
        "return error.__cause__ if isinstance(error.__cause__, KafkaError) else error",
        "return error",
        (f"{BROKER}::test_idle_for_longer_than_the_broker_keeps_ids",),
    ),
    Mistake(
        "a deleted shards topic is waited for, for ever",
        "collector/kafka/membership.py",
        "if NO_PARTITIONS in str(failure) and self._had_shards:",
        "if False:",
        ("tests/end_to_end/test_deleted_topics.py::test_collector_ends_when_a_topic_is_deleted[collector.shards]",),
    ),
    Mistake(
        "the authorities of the configuration are not used",
        "collector/kafka/connection.py",
        "context = ssl.create_default_context(cafile=settings.ssl_ca_file)",
        "context = ssl._create_unverified_context()",
        ("tests/kafka/test_secured.py::test_secured_broker",),
    ),
    Mistake(
        "topics are not looked at again after a refusal",
        "collector/kafka/opening.py",
        "        if self._suspicious:",
        "        if False:",
        (f"{OPENING}::test_topic_that_takes_smaller_records",),
    ),
    Mistake(
        "batches stay as large as they were",
        SINK,
        "if batch_bytes == self._settings.batch_bytes:",
        "if True:",
        (f"{OPENING}::test_topic_that_takes_smaller_records",),
    ),
    Mistake(
        "a running collector refuses what it could adapt to",
        "collector/kafka/topics.py",
        "findings(settings, observed, oldest_record_s=None, running=True)",
        "findings(settings, observed, oldest_record_s=None)",
        (f"{OPENING}::test_topic_that_takes_smaller_records",),
    ),
    Mistake(
        "what is too old for the topic is tried all the same",
        "collector/core/limits.py",
        "if age_s > self.event_age_max_s:",
        "if False:",
        ("tests/core/test_limits.py::test_a_session_older_than_the_topic_takes_is_a_dead_letter",),
    ),
    Mistake(
        "a page with an event that is too large is published as it is",
        "collector/core/acceptance.py",
        "if fits and self._limits.are_narrow:",
        "if False:",
        ("tests/core/test_limits.py::test_an_event_larger_than_the_topic_takes_is_a_dead_letter",),
    ),
    Mistake(
        "what is left of a state that went back is committed into",
        SINK,
        "if acknowledged.offset <= self._state_offset:",
        "if False:",
        (f"{LOST}::test_state_made_anew_while_running",),
    ),
    Mistake(
        "a state that was lost is taken for one that never was",
        ORIGIN,
        "if found is None and expected is not None:",
        "if False:",
        (f"{LOST}::test_judgement", f"{LOST}::test_state_made_anew_while_down"),
    ),
    Mistake(
        "records that were removed behind the origin are not missed",
        ORIGIN,
        "elif found is not None and log_start > found.log_start:",
        "elif False:",
        (f"{LOST}::test_judgement",),
    ),
    Mistake(
        "nothing witnesses that a shard was opened",
        SINK,
        "witness_topic = self._settings.shards_topic if verdict.write_witness else None",
        "witness_topic = None",
        (f"{LOST}::test_state_of_one_partition_removed",),
    ),
    Mistake(
        "the process forgets which state it had",
        SINK,
        "self._origins[self._shard] = verdict.origin.identity",
        "pass",
        (f"{LOST}::test_state_and_witness_made_anew",),
    ),
    Mistake(
        "the origin is written at every opening",
        ORIGIN,
        "return Verdict(None, found, write_origin=False, write_witness=renew)",
        "return Verdict(None, found, write_origin=True, write_witness=True)",
        (f"{LOST}::test_witness_is_not_written_at_every_opening",),
    ),
    Mistake(
        "a cluster that is away at the start is given up after some tries",
        "collector/service/sinks.py",
        "if failures_max is not None and failures >= failures_max:",
        "if failures >= (failures_max or 15):",
        (f"{AWAY}[with-its-shards]",),
    ),
    Mistake(
        "the group is given up after some tries",
        "collector/kafka/membership.py",
        "            await anyio.sleep(pause_s)\n",
        "            if failures > 15:\n                return\n            await anyio.sleep(pause_s)\n",
        (f"{AWAY}[without-them]",),
    ),
    Mistake(
        "an account group whose record is refused is not parked",
        "collector/shard.py",
        "                organization.refused(refused.aid, error)",
        "                pass",
        (f"{REFUSED}::test_a_record_ahead_of_the_broker",),
    ),
    Mistake(
        "what the topic takes by now is not told to those who make events",
        "collector/kafka/opening.py",
        "limits.event_bytes_max = self._narrower(layout.event_batch_bytes)",
        "pass",
        (f"{REFUSED}::test_a_record_larger_than_the_topic_takes_by_now",),
    ),
    Mistake(
        "pages share transactions although one of them was refused",
        ISOLATION,
        "self._all_alone_until = MonoS(now + ALONE_S)",
        "self._all_alone_until = now",
        (f"{ISOLATED}::test_everybody_goes_alone_until_the_one_is_known",),
    ),
    Mistake(
        "a page that was refused alone shares the next transaction",
        ISOLATION,
        "self._refused.add(owners[0])",
        "pass",
        (f"{ISOLATED}::test_everybody_goes_alone_until_the_one_is_known",),
    ),
    Mistake(
        "the wrong account group is parked",
        ISOLATION,
        "if len(owners) > 1 or owners[0] is None:",
        "if owners[0] is None:",
        (f"{ISOLATED}::test_everybody_goes_alone_until_the_one_is_known",),
    ),
    Mistake(
        "whoever must go alone takes others along",
        "collector/group_commit.py",
        "            if alone:\n                break\n",
        "",
        ("tests/organization/test_group_commit.py::test_who_must_go_alone_goes_alone",),
    ),
    Mistake(
        "--once waits for what Kafka refuses",
        "collector/organization/loop.py",
        "set(self._aids) - self._refused.keys() if",
        "set(self._aids) if",
        (f"{ISOLATED}::test_once_ends_although_kafka_refuses_an_account_group",),
    ),
)
