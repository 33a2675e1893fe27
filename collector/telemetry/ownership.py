"""Tells which shards are this worker's and which are others': in the log, in the metrics and in the status.

One rule: what is shown of an organization is what this process knows now. What it knew of one that another worker
collects by now is taken away, so that two workers never show two truths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from collector.telemetry.forgetting import forget_organizations, forget_shard
from collector.telemetry.metrics import Metrics
from collector.telemetry.status import GroupStatus, ShardStatus, StatusBoard


class OwnershipTelemetry:
    """Observer of what this process owns.

    Args:
        metrics: of this process.
        board: of this process.
    """

    def __init__(self, metrics: Metrics, board: StatusBoard) -> None:
        self._metrics = metrics
        self._board = board
        self._log = structlog.get_logger("collector.ownership")
        self._ours: frozenset[int] = frozenset()
        self._differing: dict[str, tuple[str, ...]] = {}

    def placed(self, organizations: Mapping[int, Sequence[str]]) -> None:
        """Which organizations are on which shards, as configured now."""
        shards = self._board.shards
        for number in sorted(shards.keys() - organizations.keys()):
            shards[number].organizations = ()
            self._drop_if_empty(number)
        for number, names in organizations.items():
            status = shards.setdefault(number, ShardStatus(number, (), assigned=number in self._ours))
            status.organizations = tuple(names)
            self._metrics.shard_assigned.labels(str(number)).set(status.assigned)
            self._metrics.shard_owned.labels(str(number)).set(status.owned)

    def configured(self, problem: str | None, restart_keys: tuple[str, ...]) -> None:
        """A configuration was read: why it is not in use, and which keys of it wait for a restart."""
        self._board.configuration_problem, self._board.restart_keys = problem, restart_keys
        self._metrics.configuration_taken.set(problem is None)

    def joined(self, group: GroupStatus) -> None:
        """This process shares the shards with others."""
        self._board.group = group
        self._metrics.group_member.set_function(lambda: float(group.is_member()))

    def compared(self, others: Sequence[tuple[Mapping[str, Any], tuple[str, ...]]]) -> None:
        """The other workers of the group, and in what their configuration differs from ours."""
        self._board.workers = [
            {"worker": other.get("worker"), "organizations": other.get("count"), "differs": list(differs)}
            for other, differs in others
        ]
        differing = {str(other.get("worker")): (other, differs) for other, differs in others if differs}
        self._metrics.workers_differing.set(len(differing))
        for worker, (other, differs) in differing.items():
            if self._differing.get(worker) != differs:
                self._log.warning(
                    "another worker has another configuration",
                    worker=worker,
                    differs=differs,
                    organizations_there=other.get("count"),
                    hint="give all workers the same: an organization whose worker does not know it is not collected",
                )
        if self._differing and not differing:
            self._log.info("all workers have the same configuration")
        self._differing = {worker: differs for worker, (_, differs) in differing.items()}

    def assigned(self, ours: frozenset[int]) -> None:
        """These shards are ours from now on, and no others."""
        self._ours = ours
        for number, status in self._board.shards.items():
            status.assigned = number in ours
            self._metrics.shard_assigned.labels(str(number)).set(status.assigned)
        held = {number: status for number, status in self._board.shards.items() if status.assigned}
        self._log.info(
            "ownership",
            shards=sorted(held),
            organizations=sum(len(status.organizations) for status in held.values()),
            elsewhere=sorted(self._board.shards.keys() - held.keys()),
        )

    def refused(self, number: int, error: Exception, retry_s: float) -> None:
        """A shard waits for an operator; the others go on."""
        shard = self._board.shards.get(number)
        if shard is not None:
            shard.owned, shard.last_error = False, str(error)
        self._metrics.shard_owned.labels(str(number)).set(0)
        self._metrics.shard_refused.labels(str(number)).set(1)
        self._log.error("shard cannot be collected", shard=number, detail=str(error), retry_s=retry_s)

    def released(self, number: int, organizations: Sequence[str], *, is_lost: bool) -> None:
        """A shard has come to its end here, because it was lost or because everything ends."""
        shard = self._board.shards.get(number)
        if shard is not None:
            shard.owned, shard.last_error = False, None
        self._metrics.shard_owned.labels(str(number)).set(0)
        self._metrics.shard_refused.labels(str(number)).set(0)
        if is_lost:
            self._log.info("shard released", shard=number, organizations=len(organizations))
            forget_organizations(organizations, self._metrics, self._board)
        self._drop_if_empty(number)

    def _drop_if_empty(self, number: int) -> None:
        """A shard that holds nothing any more is not shown, once it has come to its end."""
        status = self._board.shards.get(number)
        if status is None or (not status.organizations and not status.owned):
            forget_shard(number, self._metrics, self._board)
