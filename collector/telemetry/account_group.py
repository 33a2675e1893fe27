"""What the status tells of one account group.

Rule: written by the observer of its organization only; samples and gaps are bounded, whatever happens.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from collector.core.ledger_entries import Gap
from collector.core.model import MonoS
from collector.core.polling_plan import Outlook
from collector.telemetry.catch_up import CatchUpPace

SAMPLES = 512
"""Newest freshness samples of an account group that percentiles are taken from, at most."""

SAMPLES_AGE_S = 300.0
"""How long a sample counts: what was caught up after a start or an outage must not look like today's freshness."""

GAPS_MAX = 20
"""Newest gaps of an account group that are shown; `te-collector gaps` lists them all."""


class RecentSamples:
    """The newest samples of a duration, each with the local time at which it was taken."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[MonoS, float]] = deque(maxlen=SAMPLES)

    def add(self, seconds: float, now: MonoS) -> None:
        """Take a sample."""
        self._samples.append((now, seconds))

    def percentiles(self, now: MonoS) -> dict[str, float] | None:
        """Median and 99th percentile of the last `SAMPLES_AGE_S`; None when nothing was sampled in that time."""
        ordered = sorted(seconds for taken_at, seconds in self._samples if now - taken_at <= SAMPLES_AGE_S)
        if not ordered:
            return None
        return {
            "p50": round(ordered[len(ordered) // 2], 2),
            "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 2),
        }


@dataclass(slots=True)
class AccountGroupStatus:
    """One account group; times are server time, seconds since 1970."""

    aid: str
    name: str = ""
    is_listed: bool = False  # else only the durable state tells of it up to now
    pages: int = 0
    walks: int = 0
    events: int = 0
    seen_again: int = 0
    revisions: int = 0
    late: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    ids_kept: int = 0
    newest: int | None = None
    covered_until: int | None = None
    settled_until: int | None = None
    final_until: int | None = None
    gaps: tuple[Gap, ...] = ()
    catch_up: CatchUpPace = field(default_factory=CatchUpPace)
    overlap_s: int | None = None
    lateness_p999_s: float | None = None
    parked: str | None = None
    last_error: str | None = None
    freshness_s: RecentSamples = field(default_factory=RecentSamples)
    lateness_s: RecentSamples = field(default_factory=RecentSamples)
    outlook: Outlook | None = None


def account_group(group: AccountGroupStatus, now: MonoS, server_now: float) -> dict[str, Any]:
    """An account group as JSON-ready data; ``now``: local time, ``server_now``: server time."""
    return {
        "aid": group.aid,
        "name": group.name,
        "pages": group.pages,
        "walks": group.walks,
        "events": group.events,
        "seen_again": group.seen_again,
        "revisions": group.revisions,
        "late": group.late,
        "changed": dict(group.changed),
        "dead_letters": dict(group.dead_letters),
        "ids_kept": group.ids_kept,
        "covered_until": group.covered_until,
        "settled_until": group.settled_until,
        "final_until": group.final_until,
        "behind_s": None if group.newest is None else round(max(0.0, server_now - group.newest), 1),
        "gaps": [_gap(gap) for gap in group.gaps[-GAPS_MAX:]],
        "gap_s": sum(gap.end - gap.start for gap in group.gaps if not gap.is_lost),
        "lost_s": sum(gap.end - gap.start for gap in group.gaps if gap.is_lost),
        "catch_up": _catch_up(group.catch_up, now),
        "overlap_s": group.overlap_s,
        "lateness_p999_s": None if group.lateness_p999_s is None else round(group.lateness_p999_s, 1),
        "parked": group.parked,
        "last_error": group.last_error,
        "freshness_s": group.freshness_s.percentiles(now),
        "lateness_s": group.lateness_s.percentiles(now),
        "outlook": None if group.outlook is None else _outlook(group.outlook),
    }


def _outlook(outlook: Outlook) -> dict[str, Any]:
    return {
        "poll_interval_s": round(outlook.interval_s, 1),
        "arrivals_per_s": round(outlook.arrivals_per_s, 6),
        "pages": round(outlook.pages, 2),
        "day_learnt": outlook.day_learnt,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {"start": gap.start, "end": gap.end, "why": gap.why.value, "detail": gap.detail, "lost": gap.is_lost}


def _catch_up(pace: CatchUpPace, now: MonoS) -> dict[str, Any] | None:
    if pace.left_s == 0:
        return None
    time_left_s = pace.time_left_s(now)
    return {"left_s": pace.left_s, "time_left_s": None if time_left_s is None else round(time_left_s, 1)}
