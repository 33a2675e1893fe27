"""Shows a backfill job to people: in lines, and as a progress bar while it is waited for.

One rule: standard error only, because standard output belongs to results; without a terminal the bar is quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from collector.config.durations import format_duration
from collector.core.backfill import BackfillJob, BackfillRequest, JobState
from collector.core.event import rfc3339

TIME_LEFT_FROM_S = 300.0
"""The time left follows from the last five minutes: slices take some seconds up to a minute each."""


def as_text(job: BackfillJob) -> Iterator[str]:
    """A job in lines for people."""
    request, counts = job.request, job.counts
    state = f"{job.state.value}: {job.reason}" if job.reason else job.state.value
    yield f"{request.job}  {request.organization}  {_range(request)}  {state}"
    groups = ", ".join(one.aid for one in job.positions) or ", ".join(request.account_groups or ()) or "all"
    yield f"  account groups {groups}; {job.share_done:.0%} walked, quota share {request.quota_share:g}"
    yield (
        f"  {counts.pages} pages: {counts.events} sessions published, {counts.seen} known before, "
        f"{counts.dead_letters} dead letters"
    )
    for one in job.skipped:
        yield f"  could not be read: account group {one.aid}, {_time(one.start)} to {_time(one.end)}"
    if job.skipped_total > len(job.skipped):
        yield f"  and {job.skipped_total - len(job.skipped)} more"


class JobView:
    """A progress bar of one job: share, pages, sessions, pages a minute, time left.

    Args:
        request: the job's.
    """

    def __init__(self, request: BackfillRequest) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[pages]} pages"),
            TextColumn("{task.fields[events]} sessions"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=TIME_LEFT_FROM_S,
        )
        self._task = self._progress.add_task(
            f"{request.organization}: waiting for its worker", total=1.0, pages=0, events=0, rate=""
        )
        self._organization = request.organization
        self._since: tuple[float, int] | None = None  # when the job was first seen running, and its pages then

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: BackfillJob) -> None:
        """Show where the job stands now."""
        if job.state is JobState.RUNNING and self._since is None:
            self._since = job.changed_at, job.counts.pages
        self._progress.update(
            self._task,
            completed=job.share_done,
            description=f"{self._organization}: {job.state.value}",
            pages=job.counts.pages,
            events=job.counts.events,
            rate=self._rate(job),
        )

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._progress.console.print(f"te-collector: {line}", highlight=False, markup=False)

    def _rate(self, job: BackfillJob) -> str:
        if self._since is None or job.changed_at - self._since[0] < 1.0:
            return ""
        minutes = (job.changed_at - self._since[0]) / 60
        return f"{(job.counts.pages - self._since[1]) / minutes:.0f} pages/min"


def _range(request: BackfillRequest) -> str:
    length = format_duration(timedelta(seconds=request.end - request.start))
    return f"{_time(request.start)} to {_time(request.end)} ({length})"


def _time(time_s: int) -> str:
    return rfc3339(time_s)[:19] + "Z"
