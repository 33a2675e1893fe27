"""`te-collector backfill`: asks the collector for a range, while it runs or before it does.

One rule: whatever is wrong with a wish is said before anything is asked. What is asked for is a letter to the worker
that owns the organization; `collector.cli.backfill_watch` shows what becomes of it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import anyio
from pydantic_core import PydanticCustomError

from collector.cli.backfill_watch import ask_and_wait, prepared
from collector.cli.outcome import ExitCode, say
from collector.clock import SystemClock
from collector.config import Config, OrganizationSection
from collector.config.durations import format_duration, parse_duration
from collector.core.backfill import BackfillRequest
from collector.core.event import rfc3339, source_of
from collector.errors import ConfigurationError, TooManyEvents
from collector.kafka.mailbox import write_letters
from collector.kafka.published import published_ids
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import read_state
from collector.kafka.topics import ensure_topics
from collector.service.assembly import shard_of

PAGE_ROWS = 1_000
"""Rows of a full page, for the estimate; the API's own number."""

SLICE_MAX_S = 43_200
"""The longest window that one walk asks for."""


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
    config, settings = prepared(file)
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


# --- inside ---------------------------------------------------------------------------------------------------------


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
    return await ask_and_wait(settings, shard, request)


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
