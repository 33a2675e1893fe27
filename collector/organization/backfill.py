"""What operators ask of one organization: heeds their requests, and prepares the walks of the job that runs.

Rule: it walks nothing itself. `Walker` does, when the schedule gives the lane a turn, and tells what came of it; a job
changes under ``lock`` only, in the same transaction as the page that moved it.

Before a time is walked whose ids are not kept any more, the ids of its events are read back from the events topic
(`RecalledSessions`). That may take minutes, so it happens here, not while the gate is held. What was read is good for
as long as no further ids were dropped near it; after a restore it is read again, and with it what the job itself
has published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from collector.core.backfill import BackfillJob, Counts, JobState
from collector.core.backfill_jobs import JobChange
from collector.core.chunks import KEEP_MARGIN_S
from collector.core.collect import Collected
from collector.core.event import source_of
from collector.core.lanes import WEIGHTS
from collector.core.model import EpochS, Lane, MonoS, Owner, Publication, Window
from collector.core.ranges import Range
from collector.core.recall import RecalledSessions
from collector.core.schedule import PollSchedule
from collector.core.windows import ROUND_S
from collector.errors import CollectorError, SourceError, TooManyEvents
from collector.organization.gate import RequestGate
from collector.organization.memory import AccountGroupMemory, OrganizationMemory
from collector.organization.settings import Observer, OrganizationSettings
from collector.ports import BackfillPorts, Publish

PREPARE_S = 0.5
"""How soon the next walk of a job is prepared while one runs."""

RECALL_FIRST_S = 6 * 3_600
"""Ids of six hours are read back at a time: each reading goes through the topic from there to its end."""

SINGLE_TRIES = 3
"""A single round that cannot be read to its end is left out of a job after so many tries."""


@dataclass(slots=True)
class _Recall:
    """Ids that were read back: of whom, from when to when, and from when on ids were kept then."""

    aid: str
    start: int
    end: int
    kept_from: int
    ids: set[str]


class Backfill:
    """The backfill lane of one organization.

    Args:
        settings: plain values.
        ports: requests, and what was published; None: there is no backfill here.
        gate: its pauses, and server time.
        schedule: is told what is wanted, and the lane's share.
        memory: gives the organization's memory, which may be replaced.
        monotonic: local clock.
        observer: is told what fails.
    """

    def __init__(
        self,
        settings: OrganizationSettings,
        *,
        ports: BackfillPorts | None,
        gate: RequestGate,
        schedule: PollSchedule,
        memory: Callable[[], OrganizationMemory],
        monotonic: Callable[[], MonoS],
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._ports = ports
        self._gate = gate
        self._schedule = schedule
        self._memory = memory
        self._monotonic = monotonic
        self._observer = observer
        self.lock = anyio.Lock()
        # All mutable state, none of it durable.
        self._offset: int | None = None  # of the next letter; None: from the first
        self._recall: _Recall | None = None
        self._recall_span_s = RECALL_FIRST_S
        self._reading: anyio.CancelScope | None = None
        self._wanted: str | None = None  # the account group for which a turn is asked
        self._tries: dict[tuple[str, int], int] = {}

    def restored(self) -> None:
        """The memory is another: read letters and ids again."""
        self.lock = anyio.Lock()
        self._offset, self._recall, self._wanted = None, None, None
        self._observer.backfills(self._memory().jobs.all)

    def drain(self) -> None:
        """Read nothing more."""
        if self._reading is not None:
            self._reading.cancel()

    async def run(self, aids: Callable[[], list[str]], publish: Publish) -> None:
        """Heed requests, and prepare walks, until `Draining` is raised.

        Args:
            aids: gives the account groups that are collected.
            publish: makes a publication durable.

        Raises:
            Draining: the service stops.
        """
        if self._ports is None:
            return
        look_at = self._monotonic()
        while True:
            try:
                if self._monotonic() >= look_at:
                    look_at = MonoS(self._monotonic() + self._ports.look_every_s)
                    await self._look(publish)
                await self._prepare(aids(), publish)
            except CollectorError as error:
                if self._gate.draining:
                    await self._gate.pause(0.0)
                self._observer.failed(None, SourceError(str(error)), "backfill")
                await self._gate.pause(self._ports.look_every_s)
            running = self._memory().jobs.current is not None
            await self._gate.pause(PREPARE_S if running else self._ports.look_every_s)

    # --- requests and jobs --------------------------------------------------------------------------------------

    async def _look(self, publish: Publish) -> None:
        assert self._ports is not None
        letters, offset = await self._ports.letters(self._offset)
        async with self.lock:
            jobs, now = self._memory().jobs, self._server_now()
            await self._commit([*jobs.heed(letters, now), *jobs.forget(now)], publish)
        self._offset = offset

    async def _commit(self, changes: list[JobChange], publish: Publish) -> None:
        """Make changes of jobs durable, and apply them. The lock is held."""
        if not changes:
            return
        await publish(Publication([], [one.change for one in changes], Owner(self._settings.name, "")))
        for one in changes:
            self.apply(one)

    async def _prepare(self, aids: list[str], publish: Publish) -> None:
        """See to it that the job that runs has its next walk wanted."""
        if not aids:
            return
        async with self.lock:
            retention_s = self._settings.progress.api_retention_s
            jobs, now = self._memory().jobs, self._server_now()
            change = jobs.begin(aids, now, retention_s) or jobs.strand(aids, now)
            await self._commit([] if change is None else [change], publish)
        job = self._memory().jobs.current
        if job is None or job.state is not JobState.RUNNING:
            return
        share = job.request.quota_share
        self._schedule.share(Lane.BACKFILL, WEIGHTS[Lane.HOT] * share / (1.0 - share))
        aid = self._next_aid(job, aids)
        if aid is None or self._schedule.wants(aid, Lane.BACKFILL):
            return  # ids are never read back while a walk publishes more of them
        if self._memory().group(aid).progress.kept_from == 0:
            return  # never walked: what is published of it is known after its first page
        if await self._is_ready(aid, job, publish):
            self._wanted = aid
            self._schedule.want(aid, Lane.BACKFILL, self._monotonic())
            self._gate.wake()

    def _next_aid(self, job: BackfillJob, aids: list[str]) -> str | None:
        """The account group that is walked on, or the next one; those that fail or are parked let the others by."""
        left = [aid for aid in job.unfinished() if aid in aids]
        free = [aid for aid in left if self._schedule.parked_reason(aid) is None]
        if self._wanted in free and not self._schedule.failures(self._wanted):
            return self._wanted
        return min(free, key=self._schedule.failures, default=None)

    # --- what was published of an old time ----------------------------------------------------------------------

    async def _is_ready(self, aid: str, job: BackfillJob, publish: Publish) -> bool:
        """Whether the next window can be told apart, after what had to be read for it was read."""
        left, kept_from = job.left(aid), self._memory().group(aid).progress.kept_from
        if left is None:
            return False
        if self._known_until(aid, left[0], kept_from) is not None:
            return True
        start = left[0] // ROUND_S * ROUND_S
        end = min(start + self._recall_span_s, max(left[1], start + ROUND_S))
        self._recall = None
        try:
            ids = await self._read(aid, start - KEEP_MARGIN_S, end + KEEP_MARGIN_S)
        except TooManyEvents as error:
            if self._recall_span_s > ROUND_S:
                self._recall_span_s = max(ROUND_S, self._recall_span_s // 2)
                return False
            async with self.lock:
                change = self._memory().jobs.fail(job.request.job, str(error), self._server_now())
                await self._commit([] if change is None else [change], publish)
            return False
        if ids is not None:
            self._recall = _Recall(aid, start, end, kept_from, ids)
        return ids is not None and self._memory().group(aid).progress.kept_from == kept_from

    async def _read(self, aid: str, start: int, end: int) -> set[str] | None:
        """The ids of the events of a span; None: we stop."""
        assert self._ports is not None
        source = source_of(self._settings.name, aid)
        with anyio.CancelScope() as scope:
            self._reading = scope
            try:
                return await self._ports.published(source, start, end, self._settings.identity.by_page)
            finally:
                self._reading = None
        return None

    def _known_until(self, aid: str, start: int, kept_from: int) -> int | None:
        """Up to where it can be told what was published, from ``start`` on; None: not at all, ids have to be read."""
        if start - KEEP_MARGIN_S >= kept_from:
            return 2**62
        recall = self._recall
        if recall is None or recall.aid != aid or not recall.start <= start < recall.end:
            return None
        if recall.kept_from != kept_from and recall.end + KEEP_MARGIN_S > recall.kept_from:
            return None  # ids were dropped since, of sessions that may have been published since
        return recall.end

    # --- for the walker -----------------------------------------------------------------------------------------

    def asked(self, aid: str) -> tuple[str, Range] | None:
        """The job that runs and what it wants of an account group next; None: nothing, or not prepared."""
        job = self._memory().jobs.current
        left = None if job is None else job.left(aid)
        if job is None or left is None:
            return None
        until = self._known_until(aid, left[0], self._memory().group(aid).progress.kept_from)
        return None if until is None else (job.request.job, (left[0], min(left[1], until)))

    def recalled(self, aid: str, window: Window, group: AccountGroupMemory) -> RecalledSessions | None:
        """What a window's rows are held against, right after `asked`; None: the ids that are kept suffice."""
        if window.start - KEEP_MARGIN_S >= group.progress.kept_from:
            return None
        assert self._recall is not None, "asked was not asked"
        assert self._recall.aid == aid
        return RecalledSessions(group.seen, self._recall.ids)

    def page(self, job: str, aid: str, until: int | None, collected: Collected, now: EpochS) -> JobChange | None:
        """A page that is about to be published; None: the job is over. The lock is held."""
        counts = Counts(1, collected.events, collected.seen, sum(collected.dead_letters.values()))
        return self._memory().jobs.page(job, aid, until, counts, now)

    def apply(self, change: JobChange) -> None:
        """Take over what was committed. The lock is held."""
        known = None if change.job is None else self._memory().jobs.find(change.job.request.job)
        self._memory().jobs.apply(change)
        if change.job is not None and (known is None or known.state is not change.job.state):
            self._observer.backfill_changed(change.job)
        self._observer.backfills(self._memory().jobs.all)

    async def unreadable(self, job: str, aid: str, window: Window, publish: Publish) -> None:
        """A single round could not be read to its end: after some tries it is left out, and told."""
        key = (aid, window.start)
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if tries < SINGLE_TRIES:
            return
        async with self.lock:
            change = self._memory().jobs.pass_over(job, aid, window.start, window.end, self._server_now())
            await self._commit([] if change is None else [change], publish)
        del self._tries[key]

    def _server_now(self) -> EpochS:
        return self._gate.server_clock.now(self._monotonic())
