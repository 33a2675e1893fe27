"""The inventory of endpoint agents: which agents a request is about, and how v6 and v7 show them.

One rule: an agent is shown from `fleet.py` and the server's time; nothing about it is remembered.
Sources: the v7 reference, endpoint agents (`clients` only with `expand=clients`, deleted ones only when asked for); the
v6 reference, endpoint agent list.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collector.simulator.fleet import Agent
from collector.simulator.times import iso_z, spaced

_CREATED_S = 90 * 86_400
_VERSION = "1.190.2"
_OS = {"windows": "Microsoft Windows 11 Pro", "mac": "macOS 14.6", "linux": "Ubuntu 24.04"}

FILTERS: dict[str, Callable[[Agent, str], bool]] = {
    "id": lambda agent, value: agent.agent_id == value,
    "agentName": lambda agent, value: agent.name.lower() == value.lower(),
    "computerName": lambda agent, value: agent.computer_name.lower() == value.lower(),
    "username": lambda agent, value: agent.user_name.lower().startswith(value.lower()),
    "userPrincipalName": lambda agent, value: principal_name(agent).lower() == value.lower(),
    "platform": lambda agent, value: agent.platform == value.lower(),
    "osVersion": lambda agent, value: os_version(agent) == value,
    "serialNumber": lambda agent, value: agent.serial_number == value,
    "licenseType": lambda agent, value: value == "essentials",
    # Known keys that no simulated agent has a value for.
    "locationCountryISO": lambda agent, value: False,
    "locationSubdivision1Code": lambda agent, value: False,
    "locationCity": lambda agent, value: False,
    "anyConnectDeviceId": lambda agent, value: False,
}
"""The v7 search filters: whether an agent matches one value."""


def select(agents: Iterable[Agent], wanted: Mapping[str, list[str]], *, include_deleted: bool) -> list[Agent]:
    """The agents that match: AND between keys, OR between values; unknown keys match everything."""
    return [
        agent
        for agent in agents
        if (include_deleted or not agent.deleted)
        and all(any(FILTERS[key](agent, value) for value in values) for key, values in wanted.items() if key in FILTERS)
    ]


def principal_name(agent: Agent) -> str:
    """The user's principal name."""
    return f"{agent.user_name.rpartition(chr(92))[2]}@example.com"


def os_version(agent: Agent) -> str:
    """What the operating system calls itself."""
    return _OS.get(agent.platform, f"{agent.platform} 1.0")


def show_v7(agent: Agent, now: float, *, clients: bool) -> dict[str, Any]:
    """One agent as v7 shows it."""
    fields = _common(agent) | {
        "id": agent.agent_id,
        "aid": str(agent.aid),
        "name": agent.name,
        "platform": agent.platform,
        "serialNumber": agent.serial_number,
        "nicModel": agent.nic_model,
        "nicDriverVersion": agent.nic_driver_version,
        "lastSeen": iso_z(_last_seen(agent, now)),
        "createdAt": iso_z(int(now) - _CREATED_S),
        "targetVersion": _VERSION,
        "licenseType": "essentials",
        "asnDetails": {"asNumber": 64496, "asName": agent.provider},
    }
    if clients:
        fields["clients"] = [
            {
                "userProfile": {"userName": agent.user_name, "userPrincipalName": principal_name(agent)},
                "browserExtensions": [
                    {"browser": {"name": "Chrome", "version": "128.0"}, "active": True, "version": "1.0"}
                ],
            }
        ]
    return fields


def show_v6(agent: Agent, now: float) -> dict[str, Any]:
    """One agent as v6 shows it: always with its clients."""
    return _common(agent) | {
        "agentId": agent.agent_id,
        "agentName": agent.name,
        "lastSeen": spaced(_last_seen(agent, now)),
        "createdTime": spaced(int(now) - _CREATED_S),
        "clients": [{"userProfile": {"userName": agent.user_name}, "browserExtensions": []}],
    }


def _common(agent: Agent) -> dict[str, Any]:
    return {
        "computerName": agent.computer_name,
        "osVersion": os_version(agent),
        "kernelVersion": "10.0.22631",
        "manufacturer": "Example Computers",
        "model": "Model 1",
        "totalMemory": "16384 MB",
        "status": "disabled" if agent.deleted else "enabled",
        "deleted": agent.deleted,
        "version": _VERSION,
        "numberOfClients": 1,
        "publicIP": agent.public_address,
        "location": {"latitude": agent.latitude, "longitude": agent.longitude, "locationName": agent.location},
        "agentType": "enterprise",
        "vpnProfiles": [],
    }


def _last_seen(agent: Agent, now: float) -> int:
    # Agents check in every ten minutes; a deleted one has not for a week.
    return int(now) - (7 * 86_400 if agent.deleted else agent.numeric_id % 600)
