"""`Config`: everything an operator can set, as one immutable value.

One rule: building it reads nothing. The file and the environment are read by `load.py` only, so a `Config` made in a
test means the same everywhere. It stops at the composition root; below it there are plain named values.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.config.checks import Misfits, Times, misfits
from collector.config.durations import Duration, between
from collector.config.sections import AdminSection, EventsSection, KafkaSection, OrganizationSection


class Config(BaseModel):
    """The whole configuration.

    Raises:
        pydantic.ValidationError: a value is not what its key expects, or values do not fit together. `load_config`
            turns it into a ConfigurationError for people.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    initial_lookback: Annotated[Duration, between("0s", "30d")] = timedelta(hours=1)
    """How far back the very first run of an account group begins."""
    late_horizon: Annotated[Duration, between("5m", "30d")] = timedelta(hours=24)
    """How long after a session took place it may still appear and be published."""
    overlap: Annotated[Duration, between("0s", "24h")] = timedelta(minutes=10)
    """How far each poll reaches back behind the end of the one before, at least; it grows with the lateness seen."""
    overlap_max: Annotated[Duration, between("0s", "24h")] = timedelta(hours=1)
    """How far each poll reaches back at most, however late sessions are; less than overlap counts as overlap."""
    sweep_interval: Annotated[Duration, between("0s", "1d")] = timedelta(minutes=15)
    """How often the last sweep_reach is walked again for late sessions; 0s: never."""
    sweep_reach: Annotated[Duration, between("1m", "30d")] = timedelta(hours=1)
    """How far back that sweep goes."""
    late_sweep_interval: Annotated[Duration, between("0s", "7d")] = timedelta(hours=1)
    """How often everything is walked again that may still hold late sessions; 0s: never."""
    api_retention: Annotated[Duration, between("1d", "400d")] = timedelta(days=30)
    """How long ThousandEyes keeps sessions: older gaps are lost."""
    grace_period: Annotated[Duration, between("1s", "10m")] = timedelta(seconds=20)
    """How long a stop may take to finish what is in hand."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """Lines for people or JSON; auto: for people when standard error is a terminal."""
    kafka: KafkaSection = KafkaSection()
    events: EventsSection = EventsSection()
    admin: AdminSection = AdminSection()
    organizations: tuple[OrganizationSection, ...] = Field(default=())
    """The organizations to poll; `run` needs at least one."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        times = Times(self.initial_lookback, self.late_horizon, self.overlap, self.api_retention)
        if found := misfits(times, self.kafka, self.events, self.organizations):
            raise Misfits(found)
        return self
