"""Owns one shard: opens its sink, restores, runs its organizations, and starts over after any failure.

Rule: what nobody below expected ends here. Whatever fails, the answer is the same: forget the memory, close the sink
under its deadlines, back off, open a new sink, restore. A publication is never tried again by hand.

What fails in one organization alone is that organization's: it starts over by itself, from the state that is read again
between two transactions, and the pages of the others go on. So does one that the watchdog finds waiting beyond every
deadline. Only a failure of the sink, which all share, starts the whole shard over.

Pages that wait for the same producer share one transaction (`GroupCommit`). After records were refused for what is in
them, `Isolation` says who has to go alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from collector.core.isolation import Isolation
from collector.core.model import MonoS, Owner
from collector.core.restarts import REST_MAX_S, Restarts
from collector.core.watchdog import GRACE_S, LOOK_EVERY_S, Stall
from collector.errors import (
    CollectorError,
    Fenced,
    OrganizationStalled,
    PublishFailed,
    RecordsRejected,
    Stalled,
    StartRefused,
)
from collector.group_commit import GroupCommit, Owners, SinkDeadlines
from collector.organization import Organization
from collector.organization.gate import OrganizationStopped
from collector.organization.memory import organizations_in
from collector.ports import Sink

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
"""Between two tries to own the shard: 0.5, 1, 2, ... 30 s, times 0.5 to 1. A commit between them starts it anew."""

STEADY_S = 60.0
"""Unless we were fenced sooner than this after a restore: two workers that both believe must calm down."""


class ShardObserver(Protocol):
    """What a shard tells about itself."""

    def restored(self, shard: int, keys: int, duration_s: float) -> None:
        """The shard is ours and its memory complete."""

    def lost(self, shard: int, error: Exception, retry_s: float) -> None:
        """A publication or the take-over failed; memory is forgotten."""

    def committed(self, shard: int, records: int, publications: int) -> None:
        """A transaction is known to be committed."""

    def removed(self, shard: int, organization: str) -> None:
        """An organization was taken off the shard and has come to its end."""

    def organization_failed(self, organization: str, error: Exception, retry_s: float) -> None:
        """An organization failed alone and rests before it starts over; the others go on."""

    def organization_restored(self, organization: str) -> None:
        """It has started over, from what is durable."""


class _StartAgain(Exception):
    """An organization came whose memory only a restore can make."""


class Shard:
    """One shard and the organizations on it, which may come and go while it runs.

    Args:
        number: of the shard, from 0.
        organizations: those whose name hashes to it.
        open_sink: makes a new, unopened sink.
        rng: jitter.
        monotonic: local monotonic clock.
        observer: is told what happens.
        deadlines: of its sinks.
    """

    def __init__(
        self,
        number: int,
        organizations: Sequence[Organization],
        *,
        open_sink: Callable[[], Sink],
        rng: random.Random,
        monotonic: Callable[[], float],
        observer: ShardObserver,
        deadlines: SinkDeadlines = SinkDeadlines(),
    ) -> None:
        self.number = number
        self._deadlines = deadlines
        self.organizations = list(organizations)
        self._open_sink = open_sink
        self._rng = rng
        self._monotonic = monotonic
        self._observer = observer
        # All mutable state: whether it ends; of organizations: how one is started while the shard is held, who works
        # under each name, who takes a place next, of whom only Kafka knows, who is not closed yet, whose work can be
        # cut off, why it was, how often it failed, and what only an operator can mend; commits so far.
        self._drained = anyio.Event()
        self._start: Callable[[Organization], None] | None = None
        self._working: dict[str, Organization] = {}
        self._successors: dict[str, Organization] = {}
        self._only_durable: set[str] = set()
        self._retired: list[Organization] = []
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._stalls: dict[str, Stall] = {}
        self._restarts: dict[str, Restarts] = {}
        self._hopeless: dict[str, CollectorError] = {}
        self._commits = 0
        self._failures_max: int | None = None
        self._restored_at = 0.0
        self._isolation = Isolation()

    def drain(self) -> None:
        """Publish the pages in hand, then let `run` return."""
        self._drained.set()
        for organization in self.organizations:
            organization.drain()

    def put(self, organization: Organization) -> None:
        """Collect an organization from now on, instead of the one of its name if there is one. The others go on.

        The former one publishes its pages in hand and hands on what it knows. For one that is new here, but not to the
        state topic, or remembers sessions in another form, the shard restores.
        """
        name = organization.settings.name
        self._take_off(name)
        self.organizations.append(organization)
        if self._drained.is_set():
            organization.drain()
        elif name in self._working:
            self._successors[name] = organization
        elif self._start is not None:
            self._start(organization)

    def remove(self, name: str) -> None:
        """Collect an organization no more, once its pages in hand are published. The others go on."""
        self._take_off(name)
        self._only_durable.add(name)
        if name not in self._working:
            self._observer.removed(self.number, name)

    def _take_off(self, name: str) -> None:
        self._successors.pop(name, None)
        for organization in [each for each in self.organizations if each.settings.name == name]:
            self.organizations.remove(organization)
            self._retired.append(organization)
            organization.drain()

    async def aclose(self) -> None:
        """Close what the organizations hold, once `run` has ended."""
        for organization in (*self.organizations, *self._retired):
            await organization.aclose()

    async def run(self, *, until_caught_up: bool = False, failures_max: int | None = None) -> None:
        """Own the shard until `drain`, or until its organizations have caught up.

        Args:
            until_caught_up: end when every account group has reached now.
            failures_max: give up after so many failures in a row; None: never.

        Raises:
            StartRefused: an operator must act: for the shard, or for every organization on it.
            OrganizationStopped: see `Organization.run`; once the others have come to their end.
            PublishFailed: ``failures_max`` failures in a row.
        """
        failures, self._failures_max = 0, failures_max
        while not self._drained.is_set():
            committed_before = self._commits
            try:
                return await self._own(until_caught_up)
            except Exception as error:
                cause = _first_cause(error)
                if isinstance(cause, StartRefused | OrganizationStopped):
                    raise cause from error
                if isinstance(cause, _StartAgain):
                    continue
                is_quarrel = isinstance(cause, Fenced) and self._monotonic() - self._restored_at < STEADY_S
                failures = 1 if self._commits > committed_before and not is_quarrel else failures + 1
                if failures_max is not None and failures >= failures_max:
                    raise PublishFailed(str(cause)) from error
                longest = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 10))
                retry_s = longest * self._rng.uniform(0.5, 1.0)
                self._observer.lost(self.number, cause, retry_s)
                with anyio.move_on_after(retry_s):
                    await self._drained.wait()
            except BaseExceptionGroup as group:
                # Cancelled while something failed, and trio tells both: what failed is of no account any more.
                _, cancelled = group.split(Exception)
                assert cancelled is not None, "a group of exceptions alone is one"
                raise cancelled from None

    async def _own(self, until_caught_up: bool) -> None:
        started = self._monotonic()
        sink = self._open_sink()
        try:
            with anyio.move_on_after(self._deadlines.open_s + GRACE_S) as opening:
                state = await sink.open()
            if opening.cancelled_caught:
                raise Stalled("restore", self._deadlines.open_s + GRACE_S)
            for organization in self.organizations:
                organization.restore(state)
            self._only_durable = organizations_in(state) - {each.settings.name for each in self.organizations}
            self._restored_at = self._monotonic()
            self._observer.restored(self.number, len(state), self._monotonic() - started)
            del state
            commit = GroupCommit(sink, self._count, may_share=self._may_share, deadlines=self._deadlines)
            self._hopeless.clear()
            try:
                async with anyio.create_task_group() as watching:
                    watching.start_soon(self._watch)
                    async with anyio.create_task_group() as committing:
                        committing.start_soon(commit.run)
                        async with anyio.create_task_group() as collecting:
                            self._start = partial(self._start_in, collecting, commit, until_caught_up)
                            for organization in self.organizations:
                                self._start(organization)
                        commit.close()
                    watching.cancel_scope.cancel()
            except Exception as error:
                if isinstance(cause := _first_cause(error), RecordsRejected):
                    self._reject(commit.under_way, cause)
                raise
            if self._hopeless:
                raise next(iter(self._hopeless.values()))
        finally:
            self._start = None
            self._successors.clear()
            for name in list(self._working):
                self._ended(name)
            with anyio.move_on_after(self._deadlines.close_s + GRACE_S, shield=True):
                await sink.close()

    def _start_in(
        self, collecting: TaskGroup, commit: GroupCommit, until_caught_up: bool, organization: Organization
    ) -> None:
        name = organization.settings.name
        if name in self._only_durable:
            collecting.start_soon(self._start_again)
        else:
            self._working[name] = organization
            collecting.start_soon(self._collect, name, commit, until_caught_up)

    async def _start_again(self) -> None:
        raise _StartAgain

    async def _collect(self, name: str, commit: GroupCommit, until_caught_up: bool) -> None:
        """Run an organization, again whenever it fails alone, and then whoever was put in its place."""
        while True:
            organization = self._working[name]
            failure = await self._run(organization, commit, until_caught_up)
            if failure is not None and await self._starts_over(organization, failure, commit, until_caught_up):
                continue
            if organization in self._retired:
                await organization.aclose()
                self._retired.remove(organization)
            successor = self._successors.pop(name, None)
            if successor is None:
                return self._ended(name)
            if failure is not None or not successor.succeeds(organization):
                raise _StartAgain
            successor.succeed(organization)
            self._only_durable.discard(name)
            self._working[name] = successor

    async def _run(self, organization: Organization, commit: GroupCommit, until_caught_up: bool) -> Exception | None:
        """Run an organization; returns what went wrong in it alone, if something did."""
        name = organization.settings.name
        self._restarts.setdefault(name, Restarts()).started(MonoS(self._monotonic()))
        scope = self._scopes[name] = anyio.CancelScope()
        try:
            with scope:
                await organization.run(commit.publish, until_caught_up=until_caught_up)
        except Exception as error:
            cause = _first_cause(error)
            if isinstance(cause, PublishFailed):
                raise  # the sink's, and that is everybody's
            return cause
        finally:
            del self._scopes[name]
        stall = self._stalls.pop(name, None)
        return OrganizationStalled(str(stall)) if scope.cancelled_caught else None

    async def _starts_over(
        self, organization: Organization, failure: Exception, commit: GroupCommit, until_caught_up: bool
    ) -> bool:
        """Give an organization that failed its rest and what is durable; returns False when it has come to its end.

        Its memory may be ahead of or behind what is durable, because a page that it handed in may have been committed
        without it: so it never runs on without being restored.
        """
        name = organization.settings.name
        restarts = self._restarts[name]
        retry_s = restarts.failed(MonoS(self._monotonic()), self._rng.random())
        if isinstance(failure, StartRefused | OrganizationStopped):
            retry_s = REST_MAX_S
            self._hopeless[name] = failure
            if until_caught_up:
                return False
            if self._hopeless.keys() >= {each.settings.name for each in self.organizations}:
                raise failure
        if self._failures_max is not None and restarts.in_a_row >= self._failures_max:
            organization.given_up["*"] = f"failed {self._failures_max} times in a row: {failure}"
            return False
        self._observer.organization_failed(name, failure, retry_s)
        if not await organization.rest(retry_s):
            self._hopeless.pop(name, None)
            return False
        organization.restore(await commit.read_again())
        self._hopeless.pop(name, None)
        self._observer.organization_restored(name)
        return True

    async def _watch(self) -> None:
        """Cut off whatever organization waits beyond every deadline; it then starts over."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            for name, scope in self._scopes.items():
                stall = self._working[name].stall()
                if stall is not None:
                    self._stalls[name] = stall
                    scope.cancel()

    def _ended(self, name: str) -> None:
        """Nobody works under this name any more."""
        del self._working[name]
        if all(each.settings.name != name for each in self.organizations):
            self._observer.removed(self.number, name)

    def _count(self, records: int, owners: Owners) -> None:
        self._commits += 1
        self._isolation.committed(owners)
        self._observer.committed(self.number, records, len(owners))

    def _may_share(self, owner: Owner | None) -> bool:
        return self._isolation.may_share(owner, MonoS(self._monotonic()))

    def _reject(self, owners: Owners, error: RecordsRejected) -> None:
        refused = self._isolation.rejected(owners, MonoS(self._monotonic()))
        for organization in self.organizations:
            if refused is not None and organization.settings.name == refused.organization:
                organization.refused(refused.aid, error)


def _first_cause(error: Exception) -> Exception:
    """The one failure that matters of a group of them: an operator's before a passing one."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_first_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, StartRefused | OrganizationStopped)), causes[0])
