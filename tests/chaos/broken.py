"""Inside a worker: breaks one rule of the product, from outside. Negative controls: the suite must see the difference.

One rule: each breaks exactly one thing, at the seam where the product does it. Where the seam is gone, nothing starts.
"""

import os
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from collector.core.model import Publication
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.service.ownership import ShardKeeper
from tests.chaos.aims import BETWEEN, Aims


def ignore_revocation(_: Aims) -> None:
    """A worker never lets go of a shard that was once its own."""
    own = ShardKeeper.own
    held: set[int] = set()

    def own_for_ever(self: ShardKeeper, numbers: Iterable[int]) -> None:
        held.update(numbers)
        own(self, held)

    ShardKeeper.own = own_for_ever  # type: ignore[method-assign]


def do_not_fence(_: Aims) -> None:
    """Every process has transactional ids of its own, so that nobody is fenced."""
    transactional_id = KafkaSettings.transactional_id
    mine = f"{os.getpid()}.{uuid.uuid4().hex}"

    def of_this_process(self: KafkaSettings, shard: int) -> str:
        return f"{transactional_id(self, shard)}.{mine}"

    KafkaSettings.transactional_id = of_this_process  # type: ignore[method-assign]


def do_not_restore(_: Aims) -> None:
    """After InitProducerId the state is taken for empty."""
    open_ = TransactionalSink.open

    async def open_and_forget(self: TransactionalSink) -> dict[str, bytes]:
        await open_(self)
        return {}

    TransactionalSink.open = open_and_forget  # type: ignore[method-assign]


def commit_state_first(aims: Aims) -> None:
    """The state is committed before its events, in a transaction of its own."""
    publish = TransactionalSink.publish

    async def publish_in_two(self: TransactionalSink, publication: Publication) -> None:
        await publish(self, publication._replace(records=[]))
        if publication.records:
            aims.reached(BETWEEN)
        await publish(self, publication._replace(changes=()))

    TransactionalSink.publish = publish_in_two  # type: ignore[method-assign]


BREAKAGES: dict[str, Callable[[Aims], Any]] = {
    "norevoke": ignore_revocation,
    "nofence": do_not_fence,
    "nostate": do_not_restore,
    "statefirst": commit_state_first,
}
"""By the names that modes are made of."""
