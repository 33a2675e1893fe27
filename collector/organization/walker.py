"""One walk of one account group: fetch a page, decide about it, publish it, go on.

Rule: it decides nothing itself (`core` does) and talks to the world through two ports. Memory moves after the commit:
`Walker._take` applies what a page changed, `Walker._settle` what else becomes durable, both after ``publish`` returned,
and nothing else does.

An account group may have a hot walk and another one at a time. Their pages arrive in any order, but are decided,
published and applied one at a time (`AccountGroupMemory.lock`): else a session could be fresh on two of them.

What happens to an answer:
    page                       published, then the next page or the walk's end
    5xx, none, no page, 429    the budget waits; the page is asked again a few times, then the walk is tried later
    403, wrong account group,
    400 on a first hot page    the account group is parked and asked again rarely; the others go on
                               (after a 400 for half of the window: its length may be what the API refuses)
    400 on another page,
    a circle, too many pages   the walk is given up; the next one covers half of the window, and a single round is left
                               out and tried rarely
    401, version gone          the organization stops (`RequestGate`)
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from collector.clock import Clock
from collector.core.collect import Collected, PageCollector
from collector.core.event import Provenance
from collector.core.ledger_entries import Trouble
from collector.core.model import EpochS, Lane, MonoS, Owner, Page, Publication, Window
from collector.core.progress import Advance
from collector.core.recall import RecalledSessions
from collector.core.schedule import PollSchedule, Turn
from collector.core.spans import SPAN_MIN_S
from collector.core.walk import PAGES_MAX, PAGES_UNPROVEN_MAX, Step, Walk, WalkState
from collector.errors import ApiRejected, PageMalformed, Rejection, SourceError
from collector.organization.backfill import Backfill
from collector.organization.gate import LOOK_AGAIN_S, RequestGate
from collector.organization.memory import AccountGroupMemory, OrganizationMemory
from collector.organization.room import Place, Room
from collector.organization.settings import Observer, OrganizationSettings
from collector.ports import Publish, Source

PAGE_ROWS_MAX = 10_000
"""Ten times the usual page. A page is decided about and published as one: more would hold up the event loop, and all
other organizations with it, for a second, and its ids of one hour would not fit into one record of the state."""

PAGE_TRIES = 5
PAGE_RETRY_FIRST_S = 0.5
"""A page is asked for 5 times, 0.5, 1, 2, 4 s apart besides the budget's own waits, before its walk is given up."""

ASK_AGAIN = (Rejection.RATE_LIMITED, Rejection.UNAVAILABLE, Rejection.UNREACHABLE)
"""Answers that pass by themselves."""

_OTHERS = (Lane.CATCH_UP, Lane.SWEEP)

Decide = Callable[[], Advance | None]
"""Says what becomes durable; asked while no other page of the account group can change it."""


@dataclass(slots=True)
class _Asked:
    """For which job a backfill walk happens, and what its rows are held against besides the ids that are kept."""

    job: str
    recall: RecalledSessions | None = None


class Walker:
    """Makes the walks of one organization.

    Args:
        settings: plain values.
        source: the API.
        collector: turns pages into records.
        gate: every request leaves through it.
        schedule: is told what came of a turn, and what other work there is.
        memory: of the organization.
        backfill: what operators ask for.
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
        gate: RequestGate,
        schedule: PollSchedule,
        memory: OrganizationMemory,
        backfill: Backfill,
        clock: Clock,
        rng: random.Random,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._source = source
        self._collector = collector
        self._gate = gate
        self._schedule = schedule
        self.memory = memory
        self._backfill = backfill
        self._clock = clock
        self._rng = rng
        self._observer = observer
        self._room = Room()
        self._asked: dict[str, _Asked] = {}  # account group -> what its backfill walk is for
        self.publishing: dict[str, Lane] = {}
        """Whose page was handed in last, of each account group: the one that Kafka refused, if it refused one."""

    async def walk(self, turn: Turn, publish: Publish) -> bool:
        """Do one turn of the schedule, and tell it what came of it. Returns whether a page became durable."""
        started = self._clock.monotonic()
        group, server_now = self.memory.group(turn.aid), self._server_now()
        if group.progress.opening(server_now) is not None:
            # Before anything is asked: a first walk that dies does not move the start of coverage.
            await self._settle(turn.aid, group, publish, lambda: group.progress.opening(server_now))
        ledger = group.progress.ledger
        walked_until = 0 if ledger is None else ledger.newest
        window = self._begin(turn, group, server_now)
        if window is None:
            self._schedule.finished(turn, started, started, pages=0, arrivals=0, caught_up=True)
            if turn.lane is not Lane.BACKFILL:  # that is wanted by its job
                self._schedule.want(turn.aid, turn.lane, MonoS(started + LOOK_AGAIN_S))
            return False
        single = window.end - window.start <= SPAN_MIN_S
        walk = Walk(
            turn.aid,
            window,
            lane=turn.lane,
            started_at=server_now,
            pages_unproven_max=PAGES_MAX if single else PAGES_UNPROVEN_MAX,
        )
        try:
            state = WalkState.GOES_ON
            while state is WalkState.GOES_ON:
                with self._room.place() as place:
                    state = await self._take(await self._fetch(turn, walk, place), walk, group, publish, place)
        except SourceError as error:
            group.progress.ended(turn.lane)
            await self._broke(turn, walk, group, error, publish)
            return walk.pages > 0
        finally:
            group.progress.ended(turn.lane)
        if state is WalkState.FINISHED:
            self._finished(turn, walk, group, started, server_now - max(walked_until, window.start))
        else:
            trouble = Trouble.CIRCLE if state is WalkState.LOOPED else Trouble.NO_END
            reason = "its next links lead in a circle" if state is WalkState.LOOPED else "it has no end"
            after = SourceError(f"given up after {walk.pages} pages: {reason}; {_what_next(walk)}")
            await self._give_up(turn, walk, group, trouble, publish)
            self._failed(turn, walk, group, after)
        return True

    def _begin(self, turn: Turn, group: AccountGroupMemory, server_now: EpochS) -> Window | None:
        """The window of a turn, whose ids are kept from now on; None: there is nothing to walk."""
        if turn.lane is not Lane.BACKFILL:
            return group.progress.begin(turn.lane, server_now)
        asked = self._backfill.asked(turn.aid)
        group.progress.asked = None if asked is None else asked[1]
        window = group.progress.begin(turn.lane, server_now)
        if asked is not None and window is not None:
            self._asked[turn.aid] = _Asked(asked[0], self._backfill.recalled(turn.aid, window, group))
        return window

    def _failed(self, turn: Turn, walk: Walk, group: AccountGroupMemory, error: SourceError) -> None:
        self._schedule.failed(turn, self._clock.monotonic())
        self._want(turn.aid, group, but=turn.lane)
        if self._gate.closed is None:  # else the gate said it
            self._observer.failed(turn.aid, error, where(walk))

    def _finished(self, turn: Turn, walk: Walk, group: AccountGroupMemory, started: MonoS, duration_s: float) -> None:
        now = self._clock.monotonic()
        group.progress.finished(turn.lane, walk.window, walk.pages, is_proven=walk.is_proven)
        self._schedule.finished(
            turn,
            started,
            now,
            pages=walk.pages,
            arrivals=walk.arrivals,
            caught_up=True,  # a hot window always reaches now; what it left behind is catch-up's
            duration_s=duration_s,
            server_now=self._server_now(),
        )
        self._want(turn.aid, group, but=None)
        self._observer.walk_finished(walk, group.progress, now - started)

    async def _fetch(self, turn: Turn, walk: Walk, place: Place) -> Page:
        """The walk's next page, asked for a few times while the trouble looks like passing."""
        for attempt in range(PAGE_TRIES):
            self._schedule.page(turn, self._clock.monotonic())
            try:
                page = await self._gate.ask(
                    lambda admit: self._source.fetch(walk.request, admit),
                    room=place.take,
                    where=f"account group {walk.aid}, {where(walk)}",
                )
            except SourceError as error:
                place.leave()
                passing = isinstance(error, PageMalformed) or getattr(error, "kind", None) in ASK_AGAIN
                if not passing or attempt + 1 == PAGE_TRIES:
                    raise
                self._observer.failed(walk.aid, error, where(walk))
            else:
                self._schedule.capacity(self._gate.budget.rate())
                return page
            await self._gate.pause(PAGE_RETRY_FIRST_S * 2**attempt * self._rng.uniform(0.5, 1.0))
        raise AssertionError("unreachable: the last try raises or returns")

    def _collect(self, page: Page, walk: Walk, group: AccountGroupMemory) -> tuple[Collected, Step]:
        """Decide about a page; the walk takes its step, nothing else changes."""
        if len(page.rows) > PAGE_ROWS_MAX:
            raise PageMalformed(f"{len(page.rows)} rows on a page, {PAGE_ROWS_MAX} are the most", page.answer)
        asked = self._asked_for(walk)
        provenance = Provenance(
            self._settings.name, walk.aid, walk.lane, walk.window, self._server_now(), asked.job if asked else ""
        )
        seen = asked.recall if asked is not None and asked.recall is not None else group.seen
        try:
            collected = self._collector.collect(page, seen, provenance)
        except Exception as error:
            # A page that our own code cannot digest delays its account group and nobody else; nothing was changed.
            self._observer.crashed(walk.aid, error)
            raise SourceError(f"the page could not be processed: {type(error).__name__}", page.answer) from error
        if collected.belongs_elsewhere:
            detail = f"asked for account group {walk.aid}, got sessions of another: may the token see {walk.aid}?"
            raise ApiRejected(Rejection.WRONG_ACCOUNT_GROUP, detail, page.answer)
        return collected, walk.step(page, collected.rounds, collected.commits)

    async def _take(
        self, page: Page, walk: Walk, group: AccountGroupMemory, publish: Publish, place: Place
    ) -> WalkState:
        """Publish one page. Memory moves after the commit, and no other page of the account group meanwhile."""
        asked = self._asked_for(walk)
        async with group.lock, nullcontext() if asked is None else self._backfill.lock:
            collected, step = self._collect(page, walk, group)
            place.keep(len(collected.records), len(page.rows))
            del page  # nobody holds it while it waits for its commit
            now, finished = self._server_now(), step.state is WalkState.FINISHED
            advance = group.progress.advance(
                walk.lane, walk.window, walk.started_at, step.proven_until, now, finished=finished
            )
            job = None
            if asked is not None:
                job = self._backfill.page(asked.job, walk.aid, step.proven_until, collected, now)
                if job is None:  # cancelled meanwhile
                    return WalkState.FINISHED
            recall = None if asked is None else asked.recall
            recalled = [] if recall is None else collected.records.copy()  # publishing uses them up
            writes = group.seen.write(collected.marks if recall is None else recall.kept(collected.marks))
            expiry = group.seen.expire(advance.ledger.kept_from)
            changes = (*advance.changes, *writes.changes, *expiry.changes)
            if job is not None:
                changes = (*changes, job.change)
            self.publishing[walk.aid] = walk.lane
            if collected.records or changes:
                await publish(Publication(collected.records, changes, Owner(self._settings.name, walk.aid)))
            group.seen.apply(writes, expiry)
            group.progress.apply(advance)
            if job is None:
                group.progress.observe(collected.lateness, now)
            else:  # how late these sessions were says nothing about today
                self._backfill.apply(job)
            if recall is not None:
                recall.published(recalled)
        walk.arrivals += collected.events
        self._observer.published(walk, collected, group.progress, len(group.seen))
        return step.state

    async def _settle(self, aid: str, group: AccountGroupMemory, publish: Publish, decide: Decide) -> None:
        """Make what ``decide`` says durable, besides any page, and apply it."""
        async with group.lock:
            advance = decide()
            if advance is None or not advance.changes:
                return
            await publish(Publication([], advance.changes, Owner(self._settings.name, aid)))
            group.progress.apply(advance)
        self._observer.progressed(aid, group.progress)
        if advance.lost:
            self._observer.ranges_lost(aid, advance.lost)

    async def _give_up(
        self, turn: Turn, walk: Walk, group: AccountGroupMemory, trouble: Trouble, publish: Publish
    ) -> None:
        now = self._server_now()
        asked = self._asked_for(walk)
        if asked is not None and walk.window.end - walk.window.start <= SPAN_MIN_S:
            await self._backfill.unreadable(asked.job, turn.aid, walk.window, publish)
        await self._settle(
            turn.aid, group, publish, lambda: group.progress.failed(turn.lane, walk.window, trouble, now)
        )

    async def _broke(
        self, turn: Turn, walk: Walk, group: AccountGroupMemory, error: SourceError, publish: Publish
    ) -> None:
        kind = error.kind if isinstance(error, ApiRejected) else None
        parks = kind in (Rejection.FORBIDDEN, Rejection.WRONG_ACCOUNT_GROUP)
        if kind in (None, Rejection.BAD_REQUEST):
            # A lost cursor, a page that cannot be read, or (first page) a range too long for the API: half of it.
            parks = kind is not None and walk.is_first_page and turn.lane is Lane.HOT
            first = Trouble.REFUSED if walk.is_first_page else Trouble.CURSOR_LOST
            await self._give_up(turn, walk, group, Trouble.MALFORMED if kind is None else first, publish)
        if parks:
            if self._schedule.parked(turn, str(kind), self._clock.monotonic()):
                self._observer.parked(turn.aid, error)
                now = self._server_now()
                await self._settle(turn.aid, group, publish, lambda: group.progress.parked(str(kind), now))
            else:  # its gap has grown
                self._observer.progressed(turn.aid, group.progress)
            return
        self._failed(turn, walk, group, error)

    def _want(self, aid: str, group: AccountGroupMemory, but: Lane | None) -> None:
        """Tell the schedule when the other lanes have work; ``but`` failed, and is wanted again by itself."""
        now, server_now = self._clock.monotonic(), self._server_now()
        for lane in _OTHERS:
            if lane is not but:
                due = group.progress.due(lane, server_now)
                self._schedule.want(aid, lane, None if due is None else MonoS(now + (due - server_now)))

    def _asked_for(self, walk: Walk) -> _Asked | None:
        return self._asked.get(walk.aid) if walk.lane is Lane.BACKFILL else None

    def _server_now(self) -> EpochS:
        return self._gate.server_clock.now(self._clock.monotonic())


def where(walk: Walk) -> str:
    """Which walk, and how far it was, for people."""
    return f"{walk.lane} walk of {walk.window.end - walk.window.start} s, page {walk.pages + 1}"


def _what_next(walk: Walk) -> str:
    if walk.window.end - walk.window.start > SPAN_MIN_S:
        return "half of its window is tried next"
    return "tried again" if walk.lane is Lane.HOT else "this round is left out and tried again rarely"
