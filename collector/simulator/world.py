"""What the simulator is: organizations, the truth behind them, its clock, and what an operator has changed at run time.

One rule: all state that outlives a request is reached from here. Owned by this object: the clock's jump, the moment of
the freeze and whether the process is ending; each `RequestQuota`, `RequestStatistics` and `FailedLogins` owns its own
counts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from collector.simulator.auth import FailedLogins
from collector.simulator.faults import FaultSource
from collector.simulator.fleet import Fleet
from collector.simulator.paging import RowPredicate, Visible
from collector.simulator.quota import RequestQuota
from collector.simulator.ranges import Range
from collector.simulator.sessions import AccountGroup, SessionTruth
from collector.simulator.settings import OrganizationSettings, SimulatorSettings
from collector.simulator.statistics import RequestStatistics

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Organization:
    """One organization: its settings, account groups and quotas."""

    settings: OrganizationSettings
    groups: dict[int, AccountGroup]
    quota: RequestQuota
    oauth_quota: RequestQuota
    org_id: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def default_group(self) -> AccountGroup:
        """The account group of a request that names none: the first one."""
        return self.groups[self.settings.first_aid]


class World:
    """Everything that requests share.

    Args:
        settings: every switch.
        clock: this machine's time as epoch seconds; the server's time is that plus offset and jumps.
    """

    def __init__(self, settings: SimulatorSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        self._jumped_s = 0.0
        self.frozen_at: float | None = None
        self.stopping = anyio.Event()
        self.truth = SessionTruth(settings)
        origin = settings.origin_epoch_s
        self.origin = self.truth.round_of(self.now() - settings.history_s if origin is None else origin)
        self.organizations = tuple(
            _organization(settings, number, each) for number, each in enumerate(settings.all_organizations())
        )
        self.faults = FaultSource(settings.faults, settings.seed)
        self.statistics = RequestStatistics()
        self.failed_logins = FailedLogins()

    def now(self) -> float:
        """The server's time, epoch seconds."""
        return self._clock() + self.settings.clock_offset_s + self._jumped_s

    def horizon(self) -> int:
        """Epoch second up to which commits are shown: now, or the moment of the freeze."""
        now = self.now()
        return math.floor(now if self.frozen_at is None else min(now, self.frozen_at))

    def freeze(self) -> float:
        """Ends the truth: nothing committed from now on is ever shown. A second freeze changes nothing."""
        if self.frozen_at is None:
            self.frozen_at = self.now()
        return self.frozen_at

    def jump(self, seconds: float) -> None:
        """Moves the server's clock, forwards or backwards."""
        self._jumped_s += seconds

    def visible(self, wanted: Range, match: RowPredicate | None = None) -> Visible:
        """What of a range the API shows now: committed, not older than the origin or the retention."""
        now, horizon = self.now(), self.horizon()
        start = max(wanted.start, self.origin, math.ceil(now - self.settings.retention_days * _DAY_S))
        # An agent whose clock is ahead can write a date in the future, but only so far.
        end = min(wanted.end, horizon + math.ceil(self.settings.skew_max_s))
        by_round = self.settings.inferred.range_selects == "round"
        return Visible(Range(start, end, wanted.explicit), horizon, by_round, match)


def _organization(settings: SimulatorSettings, number: int, organization: OrganizationSettings) -> Organization:
    weights = [1.0 / rank**organization.zipf_exponent for rank in range(1, organization.account_groups + 1)]
    rate = organization.sessions_per_minute * settings.inferred.round_s / 60 / sum(weights)
    groups = {
        aid: AccountGroup(
            aid=aid,
            name=f"Branch {index + 1:03d}",
            organization=organization.name,
            sessions_per_round=rate * weights[index],
            fleet=Fleet(
                settings.seed,
                aid,
                organization.agents_per_group,
                settings.ipv6_share,
                identified=not settings.inferred.masked_identities,
            ),
        )
        for index, aid in enumerate(organization.aids())
    }
    inferred = settings.inferred

    def bucket(others_per_minute: float) -> RequestQuota:
        return RequestQuota(
            organization.quota_limit,
            window=inferred.quota_window,
            refused_requests_count=inferred.refused_requests_count,
            others_per_minute=others_per_minute,
            key=(settings.seed, "quota", organization.name),
        )

    return Organization(
        settings=organization,
        groups=groups,
        quota=bucket(organization.other_tenants_per_minute),
        oauth_quota=bucket(0.0),
        org_id=str(1000 + number),
    )
