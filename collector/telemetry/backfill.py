"""What the status tells of an organization's backfill jobs.

Rule: jobs are values that the organization hands over whole; nothing is remembered here but how fast they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector.core.backfill import BackfillJob, JobState
from collector.core.backfill_pace import JobPace
from collector.core.model import MonoS

UNFINISHED_MAX = 20
"""Jobs that run or wait, shown at most; `te-collector backfill --list` shows them all."""

ENDED_MAX = 3
"""Jobs that are over, shown at most, the newest."""

ENDED_SHOWN_S = 86_400.0
"""How long a job that is over is shown on the page."""

AIDS_MAX = 20
"""Account groups of a job that are named at most."""


class BackfillBoard:
    """The jobs of one organization, oldest first. Mutable: the jobs, and the pace of those that are not over."""

    def __init__(self) -> None:
        self.jobs: tuple[BackfillJob, ...] = ()
        self._paces: dict[str, JobPace] = {}

    def show(self, jobs: Sequence[BackfillJob], now: MonoS) -> None:
        """These are all jobs now."""
        self.jobs = tuple(jobs)
        left = {job.request.job: job for job in jobs if not job.is_over}
        self._paces = {name: self._paces.get(name) or JobPace() for name in left}
        for name, job in left.items():
            self._paces[name].observe(job, now)

    def count(self, state: JobState) -> int:
        """How many jobs are in a state."""
        return sum(job.state is state for job in self.jobs)

    @property
    def running(self) -> BackfillJob | None:
        """The job that runs."""
        return next((job for job in self.jobs if job.state is JobState.RUNNING), None)

    def snapshot(self, now: MonoS, server_now: float) -> list[dict[str, Any]]:
        """Jobs that run or wait, in their order, then those that were over lately, the newest first."""
        left = [job for job in self.jobs if not job.is_over]
        over = [job for job in self.jobs if job.is_over and server_now - job.changed_at <= ENDED_SHOWN_S]
        over.sort(key=lambda job: job.changed_at, reverse=True)
        left.sort(key=lambda job: job.state is not JobState.RUNNING)
        return [self._document(job, now) for job in (*left[:UNFINISHED_MAX], *over[:ENDED_MAX])]

    def _document(self, job: BackfillJob, now: MonoS) -> dict[str, Any]:
        request, counts, pace = job.request, job.counts, self._paces.get(job.request.job)
        aids = [one.aid for one in job.positions] or list(request.account_groups or ())
        per_min = None if pace is None else pace.pages_per_min(now)
        left_s = None if pace is None else pace.time_left_s(now)
        return {
            "job": request.job,
            "state": job.state.value,
            "reason": job.reason or None,
            "start": request.start,
            "end": request.end,
            "account_groups": aids[:AIDS_MAX],  # empty: all, which are not known before it runs
            "account_groups_total": len(aids),
            "account_groups_walked": sum(one.until >= request.end for one in job.positions),
            "quota_share": request.quota_share,
            "share_done": round(job.share_done, 4),
            "pages": counts.pages,
            "pages_per_min": None if per_min is None else round(per_min, 1),
            "time_left_s": None if left_s is None else round(left_s),
            "events": counts.events,
            "seen_again": counts.seen,
            "dead_letters": counts.dead_letters,
            "unreadable": job.skipped_total,
            "requested_at": request.requested_at,
            "changed_at": job.changed_at,
        }
