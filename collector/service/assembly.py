"""Builds organizations and shards from the configuration, again and again. Opens nothing.

Rule: the configuration stops here; below it there are plain named values.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256
from importlib.resources import files

from collector.clock import Clock
from collector.composition import kafka_settings, source_settings
from collector.config import Config, OrganizationSection
from collector.core.collect import Choices, PageCollector
from collector.core.event import EventForm, EventKey, RecordTimestamp
from collector.core.identity import Identity, IdentityForm, Late, Revisions
from collector.core.limits import RecordLimits
from collector.core.progress import ProgressSettings
from collector.core.schema import SessionSchema
from collector.core.windows import Sweep
from collector.group_commit import SinkDeadlines
from collector.organization import Organization, OrganizationSettings
from collector.ports import BackfillPorts, Sink
from collector.shard import Shard
from collector.sources.thousandeyes import Credentials, open_source
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.shard import ShardTelemetry
from collector.telemetry.status import StatusBoard

SCHEMA_FILE = "user-session.v1.json"

READING_MAX_S = 600.0
"""For reading a state that makes progress: it is held in memory, and 4 GB of it come at 7 MB/s in this time."""

RECORD_OVERHEAD_BYTES = 4_096
"""Key, headers and Kafka's own fields of a record, at most: ids and names have bounds of a kilobyte."""


def shard_of(organization: str, shards: int) -> int:
    """The shard that holds an organization: a stable hash (CRC-32) of its name, the same in every release."""
    return zlib.crc32(organization.encode()) % shards


def page_collector(config: Config, record_bytes_max: int, limits: RecordLimits | None = None) -> PageCollector:
    """What turns pages into records: the schema of this release and the operator's choices."""
    schema = SessionSchema((files("collector") / "schemas" / SCHEMA_FILE).read_bytes())
    form = EventForm(schema.identifier, EventKey(config.events.key), RecordTimestamp(config.events.record_timestamp))
    choices = Choices(Revisions(config.events.revisions), Late(config.events.late))
    return PageCollector(schema, form, record_bytes_max - RECORD_OVERHEAD_BYTES, choices, limits=limits)


def organization_settings(config: Config, section: OrganizationSection) -> OrganizationSettings:
    """Plain values of one organization."""
    return OrganizationSettings(
        name=section.name,
        account_groups=None if section.account_groups is None else tuple(section.account_groups),
        concurrency=section.concurrency,
        poll_interval_min_s=section.poll_interval_min.total_seconds(),
        poll_interval_max_s=section.poll_interval_max.total_seconds(),
        quota_share=section.quota_share,
        progress=progress_settings(config),
        identity=IdentityForm(Identity(config.events.identity), f"{section.api_version} {section.format}"),
        request_timeout_s=section.request_timeout.total_seconds(),
    )


def progress_settings(config: Config) -> ProgressSettings:
    """How far back each lane looks, in seconds."""
    sweeps = (
        Sweep(_seconds(config.sweep_reach), _seconds(config.sweep_interval)),
        Sweep(None, _seconds(config.late_sweep_interval)),
    )
    return ProgressSettings(
        initial_lookback_s=_seconds(config.initial_lookback),
        overlap_s=_seconds(config.overlap),
        late_horizon_s=_seconds(config.late_horizon),
        overlap_max_s=_seconds(min(max(config.overlap, config.overlap_max), config.late_horizon)),
        sweeps=tuple(sweep for sweep in sweeps if sweep.every_s > 0),
        api_retention_s=_seconds(config.api_retention),
    )


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())


def sink_deadlines(config: Config) -> SinkDeadlines:
    """What a sink may take by its own deadlines."""
    kafka = kafka_settings(config.kafka)
    transaction_s = kafka.send_timeout_s + kafka.commit_timeout_s
    # Topics, the witness, the producer, the barrier, the origin, and a standstill of the reader at last.
    opening_s = kafka.admin_timeout_s + 2 * kafka.restore_timeout_s + kafka.start_timeout_s + 2 * transaction_s
    return SinkDeadlines(open_s=opening_s + READING_MAX_S, publish_s=transaction_s, close_s=2 * kafka.close_timeout_s)


async def credentials_fingerprint(credentials: Credentials) -> str:
    """A digest of the credentials as they are now; empty while they cannot be read."""
    try:
        authorization = await credentials.authorization()
    except (OSError, ValueError):
        return ""
    return sha256(authorization.header.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OrganizationChanges:
    """What another configuration makes of a shard: organizations that are new or other, and names of removed ones."""

    put: list[OrganizationSection]
    removed: list[str]


class ShardFactory:
    """Builds a shard whenever one is to be run: a drained shard and its organizations are used up.

    Args:
        config: checked.
        open_sink: makes an unopened sink for a shard's number.
        record_bytes_max: what one record may take in Kafka, bytes.
        limits: what Kafka takes at the moment, if that is less; changes in place.
        clock: local clocks.
        rng: jitter; each part gets its own, seeded from it.
        metrics: of this process.
        board: of this process.
        backfill: what operators ask for, by a shard's number; None: nobody can ask.
    """

    def __init__(
        self,
        config: Config,
        *,
        open_sink: Callable[[int], Sink],
        record_bytes_max: int,
        limits: RecordLimits | None = None,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        board: StatusBoard,
        backfill: Callable[[int], BackfillPorts] | None = None,
    ) -> None:
        self._config = config
        self._backfill = backfill
        self._open_sink = open_sink
        self._collector = page_collector(config, record_bytes_max, limits)
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._board = board
        self._observer = ShardTelemetry(metrics, board)

    def organizations_by_shard(self) -> dict[int, list[str]]:
        """The names of the organizations on each shard that holds any, in the order of the shards."""
        by_shard: dict[int, list[str]] = {}
        for section in self._config.organizations:
            by_shard.setdefault(shard_of(section.name, self._config.kafka.shards), []).append(section.name)
        return dict(sorted(by_shard.items()))

    def reconfigure(self, config: Config) -> dict[int, OrganizationChanges]:
        """Build from another configuration from now on, which differs in its organizations only.

        Returns:
            What is different on which shard.
        """
        before = {section.name: section for section in self._config.organizations}
        after = {section.name: section for section in config.organizations}
        self._config = config
        changes: dict[int, OrganizationChanges] = {}
        for name in before.keys() | after.keys():
            if before.get(name) == after.get(name):
                continue
            on_shard = changes.setdefault(shard_of(name, config.kafka.shards), OrganizationChanges([], []))
            if name in after:
                on_shard.put.append(after[name])
            else:
                on_shard.removed.append(name)
        return changes

    def shard(self, number: int) -> Shard:
        """A new shard with its organizations, not yet running."""
        sections = [s for s in self._config.organizations if shard_of(s.name, self._config.kafka.shards) == number]
        return Shard(
            number,
            [self.organization(section) for section in sections],
            open_sink=partial(self._open_sink, number),
            rng=random.Random(self._rng.random()),
            monotonic=self._clock.monotonic,
            observer=self._observer,
            deadlines=sink_deadlines(self._config),
        )

    def organization(self, section: OrganizationSection) -> Organization:
        """A new organization, not yet running."""
        settings, shard = source_settings(section), shard_of(section.name, self._config.kafka.shards)
        return Organization(
            organization_settings(self._config, section),
            source=open_source(settings),
            collector=self._collector,
            fingerprint=partial(credentials_fingerprint, settings.credentials),
            clock=self._clock,
            rng=random.Random(self._rng.random()),
            observer=OrganizationTelemetry(section.name, self._metrics, self._board),
            backfill=None if self._backfill is None else self._backfill(shard),
        )
