"""How fast a backfill job goes, and when it will be done, as seen over the last minutes.

Rule: what was done in the time that is remembered, divided by that time *until now*: a job that stands still becomes
slower with every second that nothing comes. No guess in the first `KNOWN_AFTER_S` seconds.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from collector.core.backfill import BackfillJob, JobState
from collector.core.model import MonoS

PACE_OVER_S = 300.0
"""The pace follows from the last five minutes: a slice takes some seconds up to a minute, reading ids back as well."""

STEP_S = 1.0
"""At most one look a second is remembered, so at most 300."""

KNOWN_AFTER_S = 3.0
"""Shorter than this tells nothing: pages of one transaction come together."""


class Look(NamedTuple):
    """Where a job stood: when, how much of its time was walked (0 to 1), and the pages of it."""

    at: MonoS
    share_done: float
    pages: int


class JobPace:
    """The pace of one job. Mutable: looks at it, oldest first, and the newest one."""

    def __init__(self) -> None:
        self._seen: deque[Look] = deque()
        self._newest: Look | None = None

    def observe(self, job: BackfillJob, now: MonoS) -> None:
        """Take where the job stands at ``now``; while it does not run, nothing is known of its pace."""
        if job.state is not JobState.RUNNING:
            self._seen.clear()
            return
        self._forget(now)
        self._newest = Look(now, job.share_done, job.counts.pages)
        if not self._seen or now - self._seen[-1].at >= STEP_S:
            self._seen.append(self._newest)

    def pages_per_min(self, now: MonoS) -> float | None:
        """Pages a minute; None: not known yet."""
        looks = self._looks(now)
        if looks is None:
            return None
        oldest, newest = looks
        return 60.0 * (newest.pages - oldest.pages) / (now - oldest.at)

    def time_left_s(self, now: MonoS) -> float | None:
        """How long it will take, seconds; None: not known yet, or nothing moved for as long as is remembered."""
        looks = self._looks(now)
        if looks is None:
            return None
        oldest, newest = looks
        share = newest.share_done - oldest.share_done
        return (1.0 - newest.share_done) * (now - oldest.at) / share if share > 0.0 else None

    def _looks(self, now: MonoS) -> tuple[Look, Look] | None:
        """The oldest look that counts and the newest; None: it is too early to tell."""
        self._forget(now)
        if not self._seen or self._newest is None or now - self._seen[0].at < KNOWN_AFTER_S:
            return None
        return self._seen[0], self._newest

    def _forget(self, now: MonoS) -> None:
        while len(self._seen) > 1 and now - self._seen[1].at >= PACE_OVER_S:
            self._seen.popleft()
