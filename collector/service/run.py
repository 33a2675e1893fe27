"""Runs the collector: topics, shards, admin pages, signals, and the order of closing.

Order of a stop: nothing new is asked of the API; pages in hand are published and committed; producers are closed;
sources are closed; the admin pages go last, so that the stop can be watched.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections.abc import Callable

import anyio
import structlog
from anyio.abc import TaskGroup
from prometheus_client import CollectorRegistry

from collector import __version__
from collector.clock import SystemClock
from collector.composition import kafka_settings
from collector.config import Config
from collector.dry_run import StdoutSink
from collector.errors import CollectorError, StartRefused
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.logs import limit_client_logs
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import ensure_topics
from collector.ports import Sink
from collector.service.assembly import build_shards
from collector.shard import Shard
from collector.telemetry.logs import configure_logs
from collector.telemetry.metrics import Metrics
from collector.telemetry.status import StatusBoard

KAFKA_RETRY_FIRST_S = 0.5
KAFKA_RETRY_MAX_S = 15.0
"""While no broker answers at start: 0.5, 1, 2, ... 15 s between tries."""

ONCE_FAILURES_MAX = 6
"""``--once`` gives up after so many failures in a row at the broker; a service goes on for ever."""

GC_THRESHOLD = 5_000
"""Allocations between two looks for garbage; a page is some 20,000 of them, and Python's default is 700 or 2,000."""

DRAIN_SHARE = 0.6
"""Part of the grace period for pages in hand; the rest is for closing producers."""

DRY_RUN_RECORD_BYTES_MAX = 900_000
"""Dead letters of a dry run are those of a default broker."""


async def run_service(config: Config, *, once: bool = False, dry_run: bool = False) -> int:
    """Collect until a signal, or until everything is collected.

    Args:
        config: checked.
        once: walk every account group up to now, then end.
        dry_run: print events instead of publishing them; needs no Kafka.

    Returns:
        Exit code: 0 done or stopped, 1 failed.

    Raises:
        ConfigurationError, StartRefused: an operator must act.
    """
    configure_logs(config.log_level, config.log_format)
    limit_client_logs()
    clock = SystemClock()
    service = _Service(
        config, once=once, dry_run=dry_run, board=StatusBoard(__version__, clock.wall, clock.monotonic), clock=clock
    )
    return await service.run()


class _Service:
    def __init__(self, config: Config, *, once: bool, dry_run: bool, board: StatusBoard, clock: SystemClock) -> None:
        self._config = config
        self._once = once
        self._dry_run = dry_run
        self._board = board
        self._clock = clock
        self._registry = CollectorRegistry()
        self._log = structlog.get_logger("collector.service")
        self._stopping = anyio.Event()
        self._working = anyio.CancelScope()
        self._shards: list[Shard] = []

    async def run(self) -> int:
        code = 1
        try:
            async with anyio.create_task_group() as background:
                background.start_soon(self._heed_signals, background)
                address = self._config.admin.address
                if address is not None:
                    # Imported here: four megabytes that a collector without admin pages does not need.
                    from collector.admin import admin_app, serve_admin

                    app = admin_app(self._board.snapshot, self._registry)
                    background.start_soon(serve_admin, app, *address)
                with self._working:
                    code = await self._work()
                if self._working.cancelled_caught:
                    code = 0
                    self._log.warning("grace period over", hint="what was not committed will be collected again")
                background.cancel_scope.cancel()
        except* CollectorError as group:
            raise _first(group) from None
        return code

    async def _work(self) -> int:
        if not self._config.organizations:
            raise StartRefused("no organization is configured: set TE_COLLECTOR_TOKEN or write [[organizations]]")
        try:
            open_sink, record_bytes_max = await self._open_sink()
        except _StoppedEarly:
            return 0
        self._shards = build_shards(
            self._config,
            open_sink=open_sink,
            record_bytes_max=record_bytes_max,
            clock=self._clock,
            rng=random.Random(),
            metrics=Metrics(self._registry),
            board=self._board,
        )
        # What is there now stays for good, and pages come and go in large numbers of young objects: looking at the
        # former again and again, and so often, costs a tenth of all CPU.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 10, 10)
        self._board.phase = "collecting"
        self._log.info(
            "collecting",
            version=__version__,
            organizations=len(self._config.organizations),
            shards=[shard.number for shard in self._shards],
            once=self._once,
            dry_run=self._dry_run,
        )
        failed: list[CollectorError] = []
        try:
            async with anyio.create_task_group() as running:
                for shard in self._shards:
                    running.start_soon(self._run_shard, shard, failed)
                if self._stopping.is_set():
                    self._drain()
        finally:
            with anyio.CancelScope(shield=True):  # closes sockets, waits for nothing
                for shard in self._shards:
                    for organization in shard.organizations:
                        await organization.aclose()
        return self._verdict(failed)

    async def _run_shard(self, shard: Shard, failed: list[CollectorError]) -> None:
        try:
            await shard.run(until_caught_up=self._once, failures_max=ONCE_FAILURES_MAX if self._once else None)
        except StartRefused:
            raise
        except CollectorError as error:  # ends this shard (``--once`` only); the others go on to their end
            failed.append(error)
            self._log.error("not collected", shard=shard.number, detail=str(error))

    def _verdict(self, failed: list[CollectorError]) -> int:
        given_up = {
            f"{organization.settings.name}/{aid}": reason
            for shard in self._shards
            for organization in shard.organizations
            for aid, reason in organization.given_up.items()
        }
        if given_up:
            self._log.error("not everything was collected", account_groups=given_up)
        events = sum(g.events for o in self._board.organizations.values() for g in o.groups.values())
        dead = sum(sum(g.dead_letters.values()) for o in self._board.organizations.values() for g in o.groups.values())
        self._log.info("stopped", events=events, dead_letters=dead)
        return 1 if failed or given_up else 0

    async def _open_sink(self) -> tuple[Callable[[int], Sink], int]:
        """What makes sinks, once Kafka answered and its topics can keep the promise."""
        if self._dry_run:
            return lambda _shard: StdoutSink(), DRY_RUN_RECORD_BYTES_MAX
        settings = kafka_settings(self._config.kafka)
        by_session_time = self._config.events.record_timestamp == "session"
        oldest_s = max(self._config.initial_lookback, self._config.late_horizon).total_seconds()
        failures = 0
        while True:
            try:
                layout = await ensure_topics(settings, oldest_record_s=oldest_s if by_session_time else None)
                break
            except KafkaUnreachable as error:
                failures += 1
                if self._once and failures >= ONCE_FAILURES_MAX:
                    raise
                retry_s = min(KAFKA_RETRY_MAX_S, KAFKA_RETRY_FIRST_S * 2.0 ** min(failures - 1, 10))
                self._log.warning("Kafka does not answer", detail=str(error), retry_s=retry_s)
            with anyio.move_on_after(retry_s):
                await self._stopping.wait()
                raise _StoppedEarly
        bytes_max = TransactionalSink(settings, layout, 0).max_record_bytes
        return lambda shard: TransactionalSink(settings, layout, shard), bytes_max

    def _drain(self) -> None:
        for shard in self._shards:
            shard.drain()

    async def _heed_signals(self, background: TaskGroup) -> None:
        """First signal: drain, within the grace period. Second: end at once."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                if self._stopping.is_set():
                    sys.stderr.flush()
                    os._exit(1)
                self._log.info("stopping", signal=signal.Signals(number).name, hint="a second signal ends at once")
                self._board.phase = "stopping"
                self._stopping.set()
                grace_s = self._config.grace_period.total_seconds()
                self._working.deadline = anyio.current_time() + grace_s * DRAIN_SHARE
                background.start_soon(self._end_at, anyio.current_time() + grace_s)
                self._drain()

    async def _end_at(self, deadline: float) -> None:
        """End even in the middle of a commit that a broker holds up: leaving it to the next owner is safe."""
        await anyio.sleep_until(deadline)
        self._log.warning("ended in the middle of a transaction", hint="the next start finishes or repeats it")
        sys.stderr.flush()
        os._exit(0)


class _StoppedEarly(Exception):
    """A signal came before there was anything to drain."""


def _first(group: BaseExceptionGroup[CollectorError]) -> CollectorError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, CollectorError)
    return error
