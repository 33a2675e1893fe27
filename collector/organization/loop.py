"""The loop of one organization: which account groups there are, and one turn of the schedule after the other.

Rule: it decides nothing itself (`core` does) and holds no page: walks are `Walker`'s.

A page that Kafka refuses for what is in it parks its account group (`Organization.refused`).
"""

from __future__ import annotations

import random
from collections.abc import Collection

import anyio

from collector.clock import Clock
from collector.core.collect import PageCollector
from collector.core.model import AccountGroup, EpochS, Lane, MonoS, State
from collector.core.schedule import PollSchedule, Turn
from collector.core.watchdog import Stall
from collector.errors import ApiRejected, RecordsRejected, Rejection, SourceError
from collector.organization.backfill import Backfill
from collector.organization.gate import LOOK_AGAIN_S, Draining, Fingerprint, RequestGate
from collector.organization.memory import OrganizationMemory
from collector.organization.settings import Observer, OrganizationSettings
from collector.organization.walker import ASK_AGAIN, Walker
from collector.ports import BackfillPorts, Publish, Source

LIST_EVERY_S = 300.0
"""Account groups come and go rarely; one request in five minutes is not felt."""

LIST_RETRY_S = 2.0
"""Wait after a list that failed, besides what the budget asks for."""

LIST_TRIES = 3
"""Configured account groups are collected without the list when it failed this often; it also tells server time."""

OUTLOOK_EVERY_S = 10.0
"""How often it is told how often each account group is polled: as often as that is planned anew."""

ONCE_FAILURES_MAX = 8
"""With ``until_caught_up``: an account group that failed this often in a row (some four minutes) is given up."""


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
        backfill: what operators ask for, and what was published; None: nobody can ask.
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
        backfill: BackfillPorts | None = None,
    ) -> None:
        self.settings = settings
        self._source = source
        self._clock = clock
        self._observer = observer
        # Knowledge about the API survives a restore; what was published does not.
        self._gate = RequestGate(
            settings.name,
            fingerprint=fingerprint,
            quota_share=settings.quota_share,
            clock=clock,
            rng=rng,
            observer=observer,
            request_timeout_s=settings.request_timeout_s,
        )
        self._schedule = PollSchedule(settings.poll_interval_min_s, settings.poll_interval_max_s, rng)
        self._memory = OrganizationMemory(settings.name, settings.progress, settings.identity)
        self._backfill = Backfill(
            settings,
            ports=backfill,
            gate=self._gate,
            schedule=self._schedule,
            memory=lambda: self._memory,
            monotonic=clock.monotonic,
            observer=observer,
        )
        self._walker = Walker(
            settings,
            source=source,
            collector=collector,
            gate=self._gate,
            schedule=self._schedule,
            memory=self._memory,
            backfill=self._backfill,
            clock=clock,
            rng=rng,
            observer=observer,
        )
        self._aids: list[str] = []
        self._refused: dict[str, str] = {}  # account groups whose page Kafka refuses, and why
        self._outlook_at = clock.monotonic()  # when it is told next
        self.given_up: dict[str, str] = {}
        """With ``until_caught_up``: account groups that did not get there, and why."""

    def restore(self, state: State) -> None:
        """Forget what was published and take the shard's durable state instead."""
        self._memory.restore(state)
        self._backfill.restored()
        self._schedule.abandoned(self._clock.monotonic())
        self._gate.budget.taken_over(self._clock.monotonic())  # another worker may have asked meanwhile

    def refused(self, aid: str, error: RecordsRejected) -> None:
        """Kafka refuses a page of this account group, alone in its transaction: it waits, the others go on.

        Nothing of the page is durable, so it is fetched again when the account group is tried again: it is parked. If
        the page was not hot, only its lane waits, and new sessions are collected on.
        """
        self._refused[aid] = str(error)
        turn, now = Turn(aid, self._walker.publishing.get(aid, Lane.HOT)), self._clock.monotonic()
        if turn.lane is not Lane.HOT:
            self._schedule.failed(turn, now)
            self._observer.failed(aid, SourceError(str(error)), f"{turn.lane} walk")
        elif self._schedule.parked(turn, error.reason, now):
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
        self._memory = self._walker.memory = predecessor._memory
        self._observer.backfills(self._memory.jobs.all)
        self._gate.server_clock = predecessor._gate.server_clock
        if predecessor.settings.quota_share == self.settings.quota_share:
            self._gate.budget = predecessor._gate.budget

    def drain(self) -> None:
        """Ask nothing more; pages in hand are still published. `run` then returns."""
        self._gate.drain()
        self._backfill.drain()

    async def rest(self, duration_s: float) -> bool:
        """Wait before it starts over; returns False at once when it is drained."""
        try:
            await self._gate.pause(duration_s)
        except Draining:
            return False
        return True

    def stall(self) -> Stall | None:
        """What it waits for beyond every deadline, if it does; to be asked every `LOOK_EVERY_S`."""
        return self._gate.watchdog.look(self._clock.monotonic())

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
        self._tell_remembered(self._aids or self.settings.account_groups or ())
        try:
            await self._list_first(until_caught_up)
        except Draining:
            return
        goal = EpochS(int(self._gate.server_clock.now(self._clock.monotonic())))
        pending = set(self._aids) - self._refused.keys() if until_caught_up else None
        if until_caught_up:
            self.given_up |= self._refused
        async with anyio.create_task_group() as tasks:
            if not until_caught_up:
                tasks.start_soon(self._list_again)
                tasks.start_soon(self._heed_operators, publish)
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
                final = isinstance(error, ApiRejected) and error.kind not in (*ASK_AGAIN, Rejection.UNAUTHORIZED)
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
        answer = await self._gate.ask(lambda admit: self._source.account_groups(), optional=wanted is not None)
        seen = answer.account_groups
        if wanted is None:
            # A token does not lose all of its account groups at once; an API in trouble may say so.
            if seen or not self._aids:
                self._set_groups(list(seen))
        else:
            names = {group.aid: group.name for group in seen}
            self._set_groups([AccountGroup(aid, names.get(aid, "")) for aid in wanted])

    def _set_groups(self, groups: list[AccountGroup]) -> None:
        before, self._aids = set(self._aids), list(dict.fromkeys(group.aid for group in groups))
        self._schedule.account_groups(self._aids, self._clock.monotonic())
        self._observer.account_groups(groups)
        if added := [aid for aid in self._aids if aid not in before]:
            self._tell_remembered(added)
        self._gate.wake()

    def _tell_remembered(self, aids: Collection[str]) -> None:
        """Say what is durable of these account groups, or of all: an API that is away hides nothing of it."""
        for aid, progress in self._memory.remembered(aids):
            self._observer.progressed(aid, progress)

    async def _heed_operators(self, publish: Publish) -> None:
        try:
            await self._backfill.run(lambda: self._aids, publish)
        except Draining:
            return

    # --- walks ------------------------------------------------------------------------------------------------

    async def _walk_on(self, publish: Publish, pending: set[str] | None, goal: EpochS) -> None:
        """Take one turn after the other. ``pending``: account groups that have not reached ``goal`` yet."""
        try:
            while pending is None or pending:
                async with self._gate.walk():
                    now = self._clock.monotonic()
                    turn = self._schedule.next(now)
                    self._tell_outlook(now)
                    if isinstance(turn, Turn) and await self._walker.walk(turn, publish):
                        self._refused.pop(turn.aid, None)
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

    def _tell_outlook(self, now: MonoS) -> None:
        """Say now and then what the schedule intends. It is asked here because nothing changes while nobody asks."""
        if now < self._outlook_at:
            return
        self._outlook_at = MonoS(now + OUTLOOK_EVERY_S)
        outlooks = {aid: self._schedule.outlook(aid) for aid in self._aids}
        self._observer.planned({aid: outlook for aid, outlook in outlooks.items() if outlook is not None})

    def _is_done(self, aid: str, goal: EpochS) -> bool:
        parked = self._schedule.parked_reason(aid)
        if parked is not None or self._schedule.failures(aid) >= ONCE_FAILURES_MAX:
            self.given_up[aid] = parked or f"failed {self._schedule.failures(aid)} times in a row"
            return True
        progress = self._memory.group(aid).progress
        if not progress.has_reached(goal):
            return False
        if progress.ledger is not None and progress.ledger.unreadable:
            self.given_up[aid] = "a round could not be read to its end; it is tried again later"
        return True
