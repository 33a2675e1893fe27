"""Runs the shards that are this worker's, and lets go of those that are not.

One rule: what runs follows what the group says, whenever it says it. Who owns is a hint: a shard that two workers run
for a moment is fenced, so nothing here has to be exact, but everything has to be bounded.

A shard that is gained starts at once. One that is lost has `LOST_DRAIN_S` for the pages in hand; then it is cancelled,
and what it was publishing ends under the sink's own deadlines. One that is gained again meanwhile starts anew when it
has ended. A shard that fails starts over by itself, with growing pauses, for as long as it is ours. One that only an
operator can mend is tried again every few minutes, and says why each time; the others go on. When nothing else is left,
the process ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from collector.config import Config
from collector.errors import CollectorError, PublishFailed, StartRefused
from collector.service.assembly import ShardFactory
from collector.shard import Shard
from collector.telemetry.ownership import OwnershipTelemetry

LOST_DRAIN_S = 5.0
"""For the pages in hand of a shard that another worker takes over; by then it usually has fenced us."""

REFUSED_RETRY_S = 120.0
"""A shard that only an operator can mend is tried again, and its remedy is in the log again, after so long."""

ONCE_FAILURES_MAX = 6
"""``--once`` gives a shard up after so many failures in a row; a service goes on for ever."""


@dataclass(slots=True)
class _Kept:
    """A shard that runs, or is coming to its end."""

    shard: Shard
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_lost: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)
    """Set when it shall not be tried again."""


class ShardKeeper:
    """Keeps one task for each shard of ours.

    Mutable state, all of it: which shards are ours, which run, which wait for an operator, whether all of it comes to
    its end, and what could not be collected.

    Args:
        factory: builds shards.
        observer: is told what is gained and lost.
        once: run until everything is collected.
    """

    def __init__(self, factory: ShardFactory, *, observer: OwnershipTelemetry, once: bool = False) -> None:
        self._factory = factory
        self._observer = observer
        self._once = once
        observer.placed(factory.organizations_by_shard())
        self._ours: frozenset[int] = frozenset()
        self._kept: dict[int, _Kept] = {}
        self._refused: dict[int, StartRefused] = {}
        self._is_draining = False
        self._changed = anyio.Event()
        self._log = structlog.get_logger("collector.ownership")
        self.failed: list[CollectorError] = []
        """Why shards were given up (``once`` only)."""
        self.given_up: dict[str, str] = {}
        """Account groups that were not collected up to now, as ``organization/aid``, and why (``once`` only)."""

    def own(self, numbers: Iterable[int]) -> None:
        """From now on these shards are ours and no others; returns at once."""
        self._ours = frozenset(numbers)
        self._observer.assigned(self._ours)
        self._wake()

    def drain(self) -> None:
        """Publish the pages in hand of all shards, then let `run` return."""
        self._is_draining = True
        for kept in self._kept.values():
            kept.shard.drain()
            kept.ended.set()
        self._wake()

    def reconfigure(self, config: Config) -> None:
        """Other organizations from now on: they come, go and change, and the others go on undisturbed."""
        changes = self._factory.reconfigure(config)
        self._observer.placed(self._factory.organizations_by_shard())
        for number, kept in self._kept.items():
            if number in changes and not kept.is_lost:
                for section in changes[number].put:
                    kept.shard.put(self._factory.organization(section))
                for name in changes[number].removed:
                    kept.shard.remove(name)
        self._wake()

    async def run(self) -> None:
        """Run what is ours until `drain`, or (``once``) until everything is collected.

        Raises:
            StartRefused: an operator must act, and no shard of ours is left that works; alone or in a group.
        """
        async with anyio.create_task_group() as tasks:
            while not self._is_draining:
                changed = self._changed
                self._settle(tasks)
                if self._once:
                    break
                await changed.wait()
        if self._once and self._refused:
            raise next(iter(self._refused.values()))

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _settle(self, tasks: TaskGroup) -> None:
        """Start what is ours and does not run, and end what runs and is not ours."""
        wanted = self._ours & self._factory.organizations_by_shard().keys()
        for number in sorted(wanted - self._kept.keys()):
            kept = self._kept[number] = _Kept(self._factory.shard(number))
            tasks.start_soon(self._keep, kept)
        for number in sorted(self._kept.keys() - wanted):
            kept = self._kept[number]
            if not kept.is_lost:
                kept.is_lost = True
                kept.ended.set()
                kept.shard.drain()
                kept.scope.deadline = anyio.current_time() + LOST_DRAIN_S

    async def _wait_for_operator(self, kept: _Kept, error: StartRefused) -> None:
        """The others go on, unless all of ours are in this state."""
        number = kept.shard.number
        self._refused[number] = error
        self._observer.refused(number, error, REFUSED_RETRY_S)
        if self._once:
            return
        if self._refused.keys() >= self._kept.keys():
            raise error
        with anyio.move_on_after(REFUSED_RETRY_S):
            await kept.ended.wait()
        del self._refused[number]

    async def _keep(self, kept: _Kept) -> None:
        shard = kept.shard
        try:
            with kept.scope:
                await shard.run(until_caught_up=self._once, failures_max=ONCE_FAILURES_MAX if self._once else None)
            if kept.scope.cancelled_caught:
                self._log.warning("shard cut off", shard=shard.number, drain_s=LOST_DRAIN_S)
        except StartRefused as error:
            await self._wait_for_operator(kept, error)
        except CollectorError as error:  # ends this shard (``once`` only); the others go on to their end
            self.failed.append(error)
            self._log.error("not collected", shard=shard.number, detail=str(error))
        except ExceptionGroup as group:
            # Cut off in the middle of a publication that then failed: an event loop may tell both together, past what
            # the shard catches. What became of it is for the next owner to see.
            if not kept.is_lost or group.split(PublishFailed)[1] is not None:
                raise
            self._log.warning("shard cut off", shard=shard.number, drain_s=LOST_DRAIN_S)
        finally:
            for organization in shard.organizations:
                for aid, reason in organization.given_up.items():
                    self.given_up[f"{organization.settings.name}/{aid}"] = reason
            with anyio.CancelScope(shield=True):  # closes sockets, waits for nothing
                await shard.aclose()
            del self._kept[shard.number]
            names = [organization.settings.name for organization in shard.organizations]
            self._observer.released(shard.number, names, is_lost=kept.is_lost)
            self._wake()
