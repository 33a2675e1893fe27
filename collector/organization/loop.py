"""The loop of one organization: which account group next, fetch, collect, publish, go on.

Rule: it decides nothing itself (`core` does) and talks to the world through two ports. Memory moves after the commit:
`Organization._take` applies what a page changed, `Organization._begin` where coverage begins, both after ``publish``
returned, and nothing else does.

What happens to an answer:
    page                       published, then the next page or the walk's end
    5xx, none, no page, 429    the budget waits; the page is asked again a few times, then the walk is tried later
    400 on a first page, 403,
    wrong account group        the account group is parked and asked again rarely; the others go on
                               (after a 400 for half of the window: its length may be what the API refuses)
    400 on a later page,
    a circle, too many pages   the walk is given up; the next one covers half of the window
    401, version gone          the organization stops (`RequestGate`)
And a page that Kafka refuses for what is in it parks its account group (`Organization.refused`).
"""

from __future__ import annotations

import random

import anyio

from collector.clock import Clock
from collector.core.collect import Collected, PageCollector
from collector.core.event import Provenance
from collector.core.model import AccountGroup, Owner, Page, Publication, State
from collector.core.schedule import PollSchedule, Turn
from collector.core.walk import Step, Walk, WalkState
from collector.errors import ApiRejected, PageMalformed, RecordsRejected, Rejection, SourceError
from collector.organization.gate import LOOK_AGAIN_S, Draining, Fingerprint, RequestGate
from collector.organization.memory import AccountGroupMemory, OrganizationMemory
from collector.organization.settings import Observer, OrganizationSettings
from collector.ports import Publish, Source

LIST_EVERY_S = 300.0
"""Account groups come and go rarely; one request in five minutes is not felt."""

LIST_RETRY_S = 2.0
"""Wait after a list that failed, besides what the budget asks for."""

LIST_TRIES = 3
"""Configured account groups are collected without the list when it failed this often; it also tells server time."""

PAGE_TRIES = 5
PAGE_RETRY_FIRST_S = 0.5
"""A page is asked for 5 times, 0.5, 1, 2, 4 s apart besides the budget's own waits, before its walk is given up."""

ONCE_FAILURES_MAX = 8
"""With ``until_caught_up``: an account group that failed this often in a row (some four minutes) is given up."""

_ASK_AGAIN = (Rejection.RATE_LIMITED, Rejection.UNAVAILABLE, Rejection.UNREACHABLE)


class Organization:
    """One organization, on one shard.

    Args:
        settings: plain values.
        source: the API.
        collector: turns pages into records.
        fingerprint: changes when the credentials do, and says nothing about them.
        clock: local clocks.
        rng: jitter.
        observer: is told what happens.
    """

    def __init__(
        self,
        settings: OrganizationSettings,
        *,
        source: Source,
        collector: PageCollector,
        fingerprint: Fingerprint,
        clock: Clock,
        rng: random.Random,
        observer: Observer,
    ) -> None:
        self.settings = settings
        self._source = source
        self._collector = collector
        self._clock = clock
        self._observer = observer
        self._rng = rng
        # Knowledge about the API survives a restore; what was published does not.
        self._gate = RequestGate(
            settings.name,
            fingerprint=fingerprint,
            quota_share=settings.quota_share,
            clock=clock,
            rng=rng,
            observer=observer,
        )
        self._schedule = PollSchedule(settings.poll_interval_min_s, settings.poll_interval_max_s, rng)
        self._memory = OrganizationMemory(settings.name, settings.progress, settings.identity)
        self._aids: list[str] = []
        self._refused: dict[str, str] = {}  # account groups whose page Kafka refuses, and why
        self.given_up: dict[str, str] = {}
        """With ``until_caught_up``: account groups that did not get there, and why."""

    def restore(self, state: State) -> None:
        """Forget what was published and take the shard's durable state instead."""
        self._memory.restore(state)
        self._schedule.abandoned(self._clock.monotonic())
        self._gate.budget.taken_over(self._clock.monotonic())  # another worker may have asked meanwhile

    def refused(self, aid: str, error: RecordsRejected) -> None:
        """Kafka refuses a page of this account group, alone in its transaction: it is parked, the others go on.

        Nothing of the page is durable, so it is fetched again when the account group is tried again.
        """
        self._refused[aid] = str(error)
        if self._schedule.parked(aid, error.reason, self._clock.monotonic()):
            self._observer.parked(aid, error)

    def succeeds(self, predecessor: Organization) -> bool:
        """Whether what one of the same name remembers means the same to us; otherwise only a restore can tell."""
        then, now = predecessor.settings, self.settings
        return (then.progress, then.identity) == (now.progress, now.identity)

    def succeed(self, predecessor: Organization) -> None:
        """Go on where one of the same name came to its end: with what was published and what the API told.

        Args:
            predecessor: one that it `succeeds`; its `run` has returned after `drain`, so nothing of it is on its way
                and its memory is what is durable.
        """
        self._memory = predecessor._memory
        self._gate.server_clock = predecessor._gate.server_clock
        if predecessor.settings.quota_share == self.settings.quota_share:
            self._gate.budget = predecessor._gate.budget

    def drain(self) -> None:
        """Ask nothing more; pages in hand are still published. `run` then returns."""
        self._gate.drain()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()

    async def run(self, publish: Publish, *, until_caught_up: bool = False) -> None:
        """Collect until `drain` is called, or (``until_caught_up``) until every account group has reached now.

        Args:
            publish: makes a publication durable; returns after the commit, raises when its outcome is unknown.
            until_caught_up: end instead of polling on; see `given_up`.

        Raises:
            OrganizationStopped: the API refuses the organization, and ``until_caught_up`` was asked for.
            StartRefused: the durable state of an account group is not readable.
        """
        self._gate.fail_when_closed = until_caught_up
        self.given_up.clear()
        try:
            await self._list_first(until_caught_up)
        except Draining:
            return
        goal = int(self._gate.server_clock.now(self._clock.monotonic()))
        pending = set(self._aids) - self._refused.keys() if until_caught_up else None
        if until_caught_up:
            self.given_up |= self._refused
        async with anyio.create_task_group() as tasks:
            if not until_caught_up:
                tasks.start_soon(self._list_again)
            for _ in range(self.settings.concurrency):
                tasks.start_soon(self._walk_on, publish, pending, goal)

    # --- account groups ---------------------------------------------------------------------------------------

    async def _list_first(self, until_caught_up: bool) -> None:
        """Learn the account groups, and with them the server's clock, before the first window is chosen."""
        tries = 0
        while not self._aids:
            try:
                await self._list()
            except SourceError as error:
                if self._gate.closed is None:  # else the gate said it
                    self._observer.failed(None, error, "list of account groups")
                final = isinstance(error, ApiRejected) and error.kind not in (*_ASK_AGAIN, Rejection.UNAUTHORIZED)
                if self.settings.account_groups is not None and (final or tries >= LIST_TRIES):
                    # Some tokens may not list; what was configured is enough.
                    self._set_groups([AccountGroup(aid) for aid in self.settings.account_groups])
            if self._aids:
                return
            tries += 1
            if until_caught_up and tries >= ONCE_FAILURES_MAX:
                self.given_up["*"] = "no list of account groups"
                return
            await self._gate.pause(LIST_RETRY_S * min(tries, 15))

    async def _list_again(self) -> None:
        while True:
            try:
                await self._gate.pause(LIST_EVERY_S)
                await self._list()
            except SourceError as error:
                self._observer.failed(None, error, "list of account groups")
            except Draining:
                return

    async def _list(self) -> None:
        wanted = self.settings.account_groups
        answer = await self._gate.ask(self._source.account_groups, optional=wanted is not None)
        seen = answer.account_groups
        if wanted is None:
            # A token does not lose all of its account groups at once; an API in trouble may say so.
            if seen or not self._aids:
                self._set_groups(list(seen))
        else:
            names = {group.aid: group.name for group in seen}
            self._set_groups([AccountGroup(aid, names.get(aid, "")) for aid in wanted])

    def _set_groups(self, groups: list[AccountGroup]) -> None:
        self._aids = list(dict.fromkeys(group.aid for group in groups))
        self._schedule.account_groups(self._aids, self._clock.monotonic())
        self._observer.account_groups(groups)
        self._gate.wake()

    # --- walks ------------------------------------------------------------------------------------------------

    async def _walk_on(self, publish: Publish, pending: set[str] | None, goal: int) -> None:
        """Take one walk after the other. ``pending``: account groups that have not reached ``goal`` yet."""
        try:
            while pending is None or pending:
                async with self._gate.walk():
                    now = self._clock.monotonic()
                    turn = self._schedule.next(now)
                    if isinstance(turn, Turn):
                        await self._walk(turn, publish)
                if not isinstance(turn, Turn):
                    await self._gate.sleep(LOOK_AGAIN_S if turn is None else min(turn - now, LOOK_AGAIN_S))
                    continue
                if pending is not None and self._is_done(turn.aid, goal):
                    pending.discard(turn.aid)
                    left = [aid for aid in self._aids if aid in pending]
                    self._schedule.account_groups(left, self._clock.monotonic())
                self._gate.wake()
        except Draining:
            return

    def _is_done(self, aid: str, goal: int) -> bool:
        parked = self._schedule.parked_reason(aid)
        if parked is not None or self._schedule.failures(aid) >= ONCE_FAILURES_MAX:
            self.given_up[aid] = parked or f"failed {self._schedule.failures(aid)} times in a row"
            return True
        position = self._memory.group(aid).progress.position
        # `Date` has whole seconds: a walk that began in the same second covers up to one second less.
        return position is not None and position.covered_until >= goal - 1

    async def _walk(self, turn: Turn, publish: Publish) -> None:
        started = self._clock.monotonic()
        group = self._memory.group(turn.aid)
        server_now = self._gate.server_clock.now(started)
        walk = Walk(turn.aid, group.progress.next_window(server_now), lane=turn.lane, started_at=server_now)
        position = group.progress.position
        walked_until = walk.window.start if position is None else position.covered_until
        if position is None:
            await self._begin(walk, group, publish)
        try:
            state = WalkState.GOES_ON
            while state is WalkState.GOES_ON:
                # In one expression, so that nobody holds the page while it waits for its commit.
                state = await self._take(
                    self._collect(await self._fetch(turn, walk), walk, group), walk, group, publish
                )
        except SourceError as error:
            self._walk_broke(turn, walk, group, error)
            return
        now = self._clock.monotonic()
        if state is WalkState.FINISHED:
            group.progress.walk_finished(walk.window, walk.started_at)
            self._schedule.finished(
                turn,
                started,
                now,
                pages=walk.pages,
                arrivals=walk.arrivals,
                caught_up=group.progress.caught_up(walk.started_at),
                duration_s=server_now - walked_until,
                server_now=self._gate.server_clock.now(now),
            )
            self._observer.walk_finished(walk, group.progress, now - started)
            return
        reason = "its next links lead in a circle" if state is WalkState.LOOPED else "it has no end"
        group.progress.walk_failed(walk.window)
        self._schedule.failed(turn, now)
        given_up = SourceError(f"given up after {walk.pages} pages: {reason}; half of its window is tried next")
        self._observer.failed(turn.aid, given_up, _where(walk))

    async def _begin(self, walk: Walk, group: AccountGroupMemory, publish: Publish) -> None:
        """Make the start of coverage durable before anything is asked: a first walk that dies does not move it."""
        begin = group.progress.advance(walk.window, walk.started_at, None, walk.started_at)
        await publish(Publication((), begin.changes, Owner(self.settings.name, walk.aid)))
        group.progress.apply(begin)

    async def _fetch(self, turn: Turn, walk: Walk) -> Page:
        """The walk's next page, asked for a few times while the trouble looks like passing."""
        for attempt in range(PAGE_TRIES):
            self._schedule.page(turn, self._clock.monotonic())
            try:
                page = await self._gate.ask(lambda: self._source.fetch(walk.request))
            except SourceError as error:
                passing = isinstance(error, PageMalformed) or getattr(error, "kind", None) in _ASK_AGAIN
                if not passing or attempt + 1 == PAGE_TRIES:
                    raise
                self._observer.failed(walk.aid, error, _where(walk))
            else:
                self._schedule.capacity(self._gate.budget.rate())
                return page
            await self._gate.pause(PAGE_RETRY_FIRST_S * 2**attempt * self._rng.uniform(0.5, 1.0))
        raise AssertionError("unreachable: the last try raises or returns")

    def _collect(self, page: Page, walk: Walk, group: AccountGroupMemory) -> tuple[Collected, Step]:
        """Decide about a page; the walk takes its step, nothing else changes."""
        now = self._gate.server_clock.now(self._clock.monotonic())
        provenance = Provenance(self.settings.name, walk.aid, walk.lane, walk.window, now)
        try:
            collected = self._collector.collect(page, group.seen, provenance)
        except Exception as error:
            # A page that our own code cannot digest delays its account group and nobody else; nothing was changed.
            self._observer.crashed(walk.aid, error)
            raise SourceError(f"the page could not be processed: {type(error).__name__}", page.answer) from error
        if collected.belongs_elsewhere:
            detail = f"asked for account group {walk.aid}, got sessions of another: may the token see {walk.aid}?"
            raise ApiRejected(Rejection.WRONG_ACCOUNT_GROUP, detail, page.answer)
        return collected, walk.step(page, collected.rounds)

    async def _take(
        self, decided: tuple[Collected, Step], walk: Walk, group: AccountGroupMemory, publish: Publish
    ) -> WalkState:
        """Publish one page. Memory moves after the commit."""
        collected, step = decided
        now = self._gate.server_clock.now(self._clock.monotonic())
        advance = group.progress.advance(walk.window, walk.started_at, step.proven_until, now)
        writes = group.seen.write(collected.marks)
        expiry = group.seen.expire(advance.position.kept_from)
        changes = (*advance.changes, *writes.changes, *expiry.changes)
        if collected.records or changes:
            await publish(Publication(collected.records, changes, Owner(self.settings.name, walk.aid)))
        group.seen.apply(writes, expiry)
        group.progress.apply(advance)
        self._refused.pop(walk.aid, None)
        walk.arrivals += collected.events
        self._observer.published(walk, collected, group.progress, len(group.seen))
        return step.state

    def _walk_broke(self, turn: Turn, walk: Walk, group: AccountGroupMemory, error: SourceError) -> None:
        now = self._clock.monotonic()
        kind = error.kind if isinstance(error, ApiRejected) else None
        refused = kind in (Rejection.FORBIDDEN, Rejection.WRONG_ACCOUNT_GROUP)
        if kind in (None, Rejection.BAD_REQUEST):
            # A lost cursor, a page that cannot be read, or (first page) a range too long for the API: half of it.
            group.progress.walk_failed(walk.window)
        if refused or (kind is Rejection.BAD_REQUEST and walk.is_first_page):
            if self._schedule.parked(turn, str(kind), now):
                self._observer.parked(walk.aid, error)
            return
        self._schedule.failed(turn, now)
        if self._gate.closed is None:  # else the gate said it
            self._observer.failed(walk.aid, error, _where(walk))


def _where(walk: Walk) -> str:
    return f"{walk.lane} walk of {walk.window.end - walk.window.start} s, page {walk.pages + 1}"
