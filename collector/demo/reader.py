"""An independent reader of the topics: what a consumer of the collector's output gets to see.

The one rule: ``read_committed``, from the first record on, and nothing else is asked: not the collector, not its state.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio
import orjson

from collector.kafka.settings import KafkaSettings
from collector.kafka.tail import TailRecord, tail

LAST_EVENTS: Final = 6
_FRESHNESS_SAMPLES: Final = 400
"""Newest events of an account group that its freshness is taken from: some two minutes of the busiest."""

_QUIET_S: Final = 1.5
"""A reader that got nothing for so long, with nobody writing, has read everything: a poll that finds something returns
at once."""

_LOOK_EVERY_S: Final = 0.1

_READ_ALL_S: Final = 30.0
"""A whole topic of this size takes about a second."""


@dataclass(slots=True)
class GroupReceived:
    """What was read of one account group. Freshness: seconds from a session's date to its event being read."""

    events: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    freshness_s: deque[float] = field(default_factory=lambda: deque(maxlen=_FRESHNESS_SAMPLES))


class Received:
    """Everything that one reader has read. Owns all counts.

    Args:
        settings: names of the topics.
        live_from: epoch seconds; older sessions say nothing about freshness, they were there before.
    """

    def __init__(self, settings: KafkaSettings, live_from: float) -> None:
        self._dead_letters_topic = settings.dead_letters_topic
        self._live_from = live_from
        self.events: Counter[str] = Counter()
        self.dead_letters: Counter[bytes] = Counter()
        self.records = 0
        self.event_count = 0
        self.duplicates = 0
        self.groups: dict[str, GroupReceived] = {}
        self.last_events: deque[dict[str, Any]] = deque(maxlen=LAST_EVENTS)

    def take(self, record: TailRecord, now: float) -> None:
        """Count one record, read at epoch second ``now``."""
        self.records += 1
        if record.topic == self._dead_letters_topic:
            self._dead_letter(record)
            return
        event = orjson.loads(record.value or b"{}")
        identifier = event["userSessionId"]
        self.events[identifier] += 1
        self.event_count += 1
        self.duplicates += self.events[identifier] > 1
        group = self._group(event["aid"])
        group.events += 1
        date = datetime.fromisoformat(event["date"]).timestamp()
        if date >= self._live_from:
            group.freshness_s.append(now - date)
        self.last_events.append(event)

    def _dead_letter(self, record: TailRecord) -> None:
        self.dead_letters[record.value or b""] += 1
        headers = dict(record.headers)
        aid, reason = headers.get("te.errors.aid", b""), headers.get("te.errors.reason", b"")
        self._group(aid.decode()).dead_letters[reason.decode()] += 1

    def _group(self, aid: str) -> GroupReceived:
        return self.groups.setdefault(aid, GroupReceived())


async def follow(settings: KafkaSettings, received: Received, clock: Callable[[], float]) -> None:
    """Read events and dead letters from the beginning, and go on until cancelled.

    Raises:
        KafkaUnreachable: no broker answers.
        StartRefused: a topic does not exist.
    """
    topics = (settings.events_topic, settings.dead_letters_topic)
    async for record in tail(settings, topics, from_beginning=True):
        received.take(record, clock())


async def read_everything(settings: KafkaSettings, at_least: int, clock: Callable[[], float]) -> Received:
    """Read both topics once, from the first record to the last. Nobody may be writing.

    Args:
        settings: names of the topics.
        at_least: records that are known to be there; fewer are not taken for the end until a deadline.
        clock: this machine's time, epoch seconds.

    Raises:
        KafkaUnreachable, StartRefused: as `follow`.
    """
    received = Received(settings, clock())
    with anyio.move_on_after(_READ_ALL_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, settings, received, clock)
            before, quiet_since = -1, 0.0
            while received.records < at_least or anyio.current_time() - quiet_since < _QUIET_S:
                if received.records != before:
                    before, quiet_since = received.records, anyio.current_time()
                await anyio.sleep(_LOOK_EVERY_S)
            tasks.cancel_scope.cancel()
    return received
