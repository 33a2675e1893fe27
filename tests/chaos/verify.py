"""What is in the topics at the end, and what that means: read by another library, from offset 0, with nobody writing.

One rule: nothing of the code under test is used here, so that a mistake cannot confirm itself.
"""

import struct
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import orjson
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

READ_DEADLINE_S = 300.0
SETTLED_DEADLINE_S = 180.0
"""For the broker to end the transactions of the dead: 20 s by configuration, and its scan, on a starved machine."""

ASK_TIMEOUT_S = 30.0
POLL_S = 1.0
BATCH = 5_000
EXAMPLES = 5


@dataclass(slots=True)
class Content:
    """What a reader of the four topics finds.

    Args:
        events: records by session id, in the value.
        strange: events whose header names another id than the value.
        dead_letters: records by value.
        state: the last value of each key, by partition and key; tombstones delete.
        state_offsets: high watermarks of the state's partitions, added up.
        state_records: records that a reader of the state gets.
        aborted: records of the events topic that only an uncommitted reader gets.
    """

    events: Counter[str] = field(default_factory=Counter)
    strange: int = 0
    dead_letters: Counter[bytes] = field(default_factory=Counter)
    state: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    state_offsets: int = 0
    state_records: int = 0
    aborted: int = 0


class Follower:
    """Reads events and dead letters as they are committed, to know when nothing is missing any more."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._events, self._letters = f"{prefix}.user-sessions", f"{prefix}.user-sessions.dlq"
        self._consumer = _consumer(bootstrap_servers, "read_committed")
        _assign(self._consumer, [self._events, self._letters])
        self.records = 0
        self.events: Counter[str] = Counter()
        self.dead_letters: Counter[bytes] = Counter()

    def read_on(self) -> None:
        """Take what has come since, or the first of it: there may be no end, because others write."""
        messages = self._consumer.consume(BATCH, POLL_S)
        while messages:
            for message in messages:
                if message.error() is not None:
                    continue
                self.records += 1
                value = message.value() or b""
                if message.topic() == self._events:
                    self.events[orjson.loads(value)["userSessionId"]] += 1
                else:
                    self.dead_letters[value] += 1
            messages = self._consumer.consume(BATCH, POLL_S) if len(messages) == BATCH else []

    def has_all_of(self, truth: "Truth") -> bool:
        """Whether nothing is missing any more."""
        return truth.sessions.keys() <= self.events.keys() and truth.bad_rows.keys() <= self.dead_letters.keys()

    def close(self) -> None:
        """Let go."""
        self._consumer.close()


@dataclass(frozen=True, slots=True)
class Truth:
    """What the API showed.

    Args:
        sessions: account group of each session id.
        bad_rows: account group of each row that can be no event, by its exact bytes.
    """

    sessions: Mapping[str, str]
    bad_rows: Mapping[bytes, str]


def truth_of(answer: Mapping[str, Any]) -> Truth:
    """Read the simulator's list; for its form see `collector.simulator.truth_list`."""
    groups = [group for organization in answer["organizations"] for group in organization["accountGroups"]]
    return Truth(
        {session["id"]: str(group["aid"]) for group in groups for session in group["sessions"]},
        {row["v7"].encode(): str(group["aid"]) for group in groups for row in group["bad"]},
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts. ``lost`` were offered in full and are not there; ``unfinished`` may not have been offered yet."""

    expected: int
    delivered: int
    duplicates: int
    lost: int
    unfinished: int
    invented: int
    known_but_missing: int
    dead_letters_expected: int
    dead_letters: int
    dead_letters_wrong: int
    aborted: int
    state_records: int
    state_offsets: int
    examples: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Everything there once, and nothing else."""
        wrong = self.duplicates + self.lost + self.unfinished + self.invented + self.known_but_missing
        return wrong + self.dead_letters_wrong == 0 and self.delivered == self.expected

    def line(self) -> str:
        """All counts, for people."""
        return (
            f"expected={self.expected} delivered={self.delivered} duplicates={self.duplicates} lost={self.lost} "
            f"unfinished={self.unfinished} invented={self.invented} in_state_without_event={self.known_but_missing} "
            f"dead_letters={self.dead_letters}/{self.dead_letters_expected} wrong={self.dead_letters_wrong} "
            f"aborted_records={self.aborted} state={self.state_records} records of {self.state_offsets} offsets"
        )


def judge(truth: Truth, found: Content, walked: set[str]) -> Verdict:
    """Hold what was read against what was offered.

    Args:
        truth: what was offered.
        found: what is in the topics.
        walked: account groups that were walked to their end after everything had been offered.
    """
    missing = {identifier: aid for identifier, aid in truth.sessions.items() if not found.events[identifier]}
    lost = [identifier for identifier, aid in missing.items() if aid in walked]
    twice = {identifier: n for identifier, n in found.events.items() if n > 1 and identifier in truth.sessions}
    invented = [identifier for identifier in found.events if identifier not in truth.sessions]
    known = [identifier for identifier in missing if _is_in_state(identifier, missing[identifier], found.state)]
    letters_missing = [value for value in truth.bad_rows if not found.dead_letters[value]]
    letters_wrong = [value for value, n in found.dead_letters.items() if n > 1 or value not in truth.bad_rows]
    examples = [f"lost: {identifier}" for identifier in lost[:EXAMPLES]]
    examples += [f"{n} times: {identifier}" for identifier, n in list(twice.items())[:EXAMPLES]]
    examples += [f"invented: {identifier}" for identifier in invented[:EXAMPLES]]
    examples += [f"dead letter missing: {value!r}" for value in letters_missing[:EXAMPLES]]
    examples += [f"dead letter {found.dead_letters[value]} times: {value!r}" for value in letters_wrong[:EXAMPLES]]
    return Verdict(
        expected=len(truth.sessions),
        delivered=len(truth.sessions) - len(missing),
        duplicates=sum(twice.values()) - len(twice),
        lost=len(lost),
        unfinished=len(missing) - len(lost),
        invented=len(invented) + found.strange,
        known_but_missing=len(known),
        dead_letters_expected=len(truth.bad_rows),
        dead_letters=found.dead_letters.total(),
        dead_letters_wrong=len(letters_missing) + len(letters_wrong),
        aborted=found.aborted,
        state_records=found.state_records,
        state_offsets=found.state_offsets,
        examples=tuple(examples),
    )


def _is_in_state(identifier: str, aid: str, state: Mapping[tuple[int, bytes], bytes]) -> bool:
    """Whether the durable state says that a session was published: second of its hour and suffix, in a row."""
    _, round_text, suffix = identifier.split(":")
    hour = int(round_text) // 3600 * 3600
    entry = struct.pack(">H", int(round_text) - hour) + suffix.encode()
    middle = f"/{aid}/{hour}/".encode()
    return any(key.startswith(b"seen/") and middle in key and entry in value for (_, key), value in state.items())


def read_everything(bootstrap_servers: str, prefix: str) -> Content:
    """Everything that is committed. Nobody may be writing."""
    content = Content()
    events, letters, state = f"{prefix}.user-sessions", f"{prefix}.user-sessions.dlq", f"{prefix}.collector.state"
    for message in _read(bootstrap_servers, events, "read_committed"):
        identifier = orjson.loads(message.value())["userSessionId"]
        content.events[identifier] += 1
        content.strange += dict(message.headers() or ()).get("ce_id", b"").decode() != identifier
    content.aborted = sum(1 for _ in _read(bootstrap_servers, events, "read_uncommitted")) - content.events.total()
    for message in _read(bootstrap_servers, letters, "read_committed"):
        content.dead_letters[message.value() or b""] += 1
    for message in _read(bootstrap_servers, state, "read_committed"):
        content.state_records += 1
        place = (message.partition(), message.key())
        if message.value() is None:
            content.state.pop(place, None)
        else:
            content.state[place] = message.value()
    content.state_offsets = sum(_ends(bootstrap_servers, [state], IsolationLevel.READ_UNCOMMITTED).values())
    return content


def wait_until_settled(bootstrap_servers: str, prefix: str) -> None:
    """Wait until no transaction is open: the last stable offset is the end, in every partition of every topic."""
    topics = [f"{prefix}.{name}" for name in ("user-sessions", "user-sessions.dlq", "collector.state")]
    deadline = time.monotonic() + SETTLED_DEADLINE_S
    while True:
        stable = _ends(bootstrap_servers, topics, IsolationLevel.READ_COMMITTED)
        if stable == _ends(bootstrap_servers, topics, IsolationLevel.READ_UNCOMMITTED):
            return
        assert time.monotonic() < deadline, f"transactions are still open: {stable}"
        time.sleep(POLL_S)  # the broker ends them


def _ends(bootstrap_servers: str, topics: Iterable[str], level: Any) -> dict[tuple[str, int], int]:
    deadline = time.monotonic() + SETTLED_DEADLINE_S
    while True:  # after a failover an answer may be FENCED_LEADER_EPOCH: ask again
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        try:
            known = admin.list_topics(timeout=ASK_TIMEOUT_S).topics
            places = {TopicPartition(t, p): OffsetSpec.latest() for t in topics for p in known[t].partitions}
            asked = admin.list_offsets(places, isolation_level=level, request_timeout=ASK_TIMEOUT_S)
            return {(p.topic, p.partition): future.result(ASK_TIMEOUT_S).offset for p, future in asked.items()}
        except (KafkaException, KeyError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _read(bootstrap_servers: str, topic: str, level: str) -> Iterable[Any]:
    consumer = _consumer(bootstrap_servers, level)
    try:
        open_partitions = _assign(consumer, [topic])
        deadline = time.monotonic() + READ_DEADLINE_S
        while open_partitions:
            assert time.monotonic() < deadline, f"{topic}: partitions {open_partitions} never came to their end"
            for message in consumer.consume(BATCH, POLL_S):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard((message.topic(), message.partition()))
    finally:
        consumer.close()


def _consumer(bootstrap_servers: str, level: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "chaos-verifier",
            "enable.auto.commit": False,
            "isolation.level": level,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )


def _topics(consumer: Consumer) -> Mapping[str, Any]:
    """What the brokers know, asked for again while they are starved."""
    deadline = time.monotonic() + SETTLED_DEADLINE_S
    while True:
        try:
            return consumer.list_topics(timeout=ASK_TIMEOUT_S).topics  # type: ignore[no-any-return]
        except KafkaException:
            if time.monotonic() > deadline:
                raise


def _assign(consumer: Consumer, topics: Iterable[str]) -> set[tuple[str, int]]:
    known = _topics(consumer)
    places = [(topic, partition) for topic in topics for partition in known[topic].partitions]
    beginning = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([TopicPartition(topic, partition, beginning) for topic, partition in places])
    return set(places)
