"""The backfill jobs of one organization: which requests become jobs, which job runs, what of it is walked next.

Rule: it proposes and applies, like `Progress`: what returns a `JobChange` says what would become durable, and memory
moves in `apply`, after the commit.

Invariants: a job id is taken once, whatever is read again; one job runs at a time, the one that was asked for first;
a request that is older than `REQUEST_VALID_S` is never taken, and jobs are remembered for longer than that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from collector.core.backfill import CANCEL_KIND, KIND, BackfillJob, BackfillRequest, Counts, JobState, key_of, parts_of
from collector.core.model import State, StateChange

DAY_S = 86_400.0

REQUEST_VALID_S = 7 * DAY_S
"""A request waits this long for a worker."""

REMEMBERED_S = 30 * DAY_S
"""A job that is over is shown this long; longer than its request can be read again and taken."""


class Letter(NamedTuple):
    """A record of the shards topic: key, value, and when it was written, seconds since 1970."""

    key: str
    value: bytes
    written_at: float


class JobChange(NamedTuple):
    """A job about to become durable; None instead of a job: forgotten."""

    key: str
    job: BackfillJob | None

    @property
    def change(self) -> StateChange:
        """What it does to the state."""
        return StateChange(self.key, None if self.job is None else self.job.to_bytes())


class BackfillJobs:
    """All jobs of an organization.

    Args:
        organization: its name.
    """

    def __init__(self, organization: str) -> None:
        self._organization = organization
        self._jobs: dict[str, BackfillJob] = {}  # all mutable state: job id -> job, in the order they were asked for

    def restore(self, state: State) -> None:
        """Forget everything, and take what is ours of a shard's state.

        Raises:
            ValueError: a job is none of ours.
        """
        found = [BackfillJob.parse(value) for key, value in state.items() if self._is_ours(key)]
        found.sort(key=lambda job: (job.request.requested_at, job.request.job))
        self._jobs = {job.request.job: job for job in found}

    @property
    def all(self) -> Sequence[BackfillJob]:
        """Every job that is remembered, those asked for first at the beginning."""
        return tuple(self._jobs.values())

    @property
    def current(self) -> BackfillJob | None:
        """The job that runs, or the next one."""
        left = [job for job in self._jobs.values() if not job.is_over]
        return next((job for job in left if job.state is JobState.RUNNING), left[0] if left else None)

    def find(self, name: str) -> BackfillJob | None:
        """The job of this id; None: there is none, or no more."""
        return self._jobs.get(name)

    def heed(self, letters: Sequence[Letter], now: float) -> list[JobChange]:
        """What letters ask for that was not done yet: a new job each, and jobs to cancel.

        Args:
            letters: in the order in which they were written; may be read again and again.
            now: server time.
        """
        changed: dict[str, BackfillJob] = {}
        for letter in letters:
            parts = parts_of(letter.key)
            if parts is None or parts[1] != self._organization:
                continue
            kind, _, name = parts
            known = changed.get(name) or self._jobs.get(name)
            if kind == KIND and known is None and now - letter.written_at <= REQUEST_VALID_S:
                try:
                    request = BackfillRequest.parse(letter.value)
                except ValueError:
                    continue  # not written by a version that we understand: nothing that could be done about it
                if (request.job, request.organization) == (name, self._organization):
                    changed[name] = BackfillJob(request, now, now)
            elif kind == CANCEL_KIND and known is not None and not known.is_over:
                changed[name] = known.ended(JobState.CANCELLED, now)
        return [self._change(job) for job in changed.values()]

    def begin(self, aids: Collection[str], now: float, api_retention_s: float) -> JobChange | None:
        """The start of the next job, or why it cannot; None: one runs, or there is none.

        Args:
            aids: the account groups that are collected, at least one.
            now: server time.
            api_retention_s: how long the API keeps sessions.
        """
        job = self.current
        if job is None or job.state is not JobState.WAITING:
            return None
        wanted = job.request.account_groups
        unknown = sorted(set(wanted or ()) - set(aids))
        if unknown:
            reason = f"account group {', '.join(unknown)} is not collected; {', '.join(sorted(aids)[:20])} are"
            return self._change(job.ended(JobState.FAILED, now, reason))
        if job.request.end < now - api_retention_s:
            reason = "ThousandEyes no longer keeps anything of the range (api_retention)"
            return self._change(job.ended(JobState.FAILED, now, reason))
        return self._change(job.begun(tuple(dict.fromkeys(wanted or aids)), now))

    def page(self, name: str, aid: str, until: int | None, counts: Counts, now: float) -> JobChange | None:
        """A page of a job's walk; None: the job is over, and the page must not be published."""
        job = self._open(name)
        return None if job is None else self._change(job.walked(aid, until, counts, now))

    def pass_over(self, name: str, aid: str, start: int, end: int, now: float) -> JobChange | None:
        """A range that cannot be read; None: the job is over."""
        job = self._open(name)
        return None if job is None else self._change(job.passed_over(aid, start, end, now))

    def strand(self, aids: Collection[str], now: float) -> JobChange | None:
        """The end of the job that runs, when nothing that is left of it is collected any more; None: it goes on.

        Args:
            aids: the account groups that are collected, at least one.
            now: server time.
        """
        job = self.current
        left = () if job is None else job.unfinished()
        if job is None or not left or not set(left).isdisjoint(aids):
            return None
        reason = f"account group {', '.join(left[:20])} is not collected any more; what was published stays"
        return self._change(job.ended(JobState.FAILED, now, reason))

    def fail(self, name: str, reason: str, now: float) -> JobChange | None:
        """The job cannot go on; None: it is over already."""
        job = self._open(name)
        return None if job is None else self._change(job.ended(JobState.FAILED, now, reason))

    def forget(self, now: float) -> list[JobChange]:
        """Jobs that were over for long."""
        old = [job for job in self._jobs.values() if job.is_over and now - job.changed_at > REMEMBERED_S]
        return [JobChange(job.request.key, None) for job in old]

    def apply(self, change: JobChange) -> None:
        """Take over what was committed."""
        if change.job is not None:
            self._jobs[change.job.request.job] = change.job
        elif (parts := parts_of(change.key)) is not None:
            self._jobs.pop(parts[2], None)

    def _open(self, name: str) -> BackfillJob | None:
        """The job of this id that may still change; None: it is over, or there is none."""
        job = self._jobs.get(name)
        return None if job is None or job.is_over else job

    def _change(self, job: BackfillJob) -> JobChange:
        return JobChange(key_of(KIND, self._organization, job.request.job), job)

    def _is_ours(self, key: str) -> bool:
        parts = parts_of(key)
        return parts is not None and parts[:2] == (KIND, self._organization)
