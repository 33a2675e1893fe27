"""What became of backfill jobs: waits for one and shows it, lists all, cancels one.

One rule: it reads topics, and writes letters. The worker that owns the organization does the work, now or when there is
one; so ending this command ends no job.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import orjson

from collector.cli.backfill_view import JobView, as_text
from collector.cli.outcome import ExitCode, say
from collector.clock import SystemClock
from collector.composition import kafka_settings
from collector.config import Config, load_config
from collector.core.backfill import CANCEL_KIND, KIND, BackfillJob, BackfillRequest, JobState, key_of, parts_of
from collector.core.backfill_jobs import BackfillJobs
from collector.core.event import rfc3339
from collector.errors import ConfigurationError, StartRefused
from collector.kafka.logs import limit_client_logs
from collector.kafka.mailbox import all_letters, write_letters
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import follow_state, read_state
from collector.service.assembly import shard_of
from collector.telemetry.logs import configure_logs

WAITING_TELL_S = 15.0
"""When nobody took a request so soon, whoever waits is told why that may be."""


def prepared(file: Path | None) -> tuple[Config, KafkaSettings]:
    """The configuration, and what of it concerns Kafka; the clients' own logs are kept quiet."""
    config = load_config(file, organizations_required=False)
    configure_logs("error", config.log_format)
    limit_client_logs()
    return config, kafka_settings(config.kafka)


async def ask_and_wait(settings: KafkaSettings, shard: int, request: BackfillRequest) -> int:
    """Ask for a job, and show how far it is until it is over."""
    async with follow_state(settings, shard, request.key) as values:
        await write_letters(settings, shard, {request.key: request.to_bytes()})
        sys.stdout.write(f"{request.job}\n")
        sys.stdout.flush()
        say("te-collector: asked for; Ctrl-C stops watching, not the job")
        started, told, job = SystemClock().monotonic(), False, None
        with JobView(request) as view:
            async for value in values:
                if value is not None:
                    job = BackfillJob.parse(value)
                    view.show(job)
                    if job.is_over:
                        break
                elif job is None and not told and SystemClock().monotonic() - started > WAITING_TELL_S:
                    told = True
                    view.say(
                        f"nobody took it yet: does a collector run that collects {request.organization}, with this "
                        f"configuration? The request waits seven days for one"
                    )
    assert job is not None, "a job that is over was seen"
    say("\n".join(as_text(job)))
    return ExitCode.DONE if job.state is JobState.DONE else ExitCode.FAILED


def cancel(file: Path | None, job: str) -> int:
    """Cancel a job: what was published stays, and nothing more is asked for.

    Raises:
        ConfigurationError: no such job.
    """
    _, settings = prepared(file)

    async def main() -> None:
        known = {found.request.job: found for found in await _jobs(settings)}
        if job not in known:
            raise ConfigurationError(f"--cancel: there is no job {job}; te-collector backfill --list shows all")
        if known[job].is_over:
            say(f"te-collector: {job} is {known[job].state} already")
            return
        organization = known[job].request.organization
        letter = {key_of(CANCEL_KIND, organization, job): b"{}"}
        await write_letters(settings, shard_of(organization, settings.shards), letter)
        say(f"te-collector: {job} will be cancelled by the worker that collects {organization}")

    anyio.run(main, backend="asyncio")
    return ExitCode.DONE


def print_jobs(file: Path | None, organization: str | None, *, as_json: bool) -> int:
    """Print all jobs, those that nobody took yet included."""
    _, settings = prepared(file)
    jobs = anyio.run(_jobs, settings, backend="asyncio")
    jobs = [job for job in jobs if organization in (None, job.request.organization)]
    if as_json:
        document = {"jobs": [as_document(job) for job in jobs]}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    else:
        lines = [line for job in jobs for line in as_text(job)] or ["No backfill was asked for."]
        sys.stdout.write("\n".join(lines) + "\n")
    return ExitCode.DONE


def as_document(job: BackfillJob) -> dict[str, Any]:
    """A job as JSON-ready data; times are RFC 3339."""
    request = job.request
    return {
        "job": request.job,
        "organization": request.organization,
        "from": rfc3339(request.start),
        "to": rfc3339(request.end),
        "account_groups": [one.aid for one in job.positions] or request.account_groups,
        "quota_share": request.quota_share,
        "requested_at": rfc3339(request.requested_at),
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


async def _jobs(settings: KafkaSettings) -> list[BackfillJob]:
    """All jobs, oldest first; requests that nobody took yet are jobs that wait."""
    state = await read_state(settings, lambda key: key.startswith(f"{KIND}/"))
    try:
        jobs = {key: BackfillJob.parse(value) for key, value in state.items()}
    except ValueError as error:
        raise StartRefused(f"{settings.state_topic} holds a job that this version cannot read ({error})") from error
    letters = await all_letters(settings)
    for organization in {parts[1] for letter in letters if (parts := parts_of(letter.key)) is not None}:
        taken = BackfillJobs(organization)
        taken.restore(state)
        for change in taken.heed(letters, SystemClock().wall()):
            if change.job is not None:
                jobs[change.key] = change.job
    return sorted(jobs.values(), key=lambda job: (job.request.requested_at, job.request.job))
