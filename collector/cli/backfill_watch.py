"""What becomes of a backfill job: waits for one and shows it, cancels one.

One rule: it reads topics, and writes nothing but the wish to cancel a job. The worker that owns the organization does
the work, now or when there is one; so ending this command ends no job.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import anyio

from collector.cli.backfill_jobs import Known, all_jobs, as_document, find, hint, read_job
from collector.cli.backfill_standing import Standing
from collector.cli.backfill_view import JobBar, JobLines, as_text
from collector.cli.brokers_only import prepared, print_json
from collector.cli.outcome import ExitCode, say
from collector.cli.wording import plural
from collector.clock import SystemClock
from collector.core.backfill import CANCEL_KIND, KIND, BackfillRequest, JobState, key_of
from collector.kafka.mailbox import write_letters
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import News, Silence, follow_state
from collector.service.assembly import shard_of

CANCEL_WAIT_S = 10.0
"""A worker looks for letters every three seconds; after this it is said that none has heeded the wish yet."""


# --- waiting --------------------------------------------------------------------------------------------------------


def watch_job(file: Path | None, name: str, *, as_json: bool) -> int:
    """Wait for a job that was asked for before, and show how far it is.

    Raises:
        ConfigurationError: no such job.
    """
    _, settings = prepared(file)

    async def main() -> int:
        request = find(await all_jobs(settings), name, "--watch", file).job.request
        jobs = partial(all_jobs, settings, request.organization)
        return await wait_for(settings, request, jobs, file=file, as_json=as_json)

    return anyio.run(main, backend="asyncio")


async def wait_for(
    settings: KafkaSettings,
    request: BackfillRequest,
    jobs: Callable[[], Awaitable[Sequence[Known]]],
    *,
    file: Path | None,
    as_json: bool,
) -> int:
    """Show a job until it is over, or until Ctrl-C or SIGTERM; those end the watching only.

    Args:
        settings: of Kafka.
        request: the job's.
        jobs: reads the jobs of the organization, once what becomes of them is heard; asks for this one, if it was not
            asked for before.
        file: configuration file, for what is said.
        as_json: print the job as a JSON document at its end.
    """
    shard, ours = shard_of(request.organization, settings.shards), key_of(KIND, request.organization, "")
    async with follow_state(settings, shard, lambda key: key.startswith(ours)) as news:
        known = {one.job.request.job: one for one in await jobs()}
        if (own := known.get(request.job)) is not None and own.job.is_over:
            return _told(own, as_json=as_json)
        there = {name: one.job for name, one in known.items() if one.is_taken or name != request.job}
        with JobBar(request) if sys.stderr.isatty() else JobLines(request) as view:
            standing = Standing(request, there, view, SystemClock().monotonic(), settings.state_topic)
            is_over = await _until_over(standing, news)
    if not is_over:
        say(
            f"te-collector: stopped watching; the job goes on\n"
            f"  watch it again: {hint(file, '--watch', request.job)}\n"
            f"  cancel it:      {hint(file, '--cancel', request.job)}"
        )
        return ExitCode.DONE
    assert standing.job is not None, "a job that is over was seen"
    return _told(Known(standing.job, is_taken=True), as_json=as_json)


def _told(known: Known, *, as_json: bool) -> int:
    """Show a job that is over. Returns whether it was done, as an exit code."""
    if as_json:
        print_json(as_document(known))
    say("\n".join(as_text(*known)))
    return ExitCode.DONE if known.job.state is JobState.DONE else ExitCode.FAILED


async def _until_over(standing: Standing, news: AsyncIterator[News | Silence]) -> bool:
    """Hear what becomes of a job. Returns whether it is over; otherwise a signal came."""
    async with anyio.create_task_group() as tasks:

        async def stop() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(stop)
        while not standing.is_over:
            one = await anext(news)
            now = SystemClock().monotonic()
            if isinstance(one, News):
                standing.heard(one, now)
            else:
                standing.silence(now, is_away=one.is_away)
        tasks.cancel_scope.cancel()
    return standing.is_over


# --- cancelling -----------------------------------------------------------------------------------------------------


def cancel(file: Path | None, name: str, *, as_json: bool) -> int:
    """Cancel a job: what was published stays, and nothing more is asked for.

    Args:
        file: configuration file; None: see `collector.config.load`.
        name: the job's id.
        as_json: print the job as a JSON document, as it is then known.

    Raises:
        ConfigurationError: no such job.
    """
    _, settings = prepared(file)
    try:
        return anyio.run(partial(_cancel, settings, name, file, as_json=as_json), backend="asyncio")
    except KeyboardInterrupt:
        say(f"te-collector: interrupted; whether {name} is cancelled is shown by {hint(file, '--list')}")
        raise


async def _cancel(settings: KafkaSettings, name: str, file: Path | None, *, as_json: bool) -> int:
    known = find(await all_jobs(settings), name, "--cancel", file)
    organization = known.job.request.organization
    if known.job.is_over:
        line = f"{name} is {known.job.state} already"
    else:
        known = await _cancelled(settings, known)
        job = known.job
        if job.state is JobState.CANCELLED:
            line = f"{name} is cancelled; what it published stays ({plural(job.counts.events, 'session')})"
        elif job.is_over:
            line = f"{name} was {job.state} before it could be cancelled"
        else:
            line = (
                f"{name} will be cancelled by the worker that collects {organization}; none has answered within "
                f"{CANCEL_WAIT_S:g} s. {hint(file, '--list')} shows all jobs"
            )
    if as_json:
        print_json(as_document(known))
    say(f"te-collector: {line}")
    return ExitCode.DONE


async def _cancelled(settings: KafkaSettings, known: Known) -> Known:
    """Ask for the end of a job. Returns the job as its worker answers, or as it was when none does in time."""
    request = known.job.request
    shard = shard_of(request.organization, settings.shards)
    async with follow_state(settings, shard, lambda key: key == request.key) as news:
        await write_letters(settings, shard, {key_of(CANCEL_KIND, request.organization, request.job): b"{}"})
        with anyio.move_on_after(CANCEL_WAIT_S):
            while not known.job.is_over:
                one = await anext(news)
                if isinstance(one, News) and one.value is not None:
                    known = Known(read_job(settings.state_topic, one.key, one.value), is_taken=True)
    return known
