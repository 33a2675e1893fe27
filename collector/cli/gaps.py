"""`te-collector gaps`: what is not covered, and why, as the state topic says.

One rule: it needs brokers only, changes nothing, and runs beside a collector or without one. What came after the last
walk is a gap once the next walk is overdue; until then a collector that keeps up would never be without one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import anyio

from collector.cli.brokers_only import prepared, print_json, unreadable
from collector.cli.wording import listed, time_text
from collector.clock import SystemClock
from collector.config.durations import format_duration
from collector.config.problems import suggestion
from collector.config.sections import POLL_INTERVAL_MAX
from collector.core.event import rfc3339
from collector.core.ledger import Ledger
from collector.core.ledger_entries import Gap, Why
from collector.core.ledger_record import decode
from collector.core.model import EpochS
from collector.errors import StartRefused
from collector.kafka.state import read_state

_KIND = "progress/"

_WORDS = {
    Why.NOT_YET: "not walked yet",
    Why.BEHIND: "left to catch-up, newer sessions go first",
    Why.MISSED: "the collector was down, or the API did not answer",
    Why.PARKED: "the account group was parked",
    Why.UNREADABLE: "cannot be read to its end, tried again rarely",
    Why.GIVEN_UP: "LOST: could not be read to its end",
    Why.RETENTION: "LOST: older than what ThousandEyes keeps",
}


class Entry(NamedTuple):
    """The ledger of an account group, and how long after a walk the next one may come, seconds."""

    organization: str
    aid: str
    ledger: Ledger
    due_s: float

    def gaps(self, now: EpochS) -> list[Gap]:
        """What is not covered at ``now``, server time, oldest first."""
        found = self.ledger.gaps(now)
        return [gap for gap in found if gap.why is not Why.NOT_YET or gap.end - gap.start > self.due_s]


def print_gaps(file: Path | None, organization: str | None, account_group: str | None, *, as_json: bool) -> None:
    """Print what is not covered, of every account group or of those that were asked for.

    Args:
        file: configuration file; None: see `collector.config.load`.
        organization: as configured; None: all.
        account_group: its aid; None: all.
        as_json: one JSON document instead of text.

    Raises:
        ConfigurationError: the configuration is wrong.
        StartRefused: there is no state topic, it cannot be read, or nothing is known of what was asked for.
    """
    config, settings = prepared(file)
    state = anyio.run(partial(read_state, settings, lambda key: key.startswith(_KIND)), backend="asyncio")
    due_s = {one.name: one.poll_interval_max.total_seconds() for one in config.organizations}
    wanted = {key: value for key, value in state.items() if _is_wanted(key, organization, account_group)}
    if not wanted and not (organization is None and account_group is None):
        raise StartRefused(f"{settings.state_topic} knows nothing of {_unknown(state, organization, account_group)}")
    entries = sorted(_entry(key, value, settings.state_topic, due_s) for key, value in wanted.items())
    now = EpochS(SystemClock().wall())
    if as_json:
        print_json({"now": rfc3339(now), "account_groups": [as_document(entry, now) for entry in entries]})
    else:
        lines = [line for entry in entries for line in as_text(entry, now)] or ["Nothing was collected yet."]
        sys.stdout.write("\n".join(lines) + "\n")


def as_document(entry: Entry, now: EpochS) -> dict[str, Any]:
    """An account group's coverage as JSON-ready data; times are RFC 3339."""
    ledger = entry.ledger
    return {
        "organization": entry.organization,
        "aid": entry.aid,
        "begins": rfc3339(ledger.begins),
        "covered_until": rfc3339(ledger.covered_until),
        "settled_until": rfc3339(ledger.settled_until),
        "final_until": rfc3339(ledger.final_until),
        "overlap_s": ledger.overlap_s,
        "parked": None if ledger.parked is None else ledger.parked.detail,
        "last_walks": {one.lane.value: rfc3339(one.at) for one in ledger.last},
        "gaps": [
            {
                "start": rfc3339(gap.start),
                "end": rfc3339(gap.end),
                "duration_s": gap.end - gap.start,
                "why": gap.why.value,
                "detail": gap.detail,
                "lost": gap.is_lost,
            }
            for gap in entry.gaps(now)
        ],
    }


def as_text(entry: Entry, now: EpochS) -> Iterator[str]:
    """An account group's coverage in lines for people."""
    ledger = entry.ledger
    yield f"{entry.organization}, account group {entry.aid}"
    until = ledger.covered_until
    yield f"  covered from {time_text(ledger.begins)} until {time_text(until)} ({_ago(until, now)})"
    yield f"  walked again after an overlap of {_duration(ledger.overlap_s)}: until {time_text(ledger.settled_until)}"
    yield f"  walked again after the late horizon: until {time_text(ledger.final_until)}"
    gaps = entry.gaps(now)
    if not gaps:
        yield "  no gap"
    for gap in gaps:
        yield f"  gap {time_text(gap.start)} to {time_text(gap.end)}, {_duration(gap.end - gap.start)}: {_why(gap)}"


def _why(gap: Gap) -> str:
    return f"{_WORDS[gap.why]} ({gap.detail})" if gap.detail else _WORDS[gap.why]


def _duration(duration_s: int) -> str:
    return format_duration(timedelta(seconds=duration_s))


def _ago(time_s: int, now: EpochS) -> str:
    return f"{_duration(max(0, int(now) - time_s))} ago"


def _named(key: str) -> tuple[str, str]:
    """The organization and the account group of a key."""
    organization, _, aid = key.removeprefix(_KIND).partition("/")
    return unquote(organization), aid


def _is_wanted(key: str, organization: str | None, account_group: str | None) -> bool:
    name, aid = _named(key)
    return organization in (None, name) and account_group in (None, aid)


def _unknown(keys: Iterable[str], organization: str | None, account_group: str | None) -> str:
    """What of it nobody has collected, with the nearest that somebody has, and with those there are."""
    named = sorted(map(_named, keys))
    names = sorted({name for name, _ in named})
    if organization is not None and organization not in names:
        what, wanted, there = "organization", organization, names
    else:
        aids = {aid for name, aid in named if organization in (None, name)}
        what, wanted, there = "account group", str(account_group), sorted(aids)
    near = suggestion(wanted, there) or "."
    return f"{what} {wanted!r}{near} Collected: {listed(there) or 'none yet'}"


def _entry(key: str, value: bytes, topic: str, due_s: Mapping[str, float]) -> Entry:
    name, aid = _named(key)
    try:
        # One that is not in the configuration at hand has the default.
        return Entry(name, aid, decode(value), due_s.get(name, POLL_INTERVAL_MAX.total_seconds()))
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(topic, key, error) from error
