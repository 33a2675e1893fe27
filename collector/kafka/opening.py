"""Makes the sinks of a process, and carries from one to the next what it has learnt.

The one rule: after a failure that no newer owner explains, the topics are looked at again before the next sink opens.
They may be gone, or take less than they did; the former is refused, the latter becomes the limits of new records.
"""

from __future__ import annotations

import structlog

from collector.core.limits import RecordLimits
from collector.core.model import Publication
from collector.errors import Fenced, PublishFailed, StartRefused
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.settings import BATCH_HEADER_BYTES, RECORD_OVERHEAD_BYTES, KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import TopicLayout, look_again

CLOCK_MARGIN_S = 60.0
"""Records this close to the broker's limit are not tried: our clock, which is the API's, may differ from its."""

LATER_HEADERS_BYTES = 128
"""Some headers are added to an event after its size was looked at: that it is late, or a revision."""

_log = structlog.get_logger(__name__)


class SinkOpener:
    """Call it with a shard's number for a new sink.

    Mutable state, all of it: the layout and limits as last seen, whether to look again, and the shards' origins.

    Args:
        settings: see there.
        layout: from ``ensure_topics``.
    """

    def __init__(self, settings: KafkaSettings, layout: TopicLayout) -> None:
        self._settings = settings
        self._suspicious = False
        self.origins: dict[int, str] = {}
        """Shard -> identity of its state; see origin.py."""
        self.limits = RecordLimits()
        """What records may be. The same object for ever: it changes in place."""
        self._take(layout)

    @property
    def record_bytes_max(self) -> int:
        """What one record may take unless the limits say less."""
        return self._settings.max_record_bytes

    def __call__(self, shard: int) -> OpenedSink:
        """A new, unopened sink."""
        return OpenedSink(self, shard)

    def failed(self, error: Exception) -> None:
        """A sink has failed."""
        if isinstance(error, PublishFailed) and not isinstance(error, Fenced):
            self._suspicious = True

    async def sink(self, shard: int) -> TransactionalSink:
        """What a sink is made of, after another look at the topics if one is due.

        Raises:
            PublishFailed: no broker answered.
            StartRefused: topics are gone, or have become unsafe.
        """
        if self._suspicious:
            try:
                self._take(await look_again(self._settings))
            except KafkaUnreachable as error:
                raise PublishFailed(str(error)) from error
            self._suspicious = False
        return TransactionalSink(self._settings, self._layout, shard, origins=self.origins)

    def _take(self, layout: TopicLayout) -> None:
        self._layout = layout
        limits, before = self.limits, repr(self.limits)
        limits.event_bytes_max = self._narrower(layout.event_batch_bytes)
        limits.dead_letter_bytes_max = self._narrower(layout.dead_letter_batch_bytes)
        age_s = layout.event_age_max_s
        limits.event_age_max_s = None if age_s is None else max(age_s - CLOCK_MARGIN_S, 0.0)
        if repr(limits) != before:
            _log.warning(
                "kafka_record_limits",
                events=self._settings.events_topic,
                event_bytes_max=limits.event_bytes_max,
                event_age_max_s=limits.event_age_max_s,
                dead_letters=self._settings.dead_letters_topic,
                dead_letter_bytes_max=limits.dead_letter_bytes_max,
                hint="the topics' settings are the limit; what exceeds it becomes a dead letter",
            )

    def _narrower(self, batch_bytes: int | None) -> int | None:
        """What a record may take in a batch of this size; None when that is no less than configured."""
        if batch_bytes is None or batch_bytes >= self._settings.batch_bytes:
            return None
        return max(batch_bytes - BATCH_HEADER_BYTES - RECORD_OVERHEAD_BYTES - LATER_HEADERS_BYTES, 0)


class OpenedSink:
    """A `TransactionalSink` that tells its opener of failures; see `collector.ports.Sink`."""

    def __init__(self, opener: SinkOpener, shard: int) -> None:
        self._opener = opener
        self._shard = shard
        self._sink: TransactionalSink | None = None

    @property
    def worn_out(self) -> bool:
        """Whether it should be replaced by a new one."""
        return self._sink is not None and self._sink.worn_out

    async def open(self) -> dict[str, bytes]:
        """See `TransactionalSink.open`."""
        try:
            self._sink = await self._opener.sink(self._shard)
            return await self._sink.open()
        except (PublishFailed, StartRefused) as error:
            self._opener.failed(error)
            raise

    async def publish(self, publication: Publication) -> None:
        """See `TransactionalSink.publish`."""
        if self._sink is None:
            raise PublishFailed(f"kafka: the sink of shard {self._shard} is not opened")
        try:
            await self._sink.publish(publication)
        except PublishFailed as error:
            self._opener.failed(error)
            raise

    async def read_again(self) -> dict[str, bytes]:
        """See `TransactionalSink.read_again`."""
        if self._sink is None:
            raise PublishFailed(f"kafka: the sink of shard {self._shard} is not opened")
        try:
            return await self._sink.read_again()
        except (PublishFailed, StartRefused) as error:
            self._opener.failed(error)
            raise

    async def close(self) -> None:
        """See `TransactionalSink.close`."""
        if self._sink is not None:
            await self._sink.close()
