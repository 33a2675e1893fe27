"""Opens the way to Kafka: topics that can keep the promise, and what makes sinks from then on.

One rule: a broker that does not answer is waited for, with growing pauses; topics that would break the promise are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import anyio
import structlog

from collector.composition import kafka_settings
from collector.config import Config
from collector.core.limits import RecordLimits
from collector.dry_run import StdoutSink
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.mailbox import Mailbox
from collector.kafka.opening import SinkOpener
from collector.kafka.published import published_ids
from collector.kafka.topics import ensure_topics
from collector.ports import BackfillPorts, Sink

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
"""While no broker answers at start: 0.5, 1, 2, ... 15 s between tries."""

DRY_RUN_RECORD_BYTES_MAX = 900_000
"""Dead letters of a dry run are those of a default broker."""

_log = structlog.get_logger("collector.service")


class StoppedEarly(Exception):
    """A signal came before there was anything to drain."""


@dataclass(frozen=True, slots=True)
class Sinks:
    """Makes sinks.

    Args:
        open_sink: an unopened sink for a shard's number.
        record_bytes_max: what one record may take, bytes.
        limits: what may become less while we run.
        backfill: what operators ask for, and what was published, by a shard's number; None: nobody can ask.
        mailbox: reads what they ask for.
    """

    open_sink: Callable[[int], Sink]
    record_bytes_max: int
    limits: RecordLimits = field(default_factory=RecordLimits)
    backfill: Callable[[int], BackfillPorts] | None = None
    mailbox: Mailbox | None = None

    async def aclose(self) -> None:
        """Close what is open besides the sinks."""
        if self.mailbox is not None:
            await self.mailbox.aclose()


def dry_run_sinks() -> Sinks:
    """Sinks that print, and need no Kafka."""
    return Sinks(lambda _shard: StdoutSink(), DRY_RUN_RECORD_BYTES_MAX)


async def kafka_sinks(
    config: Config, *, stopping: anyio.Event, failures_max: int | None, held_up: Callable[[str | None], None]
) -> Sinks:
    """Transactional sinks, once Kafka answered and its topics can keep the promise.

    Args:
        config: checked.
        stopping: set when nobody wants them any more.
        failures_max: give up after so many failures in a row; None: never.
        held_up: is told why Kafka cannot be used yet, each time; None: it can.

    Raises:
        StoppedEarly: ``stopping`` was set first.
        KafkaUnreachable: ``failures_max`` failures in a row.
        StartRefused: topics are missing or unsafe.
    """
    settings = kafka_settings(config.kafka)
    by_session_time = config.events.record_timestamp == "session"
    oldest_s = max(config.initial_lookback, config.late_horizon).total_seconds()
    failures = 0
    while True:
        try:
            layout = await ensure_topics(settings, oldest_record_s=oldest_s if by_session_time else None)
            break
        except KafkaUnreachable as error:
            failures += 1
            if failures_max is not None and failures >= failures_max:
                raise
            retry_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 10))
            _log.warning("Kafka does not answer", detail=str(error), retry_s=retry_s)
            held_up(f"Kafka does not answer (tries: {failures}): {error}")
        with anyio.move_on_after(retry_s):
            await stopping.wait()
            raise StoppedEarly
    held_up(None)
    opener = SinkOpener(settings, layout)
    mailbox = Mailbox(settings)

    def backfill(shard: int) -> BackfillPorts:
        return BackfillPorts(partial(mailbox.read, shard), partial(published_ids, settings))

    return Sinks(opener, opener.record_bytes_max, opener.limits, backfill, mailbox)
