"""The gate through which every request of an organization leaves.

Rule: one request, one permission, one verdict to the budget. It retries nothing; it waits for what
`RequestBudget.ready_at` says, and it closes when the API refuses the whole organization.

A closed gate (401, version gone) opens when the credentials change; without that it lets one probe through every few
minutes, far from the 100 answers 401 a minute after which ThousandEyes blocks an address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from random import Random
from typing import TypeVar

import anyio

from collector.clock import Clock
from collector.core.budget import NEVER, RequestBudget
from collector.core.model import AccountGroupList, Answer, MonoS, Page
from collector.core.quota_window import SentRequest
from collector.core.server_clock import ServerClock
from collector.core.watchdog import Watchdog
from collector.errors import ApiRejected, CollectorError, Rejection, SourceError
from collector.organization.room import WAIT_S as ROOM_WAIT_S
from collector.organization.settings import Observer
from collector.organization.turnstile import Turnstile
from collector.ports import Admit

CLOSED_RETRY_S = 300.0
CLOSED_RETRY_MAX_S = 3_600.0
"""A closed gate lets a probe through after 5, 10, ... 60 minutes."""

CREDENTIALS_LOOK_S = 5.0
"""How soon a changed token file is noticed while the gate is closed."""

LOOK_AGAIN_S = 30.0
"""Nothing waits longer than this without looking again, whatever a decision said."""

AHEAD_REQUESTS_MAX = 8
"""A walk of more requests than this waits for its turn page by page, so that a long one holds nobody up."""

CLOSING = (Rejection.UNAUTHORIZED, Rejection.VERSION_GONE)
"""Refusals that concern the whole organization."""

GONE_IN_A_ROW = 5
"""An API that worked and then answers 301, 404 or 410 this often in a row is gone; once may be a node's mistake."""

Fingerprint = Callable[[], Awaitable[str]]

EnterRoom = Callable[[int], Awaitable[None]]
"""Waits for room for a body of so many bytes."""

Result = TypeVar("Result", Page, AccountGroupList)


class Draining(Exception):
    """The service stops; nothing new is asked."""


class OrganizationStopped(CollectorError):
    """The API refuses the whole organization, and the caller asked not to wait (``fail_when_closed``)."""


class RequestGate:
    """The gate of one organization.

    Args:
        name: the organization, for messages.
        fingerprint: changes when the credentials do, and says nothing about them.
        quota_share: part of the quota that may be used.
        clock: local clocks.
        rng: jitter.
        observer: is told what happens.
        request_timeout_s: what a request may last by the source's own deadlines, seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        fingerprint: Fingerprint,
        quota_share: float,
        clock: Clock,
        rng: Random,
        observer: Observer,
        request_timeout_s: float = 30.0,
    ) -> None:
        self._name = name
        self._request_timeout_s = request_timeout_s
        self._fingerprint = fingerprint
        self._clock = clock
        self._observer = observer
        self.budget = RequestBudget(quota_share, rng)
        self.server_clock = ServerClock(clock.wall(), clock.monotonic())
        self.fail_when_closed = False
        self.watchdog = Watchdog()
        """Of every wait here that ends by itself; whoever queues for permission waits for one of them."""
        # All mutable state besides budget and clock: who waits, what is on its way, why the gate is closed.
        self._changed = anyio.Event()
        self._drained = anyio.Event()
        self._turnstile = Turnstile()
        self._walks: dict[int, int] = {}  # task that makes a walk -> requests of this walk that have left
        self._reserved_by: int | None = None  # task that waited for permission and has not asked yet
        self._asking: set[anyio.CancelScope] = set()
        self._closed: SourceError | None = None
        self._closed_until = MonoS(0)
        self._closed_times = 0
        self._closed_fingerprint: str | None = None
        self._works = False  # whether the API answered as it should since the last refusals
        self._gone_in_a_row = 0

    @property
    def closed(self) -> SourceError | None:
        """Why the API refuses the organization; None when it does not."""
        return self._closed

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._drained.is_set()

    def drain(self) -> None:
        """Ask nothing more: requests on their way are given up, waiting ones raise `Draining`."""
        self._drained.set()
        for scope in list(self._asking):
            scope.cancel()
        self.wake()

    def wake(self) -> None:
        """Something changed that decisions depend on: whoever sleeps looks again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def sleep(self, duration_s: float) -> None:
        """Sleep until something changes, ``duration_s`` at most; raises `Draining` when the service stops."""
        changed = self._changed
        with self._waiting("for its next turn", duration_s), anyio.move_on_after(max(duration_s, 0.0)):
            await changed.wait()
        if self.draining:
            raise Draining

    async def pause(self, duration_s: float) -> None:
        """Sleep for ``duration_s`` whatever changes; raises `Draining` when the service stops."""
        with self._waiting("in a pause", duration_s), anyio.move_on_after(max(duration_s, 0.0)):
            await self._drained.wait()
        if self.draining:
            raise Draining

    async def ask(
        self,
        call: Callable[[Admit], Awaitable[Result]],
        *,
        where: str = "list of account groups",
        room: EnterRoom | None = None,
        optional: bool = False,
    ) -> Result:
        """Send one request when the budget allows it, and tell the budget what came of it as soon as it is known.

        Args:
            call: sends the request; awaits what it is given when an answer with rows is here.
            where: what is asked for, for people.
            room: waits until these rows may take their memory, `ROOM_WAIT_S` at most.
            optional: the collector can do without; only wrong credentials close the gate then.

        Raises:
            SourceError: the API gave no page or list.
            OrganizationStopped: the gate is closed, and ``fail_when_closed`` is set.
            Draining: the service stops.
        """
        request, told = await self._let_through(), False
        heard: Answer | None = None

        async def admit(answer: Answer, body_bytes: int) -> None:
            nonlocal told
            self._tell_budget(request, answer)  # now, whenever there is room for it
            told = True
            if room is not None:
                await room(body_bytes)

        try:
            with anyio.CancelScope() as scope:
                self._asking.add(scope)
                try:
                    may_last_s = self._request_timeout_s + ROOM_WAIT_S
                    with self._waiting(f"for the answer to a request ({where})", may_last_s):
                        result = await call(admit)
                finally:
                    self._asking.discard(scope)
                heard = result.answer
            if scope.cancelled_caught:
                raise Draining
        except SourceError as error:
            heard = error.answer
            self._close_on(error, (Rejection.UNAUTHORIZED,) if optional else CLOSING)
            if self._closed is error:
                # Of the credentials that were refused: those that are looked at later may be the next ones already.
                with self._waiting("for its credentials", LOOK_AGAIN_S):
                    self._closed_fingerprint = await self._fingerprint()
            raise
        finally:
            if not told:
                self._tell_budget(request, heard)
        self._works, self._gone_in_a_row = True, 0
        if self._closed is not None:
            self._closed, self._closed_times = None, 0
            self._observer.resumed()
        return result

    @asynccontextmanager
    async def walk(self) -> AsyncIterator[None]:
        """Wait until a request may leave; what to ask for is decided inside, and its first request leaves at once.

        Decided before, it would be about the past when it leaves: with several walkers some requests later. The walk's
        next pages go before other walks' first ones, `AHEAD_REQUESTS_MAX` of them: what was begun is soon readable.

        Raises:
            OrganizationStopped: the gate is closed, and ``fail_when_closed`` is set.
            Draining: the service stops.
        """
        task = anyio.get_current_task().id
        await self._turnstile.enter(ahead=False)
        self._reserved_by = task
        try:
            await self._permission()
            self._walks[task] = 0
            yield
        finally:
            self._walks.pop(task, None)
            if self._reserved_by == task:
                self._reserved_by = None
                self._turnstile.leave()

    async def _let_through(self) -> SentRequest:
        """One permission, and the request that uses it."""
        task = anyio.get_current_task().id
        left = self._walks.get(task, 0)
        if self._reserved_by != task:
            await self._turnstile.enter(ahead=0 < left < AHEAD_REQUESTS_MAX)
        try:
            await self._permission()
            if task in self._walks:
                self._walks[task] = left + 1
            return self.budget.sent(self._clock.monotonic())
        finally:
            self._reserved_by = None
            self._turnstile.leave()

    def _waiting(self, where: str, may_last_s: float) -> AbstractContextManager[None]:
        return self.watchdog.waiting(where, max(may_last_s, 0.0), self._clock.monotonic())

    def _tell_budget(self, request: SentRequest, answer: Answer | None) -> None:
        now = self._clock.monotonic()
        if answer is None:
            self.budget.abandoned(request, now)
        elif answer.status == 0:
            self.budget.failed(request, now)
        else:
            self.server_clock.observe(answer.date, now)
            date = answer.date if answer.date is not None else self.server_clock.now(now)
            self.budget.answered(request, answer.status, answer.quota, date, now)
        if answer is not None:
            self._observer.answered(answer, self.budget, self.server_clock, now)
        self.wake()

    def _close_on(self, error: SourceError, closing: tuple[Rejection, ...]) -> None:
        if not isinstance(error, ApiRejected) or error.kind not in closing:
            return
        if error.kind is Rejection.VERSION_GONE:
            self._gone_in_a_row += 1
            if self._works and self._gone_in_a_row < GONE_IN_A_ROW:
                return
        if self._closed is None:
            self._observer.stopped(error)
        self._closed = error
        wait_s = min(CLOSED_RETRY_MAX_S, CLOSED_RETRY_S * 2.0 ** min(self._closed_times, 10))
        self._closed_times += 1
        self._closed_until = MonoS(self._clock.monotonic() + wait_s)
        self._closed_fingerprint = None

    async def _permission(self) -> None:
        while True:
            if self.draining:
                raise Draining
            now = self._clock.monotonic()
            ready = self.budget.ready_at(now)
            if self._closed is not None:
                if self.fail_when_closed:
                    raise OrganizationStopped(f"organization {self._name}: {self._closed.detail}")
                if now < self._closed_until:
                    await self._wait_for_credentials(now)
                    continue
                if self.budget.in_flight:
                    ready = NEVER
            if ready <= now:
                return
            await self.sleep(min(ready - now, LOOK_AGAIN_S))

    async def _wait_for_credentials(self, now: MonoS) -> None:
        with self._waiting("for its credentials", LOOK_AGAIN_S):
            fingerprint = await self._fingerprint()
        if self._closed_fingerprint is None:
            self._closed_fingerprint = fingerprint
        if fingerprint != self._closed_fingerprint:
            self._closed_until = now
        else:
            await self.pause(CREDENTIALS_LOOK_S)
