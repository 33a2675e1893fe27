"""What is told of coverage: up to when each account group is covered, what is missing and why, what is lost.

Rule: whatever makes a ledger durable is shown at once, be it a page, a refusal or a loss, and so is what was restored.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from collector.core.event import rfc3339
from collector.core.ledger_entries import Lost, Why
from collector.core.model import EpochS, Lane, MonoS
from collector.core.progress import Progress
from collector.core.walk import Walk
from collector.telemetry.account_group import AccountGroupStatus
from collector.telemetry.hints import LOST_HINTS
from collector.telemetry.metrics import Metrics
from collector.telemetry.status import OrganizationStatus, StatusBoard

CATCH_UP_TELL_S = 60.0
"""How often a line says how far catching up is."""


class CoverageTelemetry:
    """Coverage of one organization's account groups.

    Args:
        name: of the organization.
        metrics: of this process.
        board: of this process; its clock.
        status: of the organization; its server time.
    """

    def __init__(self, name: str, metrics: Metrics, board: StatusBoard, status: OrganizationStatus) -> None:
        self._name = name
        self._metrics = metrics
        self._board = board
        self._status = status
        self._log = structlog.get_logger("collector.organization").bind(organization=name)
        self._told: dict[str, MonoS] = {}  # account group -> when a line said last how far catching up is

    def show(self, group: AccountGroupStatus, progress: Progress) -> None:
        """Status and metrics say what the ledger does."""
        ledger = progress.ledger
        if ledger is None:
            return
        now = self._board.monotonic()
        server_now = EpochS(now + self._status.server_offset_s)
        group.newest, group.covered_until = ledger.newest, ledger.covered_until
        group.settled_until, group.final_until = ledger.settled_until, ledger.final_until
        group.gaps = tuple(gap for gap in ledger.gaps(server_now) if gap.why is not Why.NOT_YET)
        group.overlap_s, group.lateness_p999_s = progress.lateness.overlap_s, progress.lateness.p999_s
        group.catch_up.observe(progress.left_s(server_now), now)
        metrics, labels = self._metrics, (self._name, group.aid)
        metrics.covered_until.labels(*labels).set(ledger.covered_until)
        metrics.newest.labels(*labels).set(ledger.newest)
        metrics.catch_up_left.labels(*labels).set(group.catch_up.left_s)
        metrics.overlap.labels(*labels).set(group.overlap_s)
        metrics.lost_seconds.labels(*labels).set(sum(gap.end - gap.start for gap in group.gaps if gap.is_lost))
        if group.lateness_p999_s is not None:
            metrics.lateness_p999.labels(*labels).set(group.lateness_p999_s)

    def catch_up(self, group: AccountGroupStatus, walk: Walk) -> None:
        """A line now and then while catching up, and one at its end."""
        if walk.lane is not Lane.CATCH_UP:
            return
        now, left_s = self._board.monotonic(), group.catch_up.left_s
        told = self._told.get(group.aid)
        if left_s == 0:
            if self._told.pop(group.aid, None) is not None:
                self._log.info("caught up", aid=group.aid)
        elif told is None or now - told >= CATCH_UP_TELL_S:
            self._told[group.aid] = now
            time_left_s = group.catch_up.time_left_s(now)
            self._log.info(
                "catching up",
                aid=group.aid,
                at=rfc3339(walk.window.end),
                left_s=left_s,
                time_left_s=None if time_left_s is None else round(time_left_s),
            )

    def lost(self, aid: str, ranges: Sequence[Lost]) -> None:
        """Ranges that will never be walked: an error each, with why and where to look."""
        for one in ranges:
            self._log.error(
                "sessions are lost",
                aid=aid,
                start=rfc3339(one.start),
                end=rfc3339(one.end),
                why=one.why.value,
                detail=one.detail or None,
                hint=LOST_HINTS.get(one.why, "see te-collector gaps"),
            )
