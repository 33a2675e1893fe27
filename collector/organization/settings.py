"""Plain values of an organization, and what it tells about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collector.core.backfill import BackfillJob
from collector.core.budget import RequestBudget
from collector.core.collect import Collected
from collector.core.identity import IdentityForm
from collector.core.ledger_entries import Lost
from collector.core.model import AccountGroup, Answer, MonoS
from collector.core.polling_plan import Outlook
from collector.core.progress import Progress, ProgressSettings
from collector.core.server_clock import ServerClock
from collector.core.walk import Walk
from collector.errors import RecordsRejected, SourceError


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """Plain values of one organization.

    Args:
        name: as configured; part of every durable key and event.
        account_groups: aids to collect; None for all that the token can see.
        concurrency: walks at the same time, >= 1.
        poll_interval_min_s: shortest time between two walks of one account group, seconds.
        quota_share: part of the quota that may be used, over 0 to 1.
        progress: see `ProgressSettings`.
        poll_interval_max_s: longest time between two walks while the quota suffices, seconds.
        identity: under which choices published sessions are remembered.
        request_timeout_s: what a request may last by the source's own deadlines, seconds.
    """

    name: str
    account_groups: tuple[str, ...] | None
    concurrency: int
    poll_interval_min_s: float
    quota_share: float
    progress: ProgressSettings
    poll_interval_max_s: float = 900.0
    identity: IdentityForm = field(default_factory=IdentityForm)
    request_timeout_s: float = 30.0


class Observer(Protocol):
    """What an organization tells about itself. Implementations return at once and never raise."""

    def account_groups(self, groups: Sequence[AccountGroup]) -> None:
        """The account groups that are collected now."""

    def answered(self, answer: Answer, budget: RequestBudget, clock: ServerClock, now: MonoS) -> None:
        """An answer arrived, or none (status 0)."""

    def published(self, walk: Walk, collected: Collected, progress: Progress, ids_kept: int) -> None:
        """A page is durable."""

    def progressed(self, aid: str, progress: Progress) -> None:
        """What is durable of an account group, as restored, or after something else than a page became durable."""

    def walk_finished(self, walk: Walk, progress: Progress, duration_s: float) -> None:
        """A walk came to its end."""

    def ranges_lost(self, aid: str, ranges: Sequence[Lost]) -> None:
        """Ranges of an account group will never be walked: the API does not keep them, or they stayed unreadable."""

    def backfill_changed(self, job: BackfillJob) -> None:
        """A backfill job was taken, began, or is over."""

    def backfills(self, jobs: Sequence[BackfillJob]) -> None:
        """All backfill jobs as they are durable now, those asked for first at the beginning."""

    def planned(self, outlooks: Mapping[str, Outlook]) -> None:
        """How often each account group is polled from now on, and what is expected of it."""

    def failed(self, aid: str | None, error: SourceError, where: str) -> None:
        """A request or a walk failed and is tried again."""

    def parked(self, aid: str, error: SourceError | RecordsRejected) -> None:
        """The API refuses an account group, or Kafka a page of it."""

    def stopped(self, error: SourceError) -> None:
        """The API refuses the whole organization."""

    def resumed(self) -> None:
        """A stopped organization is answered again."""

    def crashed(self, aid: str | None, error: Exception) -> None:
        """Our own code failed on an answer; a defect."""
