"""Shows a backfill job to people: in lines, and while it is waited for as a progress bar, or in lines again.

Rule: standard error only, because standard output belongs to results. A terminal gets the bar, anything else lines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from collector.cli.outcome import say
from collector.cli.wording import listed, plural, time_text
from collector.config.durations import format_duration
from collector.core.backfill import BackfillJob, BackfillRequest, JobState
from collector.core.backfill_pace import JobPace
from collector.core.model import MonoS

LINE_EVERY_S = 30.0
"""Without a terminal: how often a line says how far a job is."""


def as_text(job: BackfillJob, is_taken: bool = True, is_heeded: bool = True) -> Iterator[str]:
    """A job in lines for people.

    Args:
        job: the job.
        is_taken: whether a worker has taken it.
        is_heeded: whether one has heeded the wish to cancel it, if there is one.
    """
    request, counts = job.request, job.counts
    state = f"{job.state.value} at {time_text(job.changed_at)}" if job.is_over else job.state.value
    state = f"{state}: {job.reason}" if job.reason else state
    if not is_taken and job.state is JobState.WAITING:
        state = "waiting, no worker took it yet"
    if not is_heeded:
        state = f"{job.state.value}, no worker heeded it yet"
    yield f"{request.job}  {request.organization}  {range_text(request)}  {state}"
    groups = groups_text([one.aid for one in job.positions] or request.account_groups or ())
    yield f"  {groups}; {job.share_done:.0%} walked, quota share {request.quota_share:g}"
    yield (
        f"  {plural(counts.pages, 'page')}: {plural(counts.events, 'session')} published, "
        f"{counts.seen:,} known before, {plural(counts.dead_letters, 'dead letter')}"
    )
    for one in job.skipped:
        yield f"  could not be read: account group {one.aid}, {time_text(one.start)} to {time_text(one.end)}"
    if job.skipped_total > len(job.skipped):
        yield f"  and {job.skipped_total - len(job.skipped)} more"


def range_text(request: BackfillRequest) -> str:
    """The range of a request, and how long it is."""
    length = format_duration(timedelta(seconds=request.end - request.start))
    return f"{time_text(request.start)} to {time_text(request.end)} ({length})"


def groups_text(aids: Sequence[str]) -> str:
    """Account groups in a few words; none: all of them."""
    if not aids:
        return "all account groups"
    return f"account group{'' if len(aids) == 1 else 's'} {listed(aids)}"


class View(Protocol):
    """Shows one job while it is waited for."""

    def show(self, job: BackfillJob, now: MonoS) -> None:
        """Where it stands at ``now``, local time."""

    def tell(self, standing: str, now: MonoS) -> None:
        """What it does or waits for, in a few words; may be the same as before."""

    def say(self, line: str) -> None:
        """A line that stays."""


class JobBar:
    """A progress bar of one job, and a line below it: pages, sessions, pages a minute.

    Args:
        request: the job's.
        console: where it is drawn; None: standard error.
    """

    def __init__(self, request: BackfillRequest, console: Console | None = None) -> None:
        self._figures = Text("")
        self._progress = _BarAndLine(
            self._figures,
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console or Console(stderr=True),
        )
        self._organization = request.organization
        self._task = self._progress.add_task(self._organization, total=None, left="")
        self._pace = JobPace()
        self._job: BackfillJob | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: BackfillJob, now: MonoS) -> None:
        """See `View`."""
        self._job = job
        self._pace.observe(job, now)

    def tell(self, standing: str, now: MonoS) -> None:
        """See `View`."""
        self._progress.update(self._task, description=f"{self._organization}: {standing}")
        job = self._job
        if job is None or not job.positions:
            return
        self._progress.update(
            self._task, total=1.0, completed=job.share_done, left=time_left(job, self._pace.time_left_s(now))
        )
        self._figures.plain = figures(job, self._pace.pages_per_min(now))

    def say(self, line: str) -> None:
        """See `View`."""
        self._progress.console.print(f"te-collector: {line}", highlight=False, markup=False)


class JobLines:
    """The same without a terminal: a line when the job does something else, and one every `LINE_EVERY_S`."""

    def __init__(self, request: BackfillRequest) -> None:
        self._organization = request.organization
        self._pace = JobPace()
        self._job: BackfillJob | None = None
        self._told: str | None = None
        self._told_at = MonoS(0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, job: BackfillJob, now: MonoS) -> None:
        """See `View`."""
        self._job = job
        self._pace.observe(job, now)

    def tell(self, standing: str, now: MonoS) -> None:
        """See `View`."""
        job = self._job
        is_due = job is not None and job.state is JobState.RUNNING and now - self._told_at >= LINE_EVERY_S
        if standing == self._told and not is_due:
            return
        self._told, self._told_at = standing, now
        parts = [f"{self._organization}: {standing}"]
        if job is not None and job.positions:
            parts += [f"{job.share_done:.0%}", figures(job, self._pace.pages_per_min(now))]
            parts += [text] if (text := time_left(job, self._pace.time_left_s(now))) else []
        self.say(", ".join(parts))

    def say(self, line: str) -> None:
        """See `View`."""
        say(f"te-collector: {line}")
        sys.stderr.flush()


def figures(job: BackfillJob, pages_per_min: float | None) -> str:
    """Pages and sessions so far, and how fast."""
    counts = job.counts
    rate = "" if pages_per_min is None else f", {pages_per_min:,.0f} pages/min"
    known = f", {counts.seen:,} known" if counts.seen else ""
    return f"{plural(counts.pages, 'page')}{rate}, {plural(counts.events, 'session')} published{known}"


def time_left(job: BackfillJob, left_s: float | None) -> str:
    """How long it will take; empty: not known, or over."""
    if job.is_over or left_s is None:
        return ""
    if left_s < 60.0:
        return f"{left_s:.0f}s left"
    return f"{format_duration(timedelta(seconds=round(left_s / 60.0) * 60))} left"


class _BarAndLine(Progress):
    """A bar with a line of text below it: what does not fit beside a bar on 80 columns."""

    def __init__(self, line: Text, *columns: TextColumn | BarColumn | TaskProgressColumn, console: Console) -> None:
        self._line = line  # first: the base class draws
        super().__init__(*columns, console=console)

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bar, and the line once there is something to say."""
        yield self.make_tasks_table(self.tasks)
        if self._line.plain:
            yield self._line
