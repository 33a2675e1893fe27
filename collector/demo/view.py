"""One moment of the demonstration as plain values: what is drawn.

The one rule: values only. `Observer` puts them together from what the others say; drawing is `screen.py`'s.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from collector.demo.reader import GroupReceived, Received

_RATE_OVER_S: Final = 10.0
"""Events per second are the mean of this long: some polls of every account group."""


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process: its name, how it is, whether that is good, and where it is or what it does."""

    name: str
    state: str
    is_well: bool
    detail: str


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organization; the quota is the simulator's, so it counts what others spend too."""

    name: str
    limit: int
    remaining: int
    reset_in_s: float
    by_others: int
    by_status: Mapping[str, int]
    rate_limited: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """An account group. Counts and freshness as read from the topics; the rest as the collector says."""

    organization: str
    name: str
    events: int
    dead_letters: Mapping[str, int]
    freshness_p50_s: float | None
    freshness_p99_s: float | None
    behind_s: float | None
    parked: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is drawn.

    Args:
        phase: what happens now, for people.
        elapsed_s: since the collector was first ready.
        duration_s: of the whole run; None: until Ctrl-C.
        kills: how often the collector was killed.
        events: read so far.
        duplicates: of them.
        events_per_s: lately.
    """

    phase: str
    elapsed_s: float = 0.0
    duration_s: float | None = None
    kills: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    events_per_s: float = 0.0
    processes: Sequence[ProcessView] = ()
    organizations: Sequence[OrganizationView] = ()
    groups: Sequence[GroupView] = ()
    last_events: Sequence[Mapping[str, Any]] = ()

    @property
    def requests(self) -> int:
        """Requests of the collector that were answered."""
        return sum(sum(organization.by_status.values()) for organization in self.organizations)

    @property
    def rate_limited(self) -> int:
        """How many of them with 429."""
        return sum(organization.rate_limited for organization in self.organizations)


@dataclass(slots=True)
class Observer:
    """Keeps what was last heard, because a killed collector says nothing for a while."""

    status: Mapping[str, Any] | None = None
    statistics: Mapping[str, Any] | None = None
    _totals: deque[tuple[float, int]] = field(default_factory=deque)

    def events_per_s(self, now: float, events: int) -> float:
        """The rate since some seconds ago, given the total now."""
        totals = self._totals
        totals.append((now, events))
        while totals[-1][0] - totals[0][0] > _RATE_OVER_S:
            totals.popleft()
        (first, before), (last, after) = totals[0], totals[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def organizations(self) -> list[OrganizationView]:
        """What the simulator counted."""
        if self.statistics is None:
            return []
        now = self.statistics["serverTime"]
        return [
            OrganizationView(
                name=one["name"],
                limit=one["quota"]["limit"],
                remaining=one["quota"]["remaining"],
                reset_in_s=max(0.0, one["quota"]["reset"] - now),
                by_others=one["spentByOthers"],
                by_status=one["requestsByStatus"],
                rate_limited=one["tooManyRequests"],
            )
            for one in self.statistics["organizations"]
        ]

    def groups(self, received: Received) -> list[GroupView]:
        """What the collector says about its account groups, and what was read of them."""
        if self.status is None:
            return []
        return [
            _group(organization["organization"], group, received.groups.get(group["aid"], GroupReceived()))
            for organization in self.status["organizations"]
            for group in organization["account_groups"]
        ]


def _group(organization: str, said: Mapping[str, Any], received: GroupReceived) -> GroupView:
    samples = sorted(received.freshness_s)
    return GroupView(
        organization=organization,
        name=said["name"] or said["aid"],
        events=received.events,
        dead_letters=dict(received.dead_letters),
        freshness_p50_s=samples[len(samples) // 2] if samples else None,
        freshness_p99_s=samples[min(len(samples) - 1, len(samples) * 99 // 100)] if samples else None,
        behind_s=said["behind_s"],
        parked=said["parked"],
        last_error=said["last_error"],
    )
