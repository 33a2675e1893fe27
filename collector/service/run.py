"""Runs the collector: topics, the group of workers, shards, admin pages, signals, and the order of closing.

Order of a stop: nothing new is asked of the API; pages in hand are published and committed; producers are closed;
sources are closed; the group is left, so that others take over at once; the admin pages go last, so that the stop can
be watched.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import sys
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskGroup
from prometheus_client import CollectorRegistry

from collector import __version__
from collector.clock import SystemClock
from collector.composition import kafka_settings, membership_settings
from collector.config import Config
from collector.errors import CollectorError, StartRefused
from collector.kafka.logs import limit_client_logs
from collector.kafka.membership import ShardMembership
from collector.service.agreement import Agreement, profile_of
from collector.service.assembly import ShardFactory
from collector.service.instance import AutomaticInstance
from collector.service.ownership import ONCE_FAILURES_MAX, ShardKeeper
from collector.service.reload import ReadConfig, Reload
from collector.service.sinks import Sinks, StoppedEarly, dry_run_sinks, kafka_sinks
from collector.telemetry.logs import configure_logs
from collector.telemetry.metrics import Metrics
from collector.telemetry.ownership import OwnershipTelemetry
from collector.telemetry.status import GroupStatus, StatusBoard

GC_THRESHOLD = 5_000
"""Allocations between two looks for garbage; a page is some 20,000 of them, and Python's default is 700 or 2,000."""

DRAIN_SHARE = 0.6
"""Part of the grace period for pages in hand; the rest is for closing producers and leaving the group."""


async def run_service(
    config: Config,
    *,
    once: bool = False,
    dry_run: bool = False,
    read_config: ReadConfig | None = None,
    file: Path | None = None,
) -> int:
    """Collect until a signal, or until everything is collected.

    Args:
        config: checked.
        once: walk every account group up to now, then end.
        dry_run: print events instead of publishing them; needs no Kafka.
        read_config: reads the configuration again when it may have changed; None: it stays as it is.
        file: where the configuration comes from; it is watched.

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
    reload = None
    if read_config is not None and not once:
        reload = Reload(
            config, read=read_config, file=file, apply=service.reconfigure, told=service.ownership.configured
        )
    return await service.run(reload)


class _Service:
    def __init__(self, config: Config, *, once: bool, dry_run: bool, board: StatusBoard, clock: SystemClock) -> None:
        self._config = config
        self._once = once
        self._dry_run = dry_run
        self._board = board
        self._clock = clock
        self._metrics = Metrics(CollectorRegistry())
        self.ownership = OwnershipTelemetry(self._metrics, board)
        self.ownership.configured(None, ())
        self._log = structlog.get_logger("collector.service")
        self._stopping = anyio.Event()
        self._working = anyio.CancelScope()
        self._keeper: ShardKeeper | None = None
        self._worker = ""
        self._membership: ShardMembership | None = None
        self._agreement: Agreement | None = None

    def reconfigure(self, config: Config) -> None:
        """Collect other organizations from now on."""
        self._config = config
        if self._keeper is not None:
            self._keeper.reconfigure(config)
        if self._membership is not None and self._agreement is not None:
            ours = profile_of(config, self._worker)
            self._agreement.changed(ours)
            self._membership.announce(ours)

    async def run(self, reload: Reload | None) -> int:
        code = 1
        try:
            async with anyio.create_task_group() as background:
                background.start_soon(self._heed_signals, background)
                if reload is not None:
                    background.start_soon(reload.run)
                address = self._config.admin.address
                if address is not None:
                    # Imported here: four megabytes that a collector without admin pages does not need.
                    from collector.admin import admin_app, serve_admin

                    app = admin_app(self._board.snapshot, self._metrics.registry)
                    background.start_soon(serve_admin, app, *address)
                with self._working:
                    code = await self._work(background)
                if self._working.cancelled_caught:
                    code = 0
                    self._log.warning("grace period over", hint="what was not committed will be collected again")
                background.cancel_scope.cancel()
        except* CollectorError as group:
            raise _first(group) from None
        return code

    async def _work(self, background: TaskGroup) -> int:
        if not self._config.organizations:
            raise StartRefused("no organization is configured: set TE_COLLECTOR_TOKEN or write [[organizations]]")
        try:
            sinks = await self._open_sinks()
        except StoppedEarly:
            return 0
        keeper = self._keeper = self._new_keeper(sinks)
        self._board.phase = "collecting"
        self._log.info(
            "collecting",
            version=__version__,
            organizations=len(self._config.organizations),
            shards=sorted(self._board.shards),
            once=self._once,
            dry_run=self._dry_run,
        )
        if self._stopping.is_set():
            keeper.drain()
        try:
            if self._once or self._dry_run:
                keeper.own(self._board.shards)
                await keeper.run()
            else:
                await self._share(keeper, background)
        finally:
            with anyio.CancelScope(shield=True):  # it has a deadline of its own
                await sinks.aclose()
        return self._verdict(keeper)

    async def _share(self, keeper: ShardKeeper, background: TaskGroup) -> None:
        """Run what the group says is ours, and leave the group at the end."""
        automatic = AutomaticInstance(self._config.kafka.group_id) if self._config.kafka.instance_id is None else None
        settings = membership_settings(self._config.kafka, automatic.instance_id if automatic else None)
        kafka = kafka_settings(self._config.kafka)
        self._worker = settings.instance_id or f"{socket.gethostname()}:{os.getpid()}"
        ours = profile_of(self._config, self._worker)
        agreement = self._agreement = Agreement(ours, self.ownership.compared)
        membership = self._membership = ShardMembership(
            kafka, settings, changed=keeper.own, profile=ours, heard=agreement.heard
        )
        self.ownership.joined(GroupStatus(settings.group(kafka), settings.instance_id, lambda: membership.is_member))
        background.start_soon(membership.run)
        try:
            await keeper.run()
        finally:
            with anyio.CancelScope(shield=True):  # it has deadlines of its own
                await membership.leave()

    def _new_keeper(self, sinks: Sinks) -> ShardKeeper:
        factory = ShardFactory(
            self._config,
            open_sink=sinks.open_sink,
            record_bytes_max=sinks.record_bytes_max,
            limits=sinks.limits,
            clock=self._clock,
            rng=random.Random(),
            metrics=self._metrics,
            board=self._board,
            backfill=sinks.backfill,
        )
        keeper = ShardKeeper(factory, observer=self.ownership, once=self._once)
        # What is there now stays for good, and pages come and go in large numbers of young objects: looking at the
        # former again and again, and so often, costs a tenth of all CPU.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 10, 10)
        return keeper

    async def _open_sinks(self) -> Sinks:
        if self._dry_run:
            return dry_run_sinks()
        return await kafka_sinks(
            self._config,
            stopping=self._stopping,
            failures_max=ONCE_FAILURES_MAX if self._once else None,
            held_up=self._hold_up,
        )

    def _hold_up(self, why: str | None) -> None:
        self._board.held_up = why

    def _verdict(self, keeper: ShardKeeper) -> int:
        if keeper.given_up:
            self._log.error("not everything was collected", account_groups=keeper.given_up)
        total = self._metrics.total
        self._log.info("stopped", events=total(self._metrics.events), dead_letters=total(self._metrics.dead_letters))
        return 1 if keeper.failed or keeper.given_up else 0

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
                if self._keeper is not None:
                    self._keeper.drain()

    async def _end_at(self, deadline: float) -> None:
        """End even in the middle of a commit that a broker holds up: leaving it to the next owner is safe."""
        await anyio.sleep_until(deadline)
        self._log.warning("ended in the middle of a transaction", hint="the next start finishes or repeats it")
        sys.stderr.flush()
        os._exit(0)


def _first(group: BaseExceptionGroup[CollectorError]) -> CollectorError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, CollectorError)
    return error
