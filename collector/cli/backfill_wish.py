"""What an operator wishes to be fetched again: what the words on the command line mean, and whether it can be had.

One rule: it asks nobody. Whatever is wrong with a wish is said with what would be right.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import PydanticCustomError

from collector.cli.backfill_jobs import Known, hint, not_configured
from collector.cli.wording import listed, time_text
from collector.config import Config, OrganizationSection
from collector.config.durations import format_duration, parse_duration
from collector.config.problems import suggestion
from collector.core.backfill import BackfillJob, BackfillRequest
from collector.errors import ConfigurationError

HOUR_S = 3_600

QUOTA_SHARE = 0.2
"""Unless another one is asked for: a part of the pages that new sessions do not miss."""


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


def one_thing_at_a_time(instead: Mapping[str, object], asking: Mapping[str, object]) -> None:
    """Refuse options that would be passed over: whoever adds ``--dry-run`` to ``--cancel`` wants nothing cancelled.

    Args:
        instead: options that do something else than ask; None: not given.
        asking: options that say what is asked for; None: not given.

    Raises:
        ConfigurationError: more than one of the first, or one of them beside one of the others.
    """
    does = [option for option, value in instead.items() if value is not None]
    if len(does) > 1:
        raise ConfigurationError(f"{' and '.join(does)} exclude each other: one at a time")
    if does and (stray := [option for option, value in asking.items() if value is not None]):
        raise ConfigurationError(f"{', '.join(stray)} cannot be given with {does[0]}")


def request_of(config: Config, wanted: Wanted, now: float) -> BackfillRequest:
    """The request that the command line means.

    Raises:
        ConfigurationError: it cannot be fulfilled; says why, and what could be.
    """
    section = section_of(config, wanted.organization)
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


def section_of(config: Config, name: str | None) -> OrganizationSection:
    """The organization of this name, or the only one.

    Raises:
        ConfigurationError: there is none, or several and no name.
    """
    names = [section.name for section in config.organizations]
    if name is None and len(names) == 1:
        return config.organizations[0]
    if name is None:
        raise ConfigurationError(f"--organization: which one? Configured: {listed(names) or 'none'}")
    if name not in names:
        raise ConfigurationError(not_configured(name, names))
    return config.organizations[names.index(name)]


# --- inside ---------------------------------------------------------------------------------------------------------


def _shares_groups(request: BackfillRequest, job: BackfillJob) -> bool:
    ours, theirs = request.account_groups, job.request.account_groups
    return ours is None or theirs is None or not set(ours).isdisjoint(theirs)


def _has_groups(request: BackfillRequest, job: BackfillJob) -> bool:
    ours, theirs = request.account_groups, job.request.account_groups
    return theirs is None or (ours is not None and set(ours) <= set(theirs))
