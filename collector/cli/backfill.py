"""`te-collector backfill`: asks the collector for a range while it runs, shows what became of it, and cancels.

One rule: it writes letters and reads topics, nothing else. The worker that owns the organization does the work, now or
when there is one; so ending this command ends no job.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import orjson
from pydantic_core import PydanticCustomError

from collector.cli.backfill_view import JobView, as_text
from collector.cli.outcome import ExitCode, say
from collector.clock import SystemClock
from collector.composition import kafka_settings
from collector.config import Config, OrganizationSection, load_config
from collector.config.durations import format_duration, parse_duration
from collector.core.backfill import CANCEL_KIND, KIND, BackfillJob, BackfillRequest, JobState, key_of, parts_of
from collector.core.backfill_jobs import BackfillJobs
from collector.core.event import rfc3339, source_of
from collector.errors import ConfigurationError, StartRefused, TooManyEvents
from collector.kafka.logs import limit_client_logs
from collector.kafka.mailbox import all_letters, write_letters
from collector.kafka.published import published_ids
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import follow_state, read_state
from collector.kafka.topics import ensure_topics
from collector.service.assembly import shard_of
from collector.telemetry.logs import configure_logs

PAGE_ROWS = 1_000
"""Rows of a full page, for the estimate; the API's own number."""

SLICE_MAX_S = 43_200
"""The longest window that one walk asks for."""

WAITING_TELL_S = 15.0
"""When nobody took a request so soon, whoever waits is told why that may be."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line.

    Args:
        organization: its name.
        account_groups: aids; empty: all.
        start: time, or how long ago, as text.
        end: the same; None: now.
        quota_share: over 0, below 1.
    """

    organization: str | None
    account_groups: tuple[str, ...]
    start: str | None
    end: str | None
    quota_share: float


def ask(file: Path | None, wanted: Wanted, *, dry_run: bool, wait: bool | None) -> int:
    """Ask for a range.

    Args:
        file: configuration file; None: see `collector.config.load`.
        wanted: see there.
        dry_run: say what would be asked, and ask nothing.
        wait: until the job is over; None: on a terminal.

    Raises:
        ConfigurationError: the configuration or what is wanted is wrong.
        StartRefused: the topics would not keep what is written.
        KafkaUnreachable: no broker answered.
    """
    config, settings = _prepared(file)
    request = request_of(config, wanted, SystemClock().wall())
    return anyio.run(partial(_ask, config, settings, request, dry_run=dry_run, wait=wait), backend="asyncio")


def request_of(config: Config, wanted: Wanted, now: float) -> BackfillRequest:
    """The request that the command line means.

    Raises:
        ConfigurationError: it cannot be fulfilled; says why, and what could be.
    """
    section = _section(config, wanted.organization)
    unknown = set(wanted.account_groups) - set(section.account_groups or wanted.account_groups)
    if unknown:
        raise ConfigurationError(
            f"--account-group: {section.name} has no account group {', '.join(sorted(unknown))}; configured are "
            f"{', '.join(section.account_groups or ())}"
        )
    if wanted.start is None:
        raise ConfigurationError("--from: from when on? A time such as 2026-11-01T00:00:00Z, or how long ago, as 3d")
    start, end = parse_time("--from", wanted.start, now), parse_time("--to", wanted.end or "0s", now)
    if end > now:
        raise ConfigurationError(f"--to: {rfc3339(end)} lies in the future; it is {rfc3339(now)}")
    if start >= end:
        raise ConfigurationError(f"--from: {rfc3339(start)} is not before --to, {rfc3339(end)}")
    oldest = now - config.api_retention.total_seconds()
    if start < oldest:
        raise ConfigurationError(
            f"--from: {rfc3339(start)} is older than what ThousandEyes keeps ({format_duration(config.api_retention)}, "
            f"api_retention): ask from {rfc3339(oldest + 60)} on, or correct api_retention if it keeps more"
        )
    if not 0.0 < wanted.quota_share <= 0.9:
        raise ConfigurationError(f"--quota-share: expected a number over 0, at most 0.9, found {wanted.quota_share:g}")
    job = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    groups = tuple(dict.fromkeys(wanted.account_groups)) or None
    return BackfillRequest(job, section.name, int(start), int(end), groups, wanted.quota_share, now)


def parse_time(option: str, text: str, now: float) -> float:
    """A time on the command line: RFC 3339, a date (UTC), or how long ago; seconds since 1970.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return now - _duration(text).total_seconds()
    except PydanticCustomError:
        raise ConfigurationError(
            f"{option}: expected a time such as 2026-11-01T06:00:00Z or 2026-11-01, or how long ago, such as 3d or 6h, "
            f"found {text!r}"
        ) from None


def cancel(file: Path | None, job: str) -> int:
    """Cancel a job: what was published stays, and nothing more is asked for.

    Raises:
        ConfigurationError: no such job.
    """
    _, settings = _prepared(file)

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
    _, settings = _prepared(file)
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


# --- inside ---------------------------------------------------------------------------------------------------------


def _prepared(file: Path | None) -> tuple[Config, KafkaSettings]:
    config = load_config(file, organizations_required=False)
    configure_logs("error", config.log_format)
    limit_client_logs()
    return config, kafka_settings(config.kafka)


def _section(config: Config, name: str | None) -> OrganizationSection:
    names = [section.name for section in config.organizations]
    if name is None and len(names) == 1:
        return config.organizations[0]
    if name not in names:
        asked = "which one?" if name is None else f"{name!r} is not configured;"
        raise ConfigurationError(f"--organization: {asked} configured are {', '.join(names) or 'none'}")
    return config.organizations[names.index(name)]


def _duration(text: str) -> timedelta:
    return parse_duration(text)


async def _ask(
    config: Config, settings: KafkaSettings, request: BackfillRequest, *, dry_run: bool, wait: bool | None
) -> int:
    if config.events.record_timestamp == "session":  # else retention counts from the collection on
        await ensure_topics(settings, oldest_record_s=request.requested_at - request.start)
    if dry_run:
        return await _estimate(config, settings, request)
    shard = shard_of(request.organization, settings.shards)
    if not (sys.stderr.isatty() if wait is None else wait):
        await write_letters(settings, shard, {request.key: request.to_bytes()})
        sys.stdout.write(f"{request.job}\n")
        say("te-collector: asked for; te-collector backfill --list shows how far it is")
        return ExitCode.DONE
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


async def _estimate(config: Config, settings: KafkaSettings, request: BackfillRequest) -> int:
    """What would be asked: what is known without asking anything of the API."""
    section = _section(config, request.organization)
    aids: Sequence[str] = request.account_groups or section.account_groups or await _known_groups(settings, request)
    span_s = request.end - request.start
    print(
        f"{request.organization}: {rfc3339(request.start)} to {rfc3339(request.end)}, "
        f"{format_duration(timedelta(seconds=span_s))}; {len(aids)} account groups are known"
    )
    walks, total = -(-span_s // SLICE_MAX_S), 0
    by_page = config.events.identity == "session-page"
    for aid in aids:
        source = source_of(request.organization, aid)
        try:
            count = len(await published_ids(settings, source, request.start, request.end, by_page))
            known = f"{count} events"
        except TooManyEvents as error:
            count, known = 0, str(error)
        requests = max(walks, -(-count // PAGE_ROWS))
        total += requests
        print(f"  {aid}: {known} in the topic, at least {requests} requests")
    print(
        f"At least {total} requests; what is missing is known once it is asked for. Nothing was asked, nothing written."
    )
    return ExitCode.DONE


async def _known_groups(settings: KafkaSettings, request: BackfillRequest) -> list[str]:
    begin = f"progress/{quote(request.organization, safe='')}/"
    return sorted(key.removeprefix(begin) for key in await read_state(settings, lambda key: key.startswith(begin)))


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
