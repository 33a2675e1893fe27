"""Turns what organizations tell into log lines, metrics and status. Never raises, never waits.

One canonical log line a walk; failures are one line each, at a level that fits who must act.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import structlog

from collector.core.backfill import BackfillJob, JobState
from collector.core.budget import RequestBudget
from collector.core.collect import Collected
from collector.core.event import epoch_ms, rfc3339
from collector.core.identity import Notice
from collector.core.ledger_entries import Lost
from collector.core.model import AccountGroup, Answer, Lane, MonoS, Row
from collector.core.polling_plan import Outlook
from collector.core.progress import Progress
from collector.core.server_clock import ServerClock
from collector.core.walk import Walk
from collector.errors import (
    ApiRejected,
    PageMalformed,
    RecordsRejected,
    SourceError,
)
from collector.telemetry.account_group import AccountGroupStatus
from collector.telemetry.coverage import CoverageTelemetry
from collector.telemetry.hints import NOTICES, PARKED_HINTS, STOPPED_HINTS
from collector.telemetry.metrics import Metrics
from collector.telemetry.status import OrganizationStatus, StatusBoard

SKEW_WARN_S = 2.0
"""A local clock this far off is worth a word; it harms nothing here, but logs will not match."""


class OrganizationTelemetry:
    """Observer of one organization."""

    def __init__(self, name: str, metrics: Metrics, board: StatusBoard) -> None:
        self._name = name
        self._metrics = metrics
        self._board = board
        # Until the first answer tells server time, the local one has to do: else what was restored would look current.
        local = OrganizationStatus(name, server_offset_s=board.wall() - board.monotonic())
        self._status = board.organizations.setdefault(name, local)
        self._status.stopped = None  # one with other settings may be answered
        self._log = structlog.get_logger("collector.organization").bind(organization=name)
        self._coverage = CoverageTelemetry(name, metrics, board, self._status)
        self._skew_told = False
        self._explained: set[str] = set()
        self._noticed: set[tuple[str, Notice]] = set()
        metrics.organization_up.labels(name).set(1)

    def account_groups(self, groups: Sequence[AccountGroup]) -> None:
        """The account groups that are collected now."""
        known = self._status.groups
        added = [group.aid for group in groups if group.aid not in known or not known[group.aid].is_listed]
        aids = {group.aid for group in groups}
        removed = [aid for aid in known if aid not in aids]
        for aid in removed:
            del known[aid]
        if removed:
            self._metrics.forget_groups(self._name, set(removed))
        for group in groups:
            status = self._group(group.aid)
            status.name, status.is_listed = group.name, True
        if added or removed:
            self._log.info("account groups", count=len(known), added=added[:20], removed=removed[:20])

    def answered(self, answer: Answer, budget: RequestBudget, clock: ServerClock, now: MonoS) -> None:
        """An answer arrived, or none (status 0)."""
        status, metrics, name = self._status, self._metrics, self._name
        metrics.requests.labels(name, str(answer.status)).inc()
        status.requests[answer.status] += 1
        if answer.status == 429:
            metrics.rate_limited.labels(name).inc()
        status.quota_limit, status.quota_remaining = budget.limit, budget.remaining
        status.quota_usable, status.quota_reset_at = budget.usable(now), budget.reset_at
        status.in_flight = budget.in_flight
        status.clock_skew_s, status.server_offset_s = clock.skew_s, clock.now(now) - now
        if budget.limit is not None:
            metrics.quota_limit.labels(name).set(budget.limit)
        if budget.remaining is not None:
            metrics.quota_remaining.labels(name).set(budget.remaining)
        metrics.clock_skew.labels(name).set(clock.skew_s)
        if abs(clock.skew_s) > SKEW_WARN_S and not self._skew_told:
            self._skew_told = True
            self._log.warning("clocks differ", skew_s=round(clock.skew_s, 1), hint="server time is used throughout")

    def published(self, walk: Walk, collected: Collected, progress: Progress, ids_kept: int) -> None:
        """A page is durable."""
        metrics, aid, name = self._metrics, walk.aid, self._name
        group = self._group(aid)
        group.pages += 1
        group.events += collected.events
        group.seen_again += collected.seen
        group.ids_kept = ids_kept
        group.last_error = group.parked = None
        self._coverage.show(group, progress)
        metrics.pages.labels(name, aid, walk.lane).inc()
        metrics.events.labels(name, aid).inc(collected.events)
        if walk.lane is Lane.SWEEP:
            metrics.found_by_sweeps.labels(name, aid).inc(collected.events)
        metrics.seen.labels(name, aid).inc(collected.seen)
        metrics.ids_kept.labels(name, aid).set(ids_kept)
        metrics.parked.labels(name, aid).set(0)
        for reason, count in collected.dead_letters.items():
            group.dead_letters[reason.value] += count
            metrics.dead_letters.labels(name, aid, reason.value).inc(count)
            if reason.value not in self._explained:
                self._explained.add(reason.value)
                self._log.warning(
                    "rows that are no valid sessions",
                    aid=aid,
                    reason=reason.value,
                    count=count,
                    hint="each is in the dead-letter topic with its reason; this line comes once a reason",
                )
        if collected.notices:
            self._notice(group, collected)
        if walk.lane is not Lane.BACKFILL:  # how old those are says nothing about how fresh we are
            self._measure(group, collected.sample)

    def progressed(self, aid: str, progress: Progress) -> None:
        """What is durable of an account group, as restored, or after something else than a page became durable."""
        self._coverage.show(self._group(aid), progress)

    def _notice(self, group: AccountGroupStatus, collected: Collected) -> None:
        """Rows that must not go by in silence: counted, and each kind said once an account group."""
        metrics, aid, name = self._metrics, group.aid, self._name
        group.revisions += collected.revisions
        metrics.revisions.labels(name, aid).inc(collected.revisions)
        for kind, count in collected.notices.items():
            if kind is Notice.LATE:
                group.late += count
                metrics.late.labels(name, aid).inc(count)
            else:
                group.changed[kind.value] += count
                metrics.changed.labels(name, aid, kind.value).inc(count)
            if (aid, kind) not in self._noticed:
                self._noticed.add((aid, kind))
                sentence, hint = NOTICES[kind]
                self._log.warning(
                    sentence, aid=aid, kind=kind.value, count=count, example=collected.examples[kind], hint=hint
                )

    def walk_finished(self, walk: Walk, progress: Progress, duration_s: float) -> None:
        """A walk came to its end."""
        group = self._group(walk.aid)
        group.walks += 1
        self._coverage.catch_up(group, walk)
        self._metrics.walks.labels(self._name, walk.aid, walk.lane).inc()
        self._log.debug(
            "walk",
            aid=walk.aid,
            lane=walk.lane,
            window_s=walk.window.end - walk.window.start,
            pages=walk.pages,
            rows=walk.rows,
            duration_s=round(duration_s, 3),
        )

    def ranges_lost(self, aid: str, ranges: Sequence[Lost]) -> None:
        """Ranges of an account group will never be walked."""
        self._coverage.lost(aid, ranges)

    def backfill_changed(self, job: BackfillJob) -> None:
        """A backfill job was taken, began, or is over: a line each."""
        if job.is_over:
            self._metrics.backfill_ended.labels(self._name, job.state.value).inc()
        self._log.log(
            logging.ERROR if job.state is JobState.FAILED else logging.INFO,
            f"backfill {job.state}",
            job=job.request.job,
            start=rfc3339(job.request.start),
            end=rfc3339(job.request.end),
            reason=job.reason or None,
            pages=job.counts.pages,
            events=job.counts.events,
            unreadable=job.skipped_total,
        )

    def backfills(self, jobs: Sequence[BackfillJob]) -> None:
        """All backfill jobs as they are durable now."""
        board, metrics, name = self._status.backfills, self._metrics, self._name
        board.show(jobs, self._board.monotonic())
        for state in (JobState.WAITING, JobState.RUNNING):
            metrics.backfill_jobs.labels(name, state.value).set(board.count(state))
        running = board.running
        metrics.backfill_share_done.labels(name).set(0.0 if running is None else running.share_done)

    def planned(self, outlooks: Mapping[str, Outlook]) -> None:
        """How often each account group is polled, and what is expected of it."""
        for aid, outlook in outlooks.items():
            self._group(aid).outlook = outlook
            self._metrics.poll_interval.labels(self._name, aid).set(outlook.interval_s)
            self._metrics.expected_sessions.labels(self._name, aid).set(outlook.arrivals_per_s)

    def failed(self, aid: str | None, error: SourceError, where: str) -> None:
        """A request or a walk failed and is tried again."""
        kind = _kind(error)
        self._metrics.failures.labels(self._name, kind).inc()
        self._status.failures[kind] += 1
        if aid is not None:
            self._group(aid).last_error = error.detail
        self._log.warning("tried again later", aid=aid, where=where, kind=kind, detail=error.detail)

    def parked(self, aid: str, error: SourceError | RecordsRejected) -> None:
        """The API refuses an account group, or Kafka a page of it."""
        self._group(aid).parked = str(error)
        self._metrics.parked.labels(self._name, aid).set(1)
        self._metrics.failures.labels(self._name, _kind(error)).inc()
        self._log.error(
            "account group parked",
            aid=aid,
            kind=_kind(error),
            detail=str(error),
            hint=PARKED_HINTS.get(_kind(error), "the API refuses the request, see detail")
            + "; tried again after a minute, then more rarely; the others go on",
        )

    def stopped(self, error: SourceError) -> None:
        """The API refuses the whole organization."""
        self._status.stopped = error.detail
        self._metrics.organization_up.labels(self._name).set(0)
        self._log.error(
            "organization stopped",
            kind=_kind(error),
            detail=error.detail,
            hint=STOPPED_HINTS.get(_kind(error), "see detail") + "; asked again in five minutes",
        )

    def resumed(self) -> None:
        """A stopped organization is answered again."""
        self._status.stopped = None
        self._metrics.organization_up.labels(self._name).set(1)
        self._log.info("organization resumed")

    def crashed(self, aid: str | None, error: Exception) -> None:
        """Our own code failed on an answer; a defect."""
        self._metrics.defects.labels(self._name).inc()
        self._log.error("defect: an answer could not be processed", aid=aid, exc_info=error)

    def _group(self, aid: str) -> AccountGroupStatus:
        return self._status.groups.setdefault(aid, AccountGroupStatus(aid))

    def _measure(self, group: AccountGroupStatus, sessions: Sequence[Row]) -> None:
        if not sessions:
            return
        now = self._board.monotonic()
        server_ms = (now + self._status.server_offset_s) * 1000
        freshness = self._metrics.freshness.labels(self._name, group.aid)
        lateness = self._metrics.lateness.labels(self._name, group.aid)
        for session in sessions:
            date_ms = epoch_ms(session["date"])
            fresh_s = max(0.0, (server_ms - date_ms) / 1000)
            freshness.observe(fresh_s)
            group.freshness_s.add(fresh_s, now)
            committed = session.get("committed")
            if committed is not None:
                late_s = max(0.0, (epoch_ms(committed) - date_ms) / 1000)
                lateness.observe(late_s)
                group.lateness_s.add(late_s, now)
        newest = sessions[-1]
        self._board.last_events.append(
            {
                "aid": group.aid,
                "date": newest["date"],
                "userSessionId": newest["userSessionId"],
                "visitedSite": newest.get("visitedSite"),
                "experienceScore": newest.get("experienceScore"),
            }
        )


def _kind(error: SourceError | RecordsRejected) -> str:
    if isinstance(error, RecordsRejected):
        return "refused_by_kafka"
    if isinstance(error, ApiRejected):
        return error.kind.value
    return "page_malformed" if isinstance(error, PageMalformed) else "walk_given_up"
