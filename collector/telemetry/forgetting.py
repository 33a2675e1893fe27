"""Takes away what is shown of what this process does not collect any more.

Rule: from the status and from the metrics, both or neither; counters stay, as Prometheus wants them.
"""

from __future__ import annotations

from collections.abc import Collection

from collector.telemetry.metrics import Metrics
from collector.telemetry.status import StatusBoard


def forget_organizations(names: Collection[str], metrics: Metrics, board: StatusBoard) -> None:
    """Organizations are another worker's by now, or were taken off."""
    for name in names:
        board.organizations.pop(name, None)
    metrics.forget(names)


def forget_shard(number: int, metrics: Metrics, board: StatusBoard) -> None:
    """A shard holds nothing any more and has come to its end here."""
    board.shards.pop(number, None)
    metrics.forget_shard(number)
