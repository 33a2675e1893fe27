"""Turns what shards tell into log lines, metrics and status. Never raises, never waits."""

from __future__ import annotations

import structlog

from collector.errors import OrganizationStalled, Stalled, StartRefused
from collector.telemetry.forgetting import forget_organizations
from collector.telemetry.metrics import Metrics
from collector.telemetry.status import ShardStatus, StatusBoard


class ShardTelemetry:
    """Observer of the shards of this process."""

    def __init__(self, metrics: Metrics, board: StatusBoard) -> None:
        self._metrics = metrics
        self._board = board
        self._log = structlog.get_logger("collector.shard")

    def _status(self, shard: int) -> ShardStatus:
        """Of a shard that may hold nothing any more, as after a change of the configuration."""
        return self._board.shards.setdefault(shard, ShardStatus(shard, ()))

    def restored(self, shard: int, keys: int, duration_s: float) -> None:
        """The shard is ours and its memory complete."""
        status = self._status(shard)
        status.owned, status.keys, status.restore_s, status.last_error = True, keys, duration_s, None
        status.restores += 1
        self._metrics.restores.labels(str(shard)).inc()
        self._metrics.shard_owned.labels(str(shard)).set(1)
        self._log.info("shard restored", shard=shard, keys=keys, duration_s=round(duration_s, 3))

    def lost(self, shard: int, error: Exception, retry_s: float) -> None:
        """A publication or the take-over failed; memory is forgotten."""
        status = self._status(shard)
        status.owned, status.last_error = False, str(error)
        self._metrics.publish_failures.labels(str(shard)).inc()
        if isinstance(error, Stalled):
            self._metrics.watchdog_restarts.labels(error.part).inc()
        self._metrics.shard_owned.labels(str(shard)).set(0)
        self._log.warning(
            "shard starts over",
            shard=shard,
            error=type(error).__name__,
            detail=str(error),
            retry_s=round(retry_s, 1),
            exc_info=error if type(error).__module__ == "builtins" else None,
        )

    def removed(self, shard: int, organization: str) -> None:
        """An organization was taken off the shard and has come to its end."""
        self._log.info("organization removed", shard=shard, organization=organization)
        forget_organizations((organization,), self._metrics, self._board)

    def organization_failed(self, organization: str, error: Exception, retry_s: float) -> None:
        """An organization failed alone and rests before it starts over; the others go on."""
        status = self._board.organizations.get(organization)
        if status is not None:
            status.stopped = f"starts over in {retry_s:.0f} s: {str(error) or type(error).__name__}"
        self._metrics.organization_up.labels(organization).set(0)
        self._metrics.organization_restarts.labels(organization).inc()
        is_refused = isinstance(error, StartRefused)
        is_stalled = isinstance(error, OrganizationStalled)
        if is_stalled:
            self._metrics.watchdog_restarts.labels("organization").inc()
        self._log.error(
            "organization cannot be collected" if is_refused else "organization starts over",
            organization=organization,
            error=type(error).__name__,
            detail=str(error),
            retry_s=round(retry_s, 1),
            hint="the others go on" if is_refused or is_stalled else "a defect; the others go on",
            exc_info=None if is_refused or is_stalled else error,
        )

    def organization_restored(self, organization: str) -> None:
        """It has started over, from what is durable."""
        status = self._board.organizations.get(organization)
        if status is not None:
            status.stopped = None
        self._metrics.organization_up.labels(organization).set(1)
        self._log.info("organization restored", organization=organization)

    def committed(self, shard: int, records: int, publications: int) -> None:
        """A transaction is known to be committed."""
        status = self._status(shard)
        status.transactions += 1
        status.records += records
        self._metrics.transactions.labels(str(shard)).inc()
