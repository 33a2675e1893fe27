"""Publishes what the walks of one shard hand in, one transaction at a time.

Rule: a transaction is published once. A failure goes to whoever runs it, and is told to nobody who waits: what became
of their pages only a restore can say.

Pages that wait for the same producer share one transaction, because a transaction costs some 20 ms whatever is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from collector.core.model import Owner, Publication, Record, State, StateChange
from collector.core.watchdog import GRACE_S
from collector.errors import PublishFailed, Stalled
from collector.ports import Sink

TRANSACTION_RECORDS_MAX = 1_000
"""Records that wait share one transaction up to here: a full page, or many small ones. A transaction costs some 20 ms
whatever is in it; two full pages at once would need megabytes, for a rate that no quota allows."""


@dataclass(frozen=True, slots=True)
class SinkDeadlines:
    """What a sink may take by its own deadlines, seconds; `GRACE_S` later it is given up.

    Args:
        open_s: for `Sink.open` and `Sink.read_again`.
        publish_s: for `Sink.publish`.
        close_s: for `Sink.close`.
    """

    open_s: float = 730.0
    publish_s: float = 20.0
    close_s: float = 4.0


Owners = Sequence[Owner | None]
"""Whose publications are in a transaction."""


@dataclass(slots=True)
class _Waiting:
    publication: Publication | None
    """None: the state is to be read again."""
    committed: anyio.Event = field(default_factory=anyio.Event)
    state: State = field(default_factory=dict)


class GroupCommit:
    """Publishes what several walks hand in, one transaction at a time.

    Args:
        sink: the shard's open sink.
        committed: told of every transaction: records in it, whose publications.
        may_share: whether an account group's publications may go together with those of others.
        deadlines: of the sink.
    """

    def __init__(
        self,
        sink: Sink,
        committed: Callable[[int, Owners], None],
        *,
        may_share: Callable[[Owner | None], bool] = lambda owner: True,
        deadlines: SinkDeadlines = SinkDeadlines(),
    ) -> None:
        self._deadlines = deadlines
        self._sink = sink
        self._committed = committed
        self._may_share = may_share
        self.under_way: Owners = ()
        """Whose publications are in the newest transaction, which may have failed."""
        self._waiting: list[_Waiting] = []  # bounded by the number of walks, each of which waits here with one page
        self._arrived = anyio.Event()
        self._closing = False

    async def publish(self, publication: Publication) -> None:
        """Hand in a publication and wait for its commit. Never returns when it fails: `run` raises instead."""
        waiting = _Waiting(publication)
        self._waiting.append(waiting)
        self._arrived.set()
        await waiting.committed.wait()

    async def read_again(self) -> State:
        """The durable state behind all that was handed in before, whether somebody still waits for it or not.

        Others' publications wait meanwhile: nothing is written that this reader could mistake for a newer owner's.
        Never returns when it fails: `run` raises instead.
        """
        waiting = _Waiting(None)
        self._waiting.append(waiting)
        self._arrived.set()
        await waiting.committed.wait()
        return waiting.state

    def close(self) -> None:
        """Let `run` return once nothing waits any more."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Publish until `close`.

        Raises:
            PublishFailed: the outcome of a transaction is unknown; everything that waited must be forgotten.
            StartRefused: the state was read again, and is not ours to read.
        """
        while self._waiting or not self._closing:
            if not self._waiting:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                continue
            if self._waiting[0].publication is None:
                await self._read(self._waiting.pop(0))
                continue
            group = self._next_group()
            records: list[Record] = []
            changes: list[StateChange] = []
            publications = [waiting.publication for waiting in group if waiting.publication is not None]
            for publication in publications:
                records.extend(publication.records)
                changes.extend(publication.changes)
                publication.records.clear()
            count = len(records)
            self.under_way = [publication.owner for publication in publications]
            with _give_up_after(self._deadlines.publish_s, "commit"):
                await self._sink.publish(Publication(records, changes))
            self._committed(count, self.under_way)
            for waiting in group:
                waiting.committed.set()
            if self._sink.worn_out:
                raise PublishFailed("the producer is due for replacement (sequence numbers would wrap)")

    async def _read(self, waiting: _Waiting) -> None:
        with _give_up_after(self._deadlines.open_s, "restore"):
            waiting.state = await self._sink.read_again()
        waiting.committed.set()

    def _next_group(self) -> list[_Waiting]:
        count, records = 0, 0
        for waiting in self._waiting:
            if waiting.publication is None:
                break
            records += len(waiting.publication.records)
            alone = not self._may_share(waiting.publication.owner)
            if count and (alone or records > TRANSACTION_RECORDS_MAX):
                break
            count += 1
            if alone:
                break
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group


@contextmanager
def _give_up_after(deadline_s: float, part: str) -> Iterator[None]:
    """A call of the sink that nobody else may cut off; raises `Stalled` when its own deadlines did not end it."""
    with anyio.move_on_after(deadline_s + GRACE_S, shield=True) as scope:
        yield
    if scope.cancelled_caught:
        raise Stalled(part, deadline_s + GRACE_S)
