"""`te-collector backfill`: asks the collector for a range, while it runs or before it does.

One rule: whatever is wrong with a wish is said before anything is asked, with what would be right. What is asked for
is a letter to the worker that owns the organization; `collector.cli.backfill_watch` shows what becomes of it.
"""

from __future__ import annotations

import math
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

import anyio
from pydantic_core import PydanticCustomError

from collector.cli.backfill_estimate import print_estimate
from collector.cli.backfill_jobs import Known, as_document, hint, jobs_of, not_configured
from collector.cli.backfill_watch import wait_for
from collector.cli.brokers_only import prepared, print_json
from collector.cli.outcome import ExitCode, say
from collector.cli.wording import listed, time_text
from collector.clock import SystemClock
from collector.config import Config, OrganizationSection
from collector.config.durations import format_duration, parse_duration
from collector.config.problems import suggestion
from collector.core.backfill import KIND, BackfillJob, BackfillRequest, key_of
from collector.errors import ConfigurationError
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.mailbox import write_letters
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import read_state
from collector.kafka.topics import ensure_topics
from collector.service.assembly import shard_of

HOUR_S = 3_600


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


@dataclass(frozen=True, slots=True)
class How:
    """What is done with a wish.

    Args:
        dry_run: say what would be asked, and ask nothing.
        wait: until the job is over; None: on a terminal.
        as_json: results as a JSON document.
    """

    dry_run: bool = False
    wait: bool | None = None
    as_json: bool = False


def ask(file: Path | None, wanted: Wanted, how: How) -> int:
    """Ask for a range.

    Args:
        file: configuration file; None: see `collector.config.load`.
        wanted: see there.
        how: see there.

    Raises:
        ConfigurationError: the configuration or what is wanted is wrong.
        StartRefused: the topics would not keep what is written.
        KafkaUnreachable: no broker answered.
    """
    config, settings = prepared(file)
    request = request_of(config, wanted, SystemClock().wall())
    try:
        return anyio.run(partial(_ask, config, settings, request, file, how), backend="asyncio")
    except KeyboardInterrupt:
        if not how.dry_run:
            say(f"te-collector: interrupted; whether {request.job} was asked for is shown by {hint(file, '--list')}")
        raise


def request_of(config: Config, wanted: Wanted, now: float) -> BackfillRequest:
    """The request that the command line means.

    Raises:
        ConfigurationError: it cannot be fulfilled; says why, and what could be.
    """
    section = _section(config, wanted.organization)
    if section.account_groups is not None:
        check_account_groups(section.name, wanted.account_groups, section.account_groups, "Configured")
    if wanted.start is None:
        raise ConfigurationError("--from: from when on? A time such as 2026-11-01T00:00:00Z, or how long ago, as 3d")
    start, end = parse_time("--from", wanted.start, now), parse_time("--to", wanted.end or "0s", now)
    for option, time_s in (("--from", start), ("--to", end)):
        if time_s > now:
            raise ConfigurationError(f"{option}: {time_text(time_s)} lies in the future; it is {time_text(now)}")
    if int(start) >= int(end):
        raise ConfigurationError(f"--from: {time_text(start)} is not before --to, {time_text(end)}")
    oldest = now - config.api_retention.total_seconds()
    if start < oldest:
        could_be = math.ceil(oldest / HOUR_S) * HOUR_S  # a whole hour: still right when it is typed
        raise ConfigurationError(
            f"--from: {time_text(start)} is older than what ThousandEyes keeps "
            f"({format_duration(config.api_retention)}, api_retention): ask from {time_text(could_be)} on, or correct "
            f"api_retention if it keeps more"
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
        return now - parse_duration(text).total_seconds()
    except PydanticCustomError:
        raise ConfigurationError(
            f"{option}: expected a time such as 2026-11-01T06:00:00Z or 2026-11-01, or how long ago, such as 3d or 6h, "
            f"found {text!r}"
        ) from None


def check_account_groups(organization: str, wanted: Sequence[str], there: Sequence[str], what: str) -> None:
    """Refuse account groups that are not there.

    Args:
        organization: its name.
        wanted: aids.
        there: aids that would be right; empty: nobody knows.
        what: what those are, in a word.

    Raises:
        ConfigurationError: one is not there; the nearest one is named.
    """
    missing = [aid for aid in wanted if aid not in there] if there else []
    if missing:
        raise ConfigurationError(
            f"--account-group: {organization} has no account group {', '.join(missing)}"
            f"{suggestion(missing[0], there) or '.'} {what}: {listed(there)}"
        )


def overlaps(request: BackfillRequest, known: Sequence[Known], file: Path | None) -> list[str]:
    """What to say about jobs that are not over and have a part of the range.

    Raises:
        ConfigurationError: one of them has all of it.
    """
    lines = []
    for job in (one.job for one in known if not one.job.is_over):
        other = job.request
        if not _shares_groups(request, job) or request.start >= other.end or other.start >= request.end:
            continue
        if other.start <= request.start and request.end <= other.end and _has_groups(request, job):
            raise ConfigurationError(
                f"{other.job}, which is {job.state.value}, has all of this range already: "
                f"{hint(file, '--watch', other.job)} shows how far it is"
            )
        lines.append(
            f"{other.job}, which is {job.state.value}, has a part of this range too: that part is fetched twice, and "
            f"each session published once"
        )
    return lines


# --- inside ---------------------------------------------------------------------------------------------------------


def _section(config: Config, name: str | None) -> OrganizationSection:
    names = [section.name for section in config.organizations]
    if name is None and len(names) == 1:
        return config.organizations[0]
    if name is None:
        raise ConfigurationError(f"--organization: which one? Configured: {listed(names) or 'none'}")
    if name not in names:
        raise ConfigurationError(not_configured(name, names))
    return config.organizations[names.index(name)]


def _shares_groups(request: BackfillRequest, job: BackfillJob) -> bool:
    ours, theirs = request.account_groups, job.request.account_groups
    return ours is None or theirs is None or not set(ours).isdisjoint(theirs)


def _has_groups(request: BackfillRequest, job: BackfillJob) -> bool:
    ours, theirs = request.account_groups, job.request.account_groups
    return theirs is None or (ours is not None and set(ours) <= set(theirs))


async def _ask(config: Config, settings: KafkaSettings, request: BackfillRequest, file: Path | None, how: How) -> int:
    by_session = config.events.record_timestamp == "session"  # else retention counts from the collection on
    oldest_s = request.requested_at - request.start if by_session else None
    if not how.dry_run:
        await ensure_topics(settings, oldest_record_s=oldest_s)
    there, known = await _collected_and_asked(settings, request)
    section = _section(config, request.organization)
    if section.account_groups is None:
        check_account_groups(section.name, request.account_groups or (), there, "Collected")
    for line in overlaps(request, known, file):
        say(f"te-collector: {line}")
    if how.dry_run:  # it creates no topic either
        await ensure_topics(replace(settings, create_topics=False), oldest_record_s=oldest_s)
        aids = request.account_groups or section.account_groups or there
        await print_estimate(config, settings, request, aids, as_json=how.as_json)
        return ExitCode.DONE
    if sys.stderr.isatty() if how.wait is None else how.wait:
        write = partial(_write, settings, request, shows_id=not how.as_json)
        return await wait_for(settings, request, file=file, as_json=how.as_json, ask=write)
    await _write(settings, request, shows_id=not how.as_json)
    if how.as_json:
        job = BackfillJob(request, request.requested_at, request.requested_at)
        print_json(as_document(Known(job, is_taken=False)))
    say(f"te-collector: asked for; {hint(file, '--watch', request.job)} shows how far it is")
    return ExitCode.DONE


async def _write(settings: KafkaSettings, request: BackfillRequest, *, shows_id: bool) -> None:
    letter = {request.key: request.to_bytes()}
    try:
        await write_letters(settings, shard_of(request.organization, settings.shards), letter)
    except KafkaUnreachable as error:
        raise KafkaUnreachable(f"{error}, unless --list shows {request.job}") from error
    if shows_id:
        sys.stdout.write(f"{request.job}\n")
        sys.stdout.flush()


async def _collected_and_asked(settings: KafkaSettings, request: BackfillRequest) -> tuple[list[str], list[Known]]:
    """The account groups of the organization that were ever collected, and its jobs: one reading of its state."""
    groups = f"progress/{quote(request.organization, safe='')}/"
    wanted = (groups, key_of(KIND, request.organization, ""))
    shard = shard_of(request.organization, settings.shards)
    state = await read_state(settings, lambda key: key.startswith(wanted), shard=shard)
    there = sorted(key.removeprefix(groups) for key in state if key.startswith(groups))
    return there, await jobs_of(settings, state, request.organization)
