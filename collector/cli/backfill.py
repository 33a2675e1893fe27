"""`te-collector backfill`: asks the collector for a range, while it runs or before it does.

One rule: a wish (`collector.cli.backfill_wish`) is held against the topics before anything is asked. What is asked for
is a letter to the worker that owns the organization; `collector.cli.backfill_watch` shows what becomes of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import anyio

from collector.cli.backfill_estimate import print_estimate
from collector.cli.backfill_jobs import Known, as_document, hint, jobs_of
from collector.cli.backfill_watch import wait_for
from collector.cli.backfill_wish import Wanted, check_account_groups, overlaps, request_of, section_of
from collector.cli.brokers_only import prepared, print_json
from collector.cli.outcome import ExitCode, say
from collector.clock import SystemClock
from collector.config import Config
from collector.core.backfill import KIND, BackfillJob, BackfillRequest, key_of
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.mailbox import write_letters
from collector.kafka.settings import KafkaSettings
from collector.kafka.state import read_state
from collector.kafka.topics import ensure_topics
from collector.service.assembly import shard_of


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


# --- inside ---------------------------------------------------------------------------------------------------------


async def _ask(config: Config, settings: KafkaSettings, request: BackfillRequest, file: Path | None, how: How) -> int:
    by_session = config.events.record_timestamp == "session"  # else retention counts from the collection on
    oldest_s = request.requested_at - request.start if by_session else None
    if not how.dry_run:
        await ensure_topics(settings, oldest_record_s=oldest_s)
    if how.dry_run:
        there, _ = await _checked(config, settings, request, file)
        await ensure_topics(replace(settings, create_topics=False), oldest_record_s=oldest_s)  # it creates none either
        aids = request.account_groups or section_of(config, request.organization).account_groups or there
        await print_estimate(config, settings, request, aids, as_json=how.as_json)
        return ExitCode.DONE

    async def asked() -> list[Known]:
        _, known = await _checked(config, settings, request, file)
        await _write(settings, request, shows_id=not how.as_json)
        return known

    if sys.stderr.isatty() if how.wait is None else how.wait:
        return await wait_for(settings, request, asked, file=file, as_json=how.as_json)
    await asked()
    if how.as_json:
        job = BackfillJob(request, request.requested_at, request.requested_at)
        print_json(as_document(Known(job, is_taken=False)))
    say(f"te-collector: asked for; {hint(file, '--watch', request.job)} shows how far it is")
    return ExitCode.DONE


async def _checked(
    config: Config, settings: KafkaSettings, request: BackfillRequest, file: Path | None
) -> tuple[list[str], list[Known]]:
    """Hold a request against what the topics tell. Returns the account groups that were collected, and the jobs.

    Raises:
        ConfigurationError: it asks for an account group that is not there, or for what an unfinished job has already.
    """
    there, known = await _collected_and_asked(settings, request)
    section = section_of(config, request.organization)
    if section.account_groups is None:
        check_account_groups(section.name, request.account_groups or (), there, "Collected")
    for line in overlaps(request, known, file):
        say(f"te-collector: {line}")
    return there, known


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
