"""What is shown: how the simulated tenants behave, and how the collector is configured to collect them.

The one rule: the promise must be checkable to the last session. So the simulator's whole history lies inside the
collector's first window, and no session is committed later than the overlap reaches back.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ORGANIZATIONS: Final = 2
"""Two, so that two quotas, two shards and two transactional producers are seen."""

NAME: Final = "Example"
TOKEN: Final = "demo-token"  # noqa: S105 - of a simulator on this machine

HISTORY_S: Final = 600
"""Sessions that are there before the collector first starts."""

INITIAL_LOOKBACK: Final = "1h"
"""Longer than the history and the slowest start together: nothing is older than what the collector promises."""

OVERLAP: Final = "2m"
LATE_MAX_S: Final = 90
"""Latest commit after a session took place; shorter than the overlap, with room for a round (60 s) cut at its start."""

# Per organization. Three account groups polled every 3 s need 60 of the 240 requests a minute; others spend some too.
_TENANT: Final = {
    "name": NAME,
    "token": TOKEN,
    "organization-count": ORGANIZATIONS,
    "account-groups": 3,
    "sessions-per-minute": 400,
    "quota": 240,
    "other-tenants-per-minute": 24,
    "history-s": HISTORY_S,
    "page-size": 500,
    "late-share": 0.03,
    "late-max-s": LATE_MAX_S,
    "bad-share": 0.002,
    "unusual-share": 0.01,
}

# Four requests in a hundred go wrong, each kind in its own way; often enough to be seen within a minute.
_FAULTS: Final = {
    "fault-status-500": 0.01,
    "fault-status-503": 0.01,
    "fault-dropped": 0.005,
    "fault-truncated": 0.005,
    "fault-slow": 0.01,
    "fault-slow-s": 1,
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is, all of it on this machine unless Kafka was given.

    Args:
        bootstrap_servers: of Kafka.
        topic_prefix: first part of all topic names.
        simulator_url: base of the simulated API.
        admin: host and port of the collector's status page.
    """

    bootstrap_servers: str
    topic_prefix: str
    simulator_url: str
    admin: str


def simulator_arguments() -> list[str]:
    """The arguments of the command that runs the simulator, on a port of its own choice."""
    switches = {"port": 0, **_TENANT, **_FAULTS}
    return ["simulate", *(text for name, value in switches.items() for text in (f"--{name}", str(value)))]


def collector_configuration(addresses: Addresses) -> str:
    """The collector's configuration file, TOML."""
    top = {"initial_lookback": INITIAL_LOOKBACK, "overlap": OVERLAP, "log_format": "console"}
    kafka = {
        "bootstrap_servers": addresses.bootstrap_servers,
        "topic_prefix": addresses.topic_prefix,
        # Started again it finds its shards at once, also where no name can be made up for it (macOS).
        "instance_id": "demo",
    }
    tables = [_lines(top), "\n[kafka]", _lines(kafka), "\n[admin]", _lines({"listen": addresses.admin})]
    for number in range(1, ORGANIZATIONS + 1):
        # The simulator numbers names and tokens from the second organization on.
        organization = {
            "name": NAME if number == 1 else f"{NAME} {number}",
            "token": TOKEN if number == 1 else f"{TOKEN}-{number}",
            "base_url": addresses.simulator_url,
            "poll_interval_min": "3s",
        }
        tables += ["\n[[organizations]]", _lines(organization)]
    return "\n".join(tables) + "\n"


def _lines(table: Mapping[str, object]) -> str:
    """Keys and values; a JSON string without control characters is a TOML string too."""
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
