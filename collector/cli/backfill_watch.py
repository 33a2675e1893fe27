"""What became of backfill jobs: waits for one and shows it, lists all, cancels one.

One rule: it reads topics, and writes nothing but the wish to cancel a job. The worker that owns the organization does
the work, now or when there is one; so ending this command ends no job.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import orjson

from collector.cli.backfill_standing import Standing
from collector.cli.backfill_view import JobBar, JobLines, as_text, listed, plural
from collector.cli.outcome import ExitCode, say
from collector.clock import SystemClock
from collector.composition import kafka_settings
from collector.config import Config, load_config
from collector.config.problems import suggestion
from collector.core.backfill import CANCEL_KIND, KIND, BackfillJob, BackfillRequest, JobState, key_of, parts_of
from collector.core.backfill_jobs import BackfillJobs
from collector.core.event import rfc3339
from collector.errors import ConfigurationError, StartRefused
from collector.kafka.logs import limit_client_logs
from collector.kafka.mailbox import all_letters, write_letters
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import News, Silence, follow_state, read_state
from collector.service.assembly import shard_of
from collector.telemetry.logs import configure_logs

CANCEL_WAIT_S = 10.0
"""A worker looks for letters every three seconds; after this it is said that none has heeded the wish yet."""


class Known(NamedTuple):
    """A job, and whether a worker has taken it; a request that none took yet is a job that waits."""

    job: BackfillJob
    is_taken: bool


def prepared(file: Path | None) -> tuple[Config, KafkaSettings]:
    """The configuration, and what of it concerns Kafka; the clients' own logs are kept quiet.

    Raises:
        ConfigurationError: it is wrong.
    """
    config = load_config(file, organizations_required=False)
    configure_logs("error", config.log_format)
    limit_client_logs()
    return config, kafka_settings(config.kafka)


def hint(file: Path | None, *words: str) -> str:
    """A command line that a person may type next, with the configuration that this one was started with."""
    given = [] if file is None else ["--config", str(file)]
    return shlex.join(["te-collector", "backfill", *given, *words])


# --- waiting --------------------------------------------------------------------------------------------------------


def watch_job(file: Path | None, name: str, *, as_json: bool) -> int:
    """Wait for a job that was asked for before, and show how far it is.

    Raises:
        ConfigurationError: no such job.
    """
    _, settings = prepared(file)

    async def main() -> int:
        request = _find(await all_jobs(settings), name, "--watch", file).request
        return await wait_for(settings, request, file=file, as_json=as_json)

    return anyio.run(main, backend="asyncio")


async def wait_for(
    settings: KafkaSettings,
    request: BackfillRequest,
    *,
    file: Path | None,
    as_json: bool,
    ask: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Show a job until it is over, or until Ctrl-C or SIGTERM; those end the watching only.

    Args:
        settings: of Kafka.
        request: the job's.
        file: configuration file, for what is said.
        as_json: print the job as a JSON document at its end.
        ask: asks for the job; None: that was done before.
    """
    shard, ours = shard_of(request.organization, settings.shards), key_of(KIND, request.organization, "")
    async with follow_state(settings, shard, lambda key: key.startswith(ours)) as news:
        known = await all_jobs(settings, request.organization)
        if ask is not None:
            await ask()
        jobs = {one.job.request.job: one.job for one in known if one.is_taken or one.job.request.job != request.job}
        with JobBar(request) if sys.stderr.isatty() else JobLines(request) as view:
            standing = Standing(request, jobs, view, SystemClock().monotonic())
            is_over = await _until_over(standing, news)
    if not is_over:
        say(
            f"te-collector: stopped watching; the job goes on\n"
            f"  watch it again: {hint(file, '--watch', request.job)}\n"
            f"  cancel it:      {hint(file, '--cancel', request.job)}"
        )
        return ExitCode.DONE
    assert standing.job is not None, "a job that is over was seen"
    if as_json:
        print_json(as_document(Known(standing.job, is_taken=True)))
    say("\n".join(as_text(standing.job)))
    return ExitCode.DONE if standing.job.state is JobState.DONE else ExitCode.FAILED


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


def cancel(file: Path | None, name: str) -> int:
    """Cancel a job: what was published stays, and nothing more is asked for.

    Raises:
        ConfigurationError: no such job.
    """
    _, settings = prepared(file)

    async def main() -> int:
        job = _find(await all_jobs(settings), name, "--cancel", file)
        if job.is_over:
            say(f"te-collector: {name} is {job.state} already")
            return ExitCode.DONE
        organization = job.request.organization
        shard, key = shard_of(organization, settings.shards), job.request.key
        async with follow_state(settings, shard, lambda one: one == key) as news:
            await write_letters(settings, shard, {key_of(CANCEL_KIND, organization, name): b"{}"})
            with anyio.move_on_after(CANCEL_WAIT_S):
                while not job.is_over:
                    one = await anext(news)
                    if isinstance(one, News) and one.value is not None:
                        job = BackfillJob.parse(one.value)
        if job.state is JobState.CANCELLED:
            say(f"te-collector: {name} is cancelled; what it published stays ({plural(job.counts.events, 'session')})")
        elif job.is_over:
            say(f"te-collector: {name} was {job.state} before it could be cancelled")
        else:
            say(
                f"te-collector: {name} will be cancelled by the worker that collects {organization}; none has answered "
                f"within {CANCEL_WAIT_S:g} s. {hint(file, '--list')} shows all jobs"
            )
        return ExitCode.DONE

    return anyio.run(main, backend="asyncio")


# --- listing --------------------------------------------------------------------------------------------------------


def print_jobs(file: Path | None, organization: str | None, *, as_json: bool) -> int:
    """Print all jobs, or those of an organization; those that nobody took yet included.

    Raises:
        ConfigurationError: the organization has none, and is not configured.
    """
    config, settings = prepared(file)
    known = anyio.run(all_jobs, settings, organization, backend="asyncio")
    names = [section.name for section in config.organizations]
    if organization is not None and not known and organization not in names:
        raise ConfigurationError(not_configured(organization, names) + "; it has no jobs either")
    if as_json:
        print_json({"jobs": [as_document(one) for one in known]})
        return ExitCode.DONE
    lines = [line for one in known for line in as_text(one.job, is_taken=one.is_taken)]
    sys.stdout.write("\n".join(lines or ["No backfill was asked for."]) + "\n")
    return ExitCode.DONE


def as_document(known: Known) -> dict[str, Any]:
    """A job as JSON-ready data; times are RFC 3339."""
    job, request = known.job, known.job.request
    return {
        "job": request.job,
        "organization": request.organization,
        "from": rfc3339(request.start),
        "to": rfc3339(request.end),
        "account_groups": [one.aid for one in job.positions] or request.account_groups,
        "quota_share": request.quota_share,
        "requested_at": rfc3339(request.requested_at),
        "taken": known.is_taken,
        "state": job.state.value,
        "reason": job.reason,
        "changed_at": rfc3339(job.changed_at),
        "share_done": round(job.share_done, 4),
        "walked_until": {one.aid: rfc3339(one.until) for one in job.positions},
        "pages": job.counts.pages,
        "events": job.counts.events,
        "seen": job.counts.seen,
        "dead_letters": job.counts.dead_letters,
        "unreadable": [{"aid": one.aid, "from": rfc3339(one.start), "to": rfc3339(one.end)} for one in job.skipped],
        "unreadable_total": job.skipped_total,
    }


def print_json(document: dict[str, Any]) -> None:
    """Write a document to standard output."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


async def all_jobs(settings: KafkaSettings, organization: str | None = None) -> list[Known]:
    """The jobs of all organizations or of one, oldest first; requests that nobody took yet are jobs that wait.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: there is no state topic, or it holds a job that this version cannot read.
    """
    shard = None if organization is None else shard_of(organization, settings.shards)
    begin = f"{KIND}/" if organization is None else key_of(KIND, organization, "")
    state = await read_state(settings, lambda key: key.startswith(begin), shard=shard)
    try:
        jobs = {key: Known(BackfillJob.parse(value), is_taken=True) for key, value in state.items()}
    except ValueError as error:
        raise StartRefused(f"{settings.state_topic} holds a job that this version cannot read ({error})") from error
    letters = await all_letters(settings, shard=shard)
    named = {parts[1] for letter in letters if (parts := parts_of(letter.key)) is not None}
    for name in named if organization is None else named & {organization}:
        taken = BackfillJobs(name)
        taken.restore(state)
        for change in taken.heed(letters, SystemClock().wall()):
            if change.job is not None:
                jobs[change.key] = Known(change.job, is_taken=change.key in jobs)
    return sorted(jobs.values(), key=lambda one: (one.job.request.requested_at, one.job.request.job))


def not_configured(name: str, names: Sequence[str]) -> str:
    """What to say about an organization that is not configured: the nearest one, and which are."""
    near = suggestion(name, names) or "."
    return f"--organization: {name!r} is not configured{near} Configured: {listed(names) or 'none'}"


def _find(known: Sequence[Known], name: str, option: str, file: Path | None) -> BackfillJob:
    found = {one.job.request.job: one.job for one in known}
    if name not in found:
        near = suggestion(name, found) or "."
        raise ConfigurationError(f"{option}: there is no job {name}{near} All jobs: {hint(file, '--list')}")
    return found[name]
