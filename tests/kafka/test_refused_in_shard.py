"""The real shard on a real broker that refuses records: one account group waits and says why, the others go on."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from collector.core.collect import PageCollector
from collector.core.event import EventForm
from collector.core.model import AccountGroup, AccountGroupList, Answer, MonoS, Page, PageRequest
from collector.core.progress import ProgressSettings
from collector.core.schedule import PARKED_FIRST_S
from collector.kafka.opening import SinkOpener
from collector.kafka.settings import KafkaSettings
from collector.kafka.topics import ensure_topics
from collector.organization import Organization, OrganizationSettings
from collector.ports import Admit, at_once
from collector.shard import Shard
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.shard import ShardTelemetry
from collector.telemetry.status import StatusBoard
from tests.core.pages import SCHEMA, make_page, regular_id, v6_row
from tests.core.quota_server import QuotaServer
from tests.kafka import librdkafka
from tests.kafka.publications import settings_for
from tests.kafka_fixtures import KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(500)]

HOUR_S = 3600
HOUR_MS = 3_600_000
AHEAD_S = 2 * HOUR_S
"""The API's clock is ahead of the broker's: what took place an hour ago there lies an hour in the broker's future."""

NAME = "example"
BAD, *GOOD = "11", "12", "13"
DEADLINE_S = 60


@dataclass(slots=True)
class Clock:
    """The machine's clocks, which a test may move on."""

    moved_s: float = 0.0

    def monotonic(self) -> MonoS:
        return MonoS(time.monotonic() + self.moved_s)

    def wall(self) -> float:
        return time.time() + self.moved_s


class Api:
    """A source that shows all sessions of a window on one page; its clock is ahead."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quota = QuotaServer(100_000)
        self.rows: dict[str, list[tuple[int, dict[str, Any]]]] = {aid: [] for aid in (BAD, *GOOD)}

    def now(self) -> float:
        """The server's time."""
        return self._clock.wall() + AHEAD_S

    def add(self, aid: str, suffix: str, age_s: float, **fields: Any) -> str:
        """A session that took place so long ago, of the server's time; returns its id."""
        date = int(self.now() - age_s)
        identifier = regular_id(date // 60 * 60, suffix, aid)
        self.rows[aid].append((date, v6_row(identifier, date, **fields)))
        return identifier

    def _answer(self) -> Answer:
        return Answer(*self._quota.request(self.now()))

    async def account_groups(self) -> AccountGroupList:
        return AccountGroupList(tuple(AccountGroup(aid) for aid in self.rows), self._answer())

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        await anyio.sleep(0.01)
        window, answer = request.window, self._answer()
        rows = [dict(row) for date, row in self.rows[request.aid] if window.start <= date <= window.end]
        page = make_page(rows)
        return Page(page.rows, None, answer, page.form, page.source_bytes)

    async def aclose(self) -> None: ...


@dataclass
class World:
    """A shard with one organization, as a worker runs it, and what its status page says."""

    settings: KafkaSettings
    opener: SinkOpener
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.api = Api(self.clock)
        self.metrics = Metrics(CollectorRegistry())
        self.board = StatusBoard("test", self.clock.wall, self.clock.monotonic)
        collector = PageCollector(SCHEMA, EventForm(SCHEMA.identifier), 800_000, limits=self.opener.limits)

        async def fingerprint() -> str:
            return "same"

        self.organization = Organization(
            OrganizationSettings(NAME, None, 4, 0.5, 0.8, ProgressSettings(4 * HOUR_S, 4 * HOUR_S, 24 * HOUR_S)),
            source=self.api,
            collector=collector,
            fingerprint=fingerprint,
            clock=self.clock,
            rng=random.Random(1),
            observer=OrganizationTelemetry(NAME, self.metrics, self.board),
        )
        self.shard = Shard(
            0,
            [self.organization],
            open_sink=lambda: self.opener(0),
            rng=random.Random(2),
            monotonic=self.clock.monotonic,
            observer=ShardTelemetry(self.metrics, self.board),
        )

    def parked(self) -> dict[str, str]:
        """Which account groups are parked, and why, as the status page says."""
        groups = self.board.organizations[NAME].groups
        return {aid: group.parked for aid, group in groups.items() if group.parked}

    async def events(self) -> Counter[str]:
        """How often each session can be read."""
        return Counter(await librdkafka.keys(self.settings.bootstrap_servers, self.settings.events_topic))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the status page will say."""
        with anyio.fail_after(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - the worker does not know that somebody waits
                await anyio.sleep(0.05)

    async def until_readable(self, *identifiers: str) -> None:
        """Wait for events."""
        with anyio.fail_after(DEADLINE_S):
            while not set(identifiers) <= set(await self.events()):  # noqa: ASYNC110 - another process
                await anyio.sleep(0.1)

    async def works_on(self, name: str) -> None:
        """New sessions of the others arrive."""
        await self.until_readable(*(self.api.add(aid, f"{name:0>8}", 3 * HOUR_S) for aid in GOOD))


async def world_on(cluster: KafkaCluster, prefix: str, **overrides: object) -> World:
    """Topics of its own."""
    settings = settings_for(cluster.bootstrap_servers, prefix, shards=1, **overrides)
    return World(settings, SinkOpener(settings, await ensure_topics(settings)))


async def test_a_record_ahead_of_the_broker(kafka_cluster: KafkaCluster, kafka_topic_prefix: str) -> None:
    """INVALID_TIMESTAMP: its account group is parked with topic and reason, until the setting is mended."""
    world = await world_on(kafka_cluster, kafka_topic_prefix)
    servers, topic = world.settings.bootstrap_servers, world.settings.events_topic
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.shard.run)
        await world.until_readable(*(world.api.add(aid, "old00000", 3 * HOUR_S) for aid in (BAD, *GOOD)))
        await librdkafka.alter_topic(servers, topic, {"message.timestamp.after.max.ms": str(HOUR_MS)})
        refused = world.api.add(BAD, "ahead000", 10)
        await world.until(lambda: BAD in world.parked())
        assert "InvalidTimestamp" in world.parked()[BAD]
        assert topic in world.parked()[BAD]
        await world.works_on("a")
        await world.works_on("b")
        assert list(world.parked()) == [BAD]
        assert refused not in await world.events()
        await librdkafka.alter_topic(servers, topic, {"message.timestamp.after.max.ms": str(3 * HOUR_MS)})
        world.clock.moved_s += PARKED_FIRST_S + 1
        await world.until_readable(refused)
        await world.until(lambda: not world.parked())
        await world.works_on("c")
        world.shard.drain()
    offered = [row["userSessionId"] for rows in world.api.rows.values() for _, row in rows]
    assert await world.events() == Counter(offered)


async def test_a_record_larger_than_the_topic_takes_by_now(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str
) -> None:
    """MESSAGE_TOO_LARGE: after one refusal it is a dead letter, and everything else is an event, once."""
    world = await world_on(kafka_cluster, kafka_topic_prefix, compression="none")
    servers, topic = world.settings.bootstrap_servers, world.settings.events_topic
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.shard.run)
        await world.until_readable(*(world.api.add(aid, "old00000", 3 * HOUR_S) for aid in (BAD, *GOOD)))
        await librdkafka.alter_topic(servers, topic, {"max.message.bytes": "9000"})
        beside = world.api.add(BAD, "small000", 3 * HOUR_S)
        large = world.api.add(BAD, "large000", 3 * HOUR_S, visitedSite="x" * 20_000)
        await world.works_on("a")
        world.clock.moved_s += PARKED_FIRST_S + 1  # it may have been refused alone, and then waits for a minute
        await world.until_readable(beside)
        await world.works_on("b")
        await world.until(lambda: not world.parked())
        world.shard.drain()
    offered = [row["userSessionId"] for rows in world.api.rows.values() for _, row in rows]
    assert await world.events() == Counter(set(offered) - {large})
    assert await librdkafka.keys(servers, world.settings.dead_letters_topic) == [large]
