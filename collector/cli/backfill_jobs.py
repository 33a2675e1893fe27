"""Backfill jobs as the topics tell them: all of them, one by its id, as a document.

One rule: it only reads, and a job that it cannot read is said, not passed over. A request that no worker took yet is a
job that waits; one that this version cannot read is none, because no worker of this version will take it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from collector.cli.backfill_view import as_text
from collector.cli.brokers_only import prepared, print_json, unreadable
from collector.cli.outcome import ExitCode
from collector.cli.wording import listed
from collector.clock import SystemClock
from collector.config.problems import suggestion
from collector.core.backfill import KIND, BackfillJob, key_of, parts_of
from collector.core.backfill_jobs import BackfillJobs
from collector.core.event import rfc3339
from collector.errors import ConfigurationError
from collector.kafka.mailbox import all_letters
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import read_state
from collector.service.assembly import shard_of


class Known(NamedTuple):
    """A job, whether a worker has taken it, and whether one has heeded the wish to cancel it, if there is one.

    A request that none took yet is a job that waits; one that is to be cancelled is cancelled.
    """

    job: BackfillJob
    is_taken: bool
    is_heeded: bool = True


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
    lines = [line for one in known for line in as_text(*one)]
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
        "heeded": known.is_heeded,
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


async def all_jobs(settings: KafkaSettings, organization: str | None = None) -> list[Known]:
    """The jobs of all organizations or of one, oldest first; requests that nobody took yet are jobs that wait.

    Raises:
        KafkaUnreachable: no broker answered in time, or none any more.
        StartRefused: there is no state topic, it has another number of shards than is configured, or it holds a job
            that this version cannot read.
    """
    shard = None if organization is None else shard_of(organization, settings.shards)
    begin = f"{KIND}/" if organization is None else key_of(KIND, organization, "")
    state = await read_state(settings, lambda key: key.startswith(begin), shard=shard)
    return await jobs_of(settings, state, organization)


async def jobs_of(settings: KafkaSettings, state: Mapping[str, bytes], organization: str | None) -> list[Known]:
    """The jobs, with those of requests that nobody took yet; for a state that was read already.

    Args:
        settings: see there.
        state: the jobs in it, of all organizations or of the one; other keys are passed over.
        organization: whose; None: of all.

    Raises:
        KafkaUnreachable, StartRefused: see `all_jobs`.
    """
    begin = f"{KIND}/"
    taken_ones = {key: value for key, value in state.items() if key.startswith(begin)}
    jobs = {key: Known(read_job(settings.state_topic, key, value), is_taken=True) for key, value in taken_ones.items()}
    shard = None if organization is None else shard_of(organization, settings.shards)
    letters = await all_letters(settings, shard=shard)
    named = {parts[1] for letter in letters if (parts := parts_of(letter.key)) is not None}
    for name in named if organization is None else named & {organization}:
        taken = BackfillJobs(name)
        taken.restore(taken_ones)
        for change in taken.heed(letters, SystemClock().wall()):
            if change.job is not None:
                jobs[change.key] = Known(change.job, change.key in jobs, is_heeded=not change.job.is_over)
    return sorted(jobs.values(), key=lambda one: (one.job.request.requested_at, one.job.request.job))


def read_job(topic: str, key: str, value: bytes) -> BackfillJob:
    """A job as the state has it.

    Args:
        topic: the state topic, for what is said.
        key: of its record, for the same.
        value: of its record.

    Raises:
        StartRefused: it is none that this version can read.
    """
    try:
        return BackfillJob.parse(value)
    except ValueError as error:
        raise unreadable(topic, key, error) from error


def find(known: Sequence[Known], name: str, option: str, file: Path | None) -> Known:
    """The job of this id.

    Raises:
        ConfigurationError: there is none; the nearest one is named.
    """
    found = {one.job.request.job: one for one in known}
    if name not in found:
        near = suggestion(name, found) or "."
        raise ConfigurationError(f"{option}: there is no job {name!r}{near} All jobs: {hint(file, '--list')}")
    return found[name]


def hint(file: Path | None, *words: str) -> str:
    """A command line that a person may type next, with the configuration that this one was started with."""
    given = [] if file is None else ["--config", str(file)]
    return shlex.join(["te-collector", "backfill", *given, *words])


def not_configured(name: str, names: Sequence[str]) -> str:
    """What to say about an organization that is not configured: the nearest one, and which are."""
    near = suggestion(name, names) or "."
    return f"--organization: {name!r} is not configured{near} Configured: {listed(names) or 'none'}"
