"""Every switch of the simulator, with its unit, its range and a default that makes a plausible tenant.

One rule: settings are values. They never change once the simulator runs; what an operator may change at run time
(faults, clock, freeze) starts from here and is owned by `world.py`.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from collector.simulator.switches import Faults, FrozenSettings, InferredBehaviour, Share

__all__ = ["Faults", "InferredBehaviour", "OrganizationSettings", "SimulatorSettings"]

_AID_STEP = 1000
"""Distance between the first account groups of two generated organizations: more than an organization usually has."""


class OrganizationSettings(FrozenSettings):
    """One organization: its credentials, its quota, its account groups and how busy they are."""

    name: Annotated[str, Field(min_length=1)] = "Example Organization"
    """What the organization is called."""
    token: Annotated[str, Field(min_length=1)] = "simulator-token"  # noqa: S105 (made up)
    """Bearer token (v6 and v7) that spends the organization's quota."""
    oauth_token: Annotated[str, Field(min_length=1)] = "simulator-oauth-token"  # noqa: S105 (made up)
    """Token of an OAuth client: a bucket of its own."""
    v6_email: Annotated[str, Field(min_length=3)] = "collector@example.com"
    """User of v6 basic authentication."""
    v6_basic_token: Annotated[str, Field(min_length=1)] = "0123456789abcdef0123456789abcdef"  # noqa: S105 (made up)
    """Password of v6 basic authentication."""
    first_aid: Annotated[int, Field(ge=1)] = 7625
    """Id of the first account group; the others follow one by one."""
    account_groups: Annotated[int, Field(ge=1, le=100_000)] = 3
    """How many account groups it has."""
    sessions_per_minute: Annotated[float, Field(ge=0.0)] = 120.0
    """Of all account groups together."""
    zipf_exponent: Annotated[float, Field(ge=0.0, le=4.0)] = 1.0
    """How unequal the groups are: 0 = equal, 1 = the first has twice the second."""
    agents_per_group: Annotated[int, Field(ge=1, le=100_000)] = 25
    """How many endpoint agents an account group has."""
    quota_limit: Annotated[int, Field(ge=0)] | None = 240
    """Requests per minute; None: unlimited, the headers are still sent."""
    other_tenants_per_minute: Annotated[float, Field(ge=0.0)] = 0.0
    """Mean requests per minute that others spend of the same quota."""

    def aids(self) -> range:
        """The ids of its account groups."""
        return range(self.first_aid, self.first_aid + self.account_groups)


class SimulatorSettings(OrganizationSettings):
    """Every switch of the simulator.

    The fields inherited from `OrganizationSettings` describe the first organization. `organization_count` adds more of
    the same kind (their names and tokens end in their number, their account groups start 1000 later each);
    `organizations`, when given, replaces all of them.
    """

    seed: int = 1
    """Same seed, same origin: same sessions."""
    organization_count: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many organizations of the same kind there are."""
    organizations: tuple[OrganizationSettings, ...] = ()
    """The organizations one by one, instead of the generated ones."""

    history_s: Annotated[float, Field(ge=0.0)] = 7200.0
    """Age in seconds of the oldest session when the simulator starts."""
    origin_epoch_s: float | None = None
    """Server time of the oldest session; None: start minus history_s. Give it to see the same sessions after a
    restart."""
    clock_offset_s: float = 0.0
    """Seconds by which the server's clock is ahead of this machine's."""
    retention_days: Annotated[float, Field(gt=0.0)] = 30.0
    """Older sessions are not shown."""
    page_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Rows of a page."""

    commit_delay_min_s: Annotated[int, Field(ge=0)] = 1
    """Usual shortest time from date to committed, seconds."""
    commit_delay_max_s: Annotated[int, Field(ge=0)] = 3
    """Usual longest time from date to committed, seconds."""
    late_share: Share = 0.01
    """Sessions committed later than usual."""
    late_max_s: Annotated[float, Field(ge=0.0)] = 3600.0
    """Longest time from date to committed of a late session, seconds."""
    skewed_agents_share: Share = 0.0
    """Sessions whose agent's clock is ahead: date lies after committed."""
    skew_max_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 120.0
    """How far such a clock is ahead at most, seconds."""
    changed_share: Share = 0.0
    """Rows that change after they were first shown."""
    change_delay_max_s: Annotated[int, Field(ge=1)] = 300
    """Longest time from committed to the change, seconds."""
    several_rows_share: Share = 0.0
    """Sessions shown as two or three rows that differ in pageId."""
    optional_absent_share: Share = 0.05
    """Rows without experienceScore, orgName or pageId (each drawn alone)."""
    unusual_share: Share = 0.0
    """Rows with an extra field, an unknown protocol and floats for integers."""
    bad_share: Share = 0.0
    """Rows that violate any sensible schema; the truth lists them."""
    ipv6_share: Share = 0.1
    """Agents with an IPv6 source address."""

    instance: Annotated[str, Field(min_length=1)] = "1-3"
    """Value of X-Server-Name."""
    link_base_url: str | None = None
    """Scheme and host of next links; None: those of the request."""
    v6_enabled: bool = True
    """Whether the v6 paths exist."""
    cache_rows_max: Annotated[int, Field(ge=1)] = 200_000
    """Rows kept in memory with their encoded form, about 1 KiB each."""
    faults: Faults = Faults()
    """What goes wrong from the start; `/_sim/faults` changes it."""
    inferred: InferredBehaviour = InferredBehaviour()
    """Readings of what the documentation leaves open."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.commit_delay_min_s > self.commit_delay_max_s:
            raise ValueError("commit_delay_min_s must not exceed commit_delay_max_s")
        taken: set[int] = set()
        secrets: set[str] = set()
        for organization in self.all_organizations():
            aids = set(organization.aids())
            if aids & taken:
                raise ValueError(
                    f"account group ids of {organization.name!r} overlap another organization's: set first_aid"
                )
            taken |= aids
            for secret in (organization.token, organization.oauth_token):
                if secret in secrets:
                    raise ValueError(f"a token of {organization.name!r} is used twice: every token must be its own")
                secrets.add(secret)
        return self

    def all_organizations(self) -> tuple[OrganizationSettings, ...]:
        """The organizations to simulate, the explicit ones or the generated ones."""
        if self.organizations:
            return self.organizations
        first = OrganizationSettings(**{name: getattr(self, name) for name in OrganizationSettings.model_fields})
        step = max(_AID_STEP, first.account_groups)
        return (first, *(_numbered(first, number, step) for number in range(2, self.organization_count + 1)))


def _numbered(first: OrganizationSettings, number: int, aid_step: int) -> OrganizationSettings:
    return first.model_copy(
        update={
            "name": f"{first.name} {number}",
            "token": f"{first.token}-{number}",
            "oauth_token": f"{first.oauth_token}-{number}",
            "v6_email": f"{number}.{first.v6_email}",
            "v6_basic_token": f"{first.v6_basic_token}-{number}",
            "first_aid": first.first_aid + aid_step * (number - 1),
        }
    )
