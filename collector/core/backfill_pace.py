"""How fast a backfill job goes, and when it will be done, as seen over the last minutes.

Rule: what was done in the time that is remembered, divided by that time *until now*: a job that stands still becomes
slower with every second that nothing comes. No guess before something was seen twice.
"""

from __future__ import annotations

from collections import deque

from collector.core.backfill import BackfillJob, JobState
from collector.core.model import MonoS

REMEMBERED_S = 300.0
"""The pace follows from the last five minutes: a slice takes some seconds up to a minute, reading ids back as well."""

STEP_S = 1.0
"""At most one look a second is remembered, so at most 300."""

KNOWN_AFTER_S = 3.0
"""Shorter than this tells nothing: pages of one transaction come together."""


class JobPace:
    """The pace of one job. Mutable: looks at it (time, share done, pages), oldest first, and the newest one."""

    def __init__(self) -> None:
        self._seen: deque[tuple[MonoS, float, int]] = deque()
        self._newest: tuple[MonoS, float, int] | None = None

    def observe(self, job: BackfillJob, now: MonoS) -> None:
        """Take where the job stands at ``now``; while it does not run, nothing is known of its pace."""
        if job.state is not JobState.RUNNING:
            self._seen.clear()
            return
        self._forget(now)
        self._newest = (now, job.share_done, job.counts.pages)
        if not self._seen or now - self._seen[-1][0] >= STEP_S:
            self._seen.append(self._newest)

    def pages_per_min(self, now: MonoS) -> float | None:
        """Pages a minute; None: not known yet."""
        done = self._done(now)
        return None if done is None else 60.0 * done[2] / done[0]

    def time_left_s(self, now: MonoS) -> float | None:
        """How long it will take, seconds; None: not known yet, or nothing moved for as long as is remembered."""
        done = self._done(now)
        if done is None or done[1] <= 0.0 or self._newest is None:
            return None
        return (1.0 - self._newest[1]) * done[0] / done[1]

    def _done(self, now: MonoS) -> tuple[float, float, int] | None:
        """What was done since the oldest look that counts: in how many seconds, which share, how many pages."""
        self._forget(now)
        if not self._seen or self._newest is None or now - self._seen[0][0] < KNOWN_AFTER_S:
            return None
        (began, share_then, pages_then), (_, share, pages) = self._seen[0], self._newest
        return now - began, share - share_then, pages - pages_then

    def _forget(self, now: MonoS) -> None:
        while len(self._seen) > 1 and now - self._seen[1][0] >= REMEMBERED_S:
            self._seen.popleft()
