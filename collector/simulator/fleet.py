"""Who visits what: the endpoint agents of an account group and the sites they visit.

One rule: an agent is a pure function of (seed, aid, index), a site of its index; neither ever changes.
Names are invented; addresses come from the documentation ranges of RFC 5737 and RFC 3849 where they are big enough.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from collector.simulator.entropy import draw

_PLATFORMS = ("windows", "windows", "windows", "mac", "mac", "linux", "roomos", "visionos")
"""`visionos` is in no published list: the enumeration is open, and a reader must survive a new value."""
_CONNECTIONS = ("wireless", "wireless", "wireless", "ethernet", "ethernet", "loopback")
_PROVIDERS = ("T-2 Access Network", "Example Cable", "Example Mobile", "Example Fibre", "University of Example")
_LOCATIONS = (
    ("Ljubljana, Slovenia", 46.05, 14.51),
    ("Berlin, Germany", 52.52, 13.40),
    ("Austin, Texas, US", 30.27, -97.74),
    ("Pune, Maharashtra, India", 18.52, 73.86),
)
_FIRST_NAMES = ("ada", "grace", "edsger", "barbara", "donald", "radia", "leslie", "frances")
_DELETED_EVERY = 12
"""About one agent in twelve is deleted; its sessions stay."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One endpoint agent: what the inventory shows of it, and what the filters ask of its sessions."""

    agent_id: str
    aid: int
    name: str
    computer_name: str
    user_name: str
    platform: str
    connection: str
    public_address: str
    provider: str
    location: str
    latitude: float
    longitude: float
    gateway: str
    network_id: str
    ssid: str | None
    bssid: str | None
    vpn_target: str | None
    proxy_target: str | None
    nic_model: str
    nic_driver_version: str
    serial_number: str
    deleted: bool
    numeric_id: int


@dataclass(frozen=True, slots=True)
class Site:
    """One visited site."""

    domain: str
    visited_site: str
    protocol: str
    port: int
    address: str


def _sites() -> tuple[Site, ...]:
    domains = ("thousandeyes.com", "example.com", "example.org", "example.net", "crm.example", "mail.example")
    hosts = ("", "www.", "login.", "app.")
    sites = []
    for number, (domain, host) in enumerate((domain, host) for domain in domains for host in hosts):
        plain = number % 9 == 0
        address = f"203.0.113.{number + 1}"
        sites.append(Site(domain, host + domain, "http" if plain else "https", 80 if plain else 443, address))
    return tuple(sites)


SITES = _sites()
"""Every site there is. Their number is part of what a seed means: appending is a change of the truth."""


def masked(agent: Agent) -> Agent:
    """The agent as it looks to somebody who may not identify users, agents and networks: numbers instead of names.

    INFERRED: the release notes of 2016 and 2019 say so of the web application; no source says so of the API.
    """
    number = str(agent.numeric_id)
    network = str(int.from_bytes(draw(4, "network", agent.network_id), "big"))
    return replace(
        agent,
        name=number,
        computer_name=number,
        user_name=number,
        public_address=network,
        gateway=network,
        ssid=network if agent.ssid else None,
        bssid=network if agent.bssid else None,
    )


def make_agent(seed: int, aid: int, index: int, ipv6_share: float) -> Agent:
    """Makes one agent.

    Args:
        seed: the simulator's seed.
        aid: its account group.
        index: its number in the account group, from 0.
        ipv6_share: share of agents whose public address is an IPv6 address, 0 to 1.

    Returns:
        The agent; the same for the same arguments.
    """
    data = draw(32, seed, "agent", aid, index)
    connection = _CONNECTIONS[data[16] % len(_CONNECTIONS)]
    wireless = connection == "wireless"
    location, latitude, longitude = _LOCATIONS[data[17] % len(_LOCATIONS)]
    user = f"{_FIRST_NAMES[data[18] % len(_FIRST_NAMES)]}{index}"
    site_number = data[19]
    return Agent(
        agent_id=str(uuid.UUID(bytes=data[:16], version=4)),
        aid=aid,
        name=f"{user}-{aid}",
        computer_name=f"PC-{aid}-{index:05d}",
        user_name=f"EXAMPLE\\{user}",
        platform=_PLATFORMS[data[20] % len(_PLATFORMS)],
        connection=connection,
        public_address=_public_address(data, ipv6_share),
        provider=_PROVIDERS[data[22] % len(_PROVIDERS)],
        location=location,
        latitude=latitude,
        longitude=longitude,
        gateway=f"192.168.{site_number}.1",
        network_id=f"{aid % 1000:03d}{site_number:03d}",
        ssid=f"example-{site_number % 8}" if wireless else None,
        bssid=f"02:00:5e:00:53:{site_number:02x}" if wireless else None,
        vpn_target="198.51.100.10" if data[23] < 64 else None,
        proxy_target="198.51.100.20" if data[24] < 32 else None,
        nic_model="Example Wi-Fi 6E" if wireless else "Example Gigabit",
        nic_driver_version=f"22.{data[25] % 4}.0",
        serial_number=f"SN{aid}{index:05d}",
        deleted=data[26] % _DELETED_EVERY == 0,
        numeric_id=int.from_bytes(data[27:31], "big"),
    )


def _public_address(data: bytes, ipv6_share: float) -> str:
    if data[21] < ipv6_share * 256:
        return f"2001:db8:{data[28]:x}:{data[29]:x}::{data[30]:x}"
    return f"{('192.0.2', '198.51.100', '203.0.113')[data[28] % 3]}.{data[29] or 1}"


class Fleet:
    """The agents of one account group, made when first asked for. Owns that list and nothing else."""

    def __init__(self, seed: int, aid: int, size: int, ipv6_share: float, *, identified: bool = True) -> None:
        self._seed, self._aid, self._ipv6_share, self._identified = seed, aid, ipv6_share, identified
        self._agents: list[Agent | None] = [None] * size

    def __len__(self) -> int:
        return len(self._agents)

    def __getitem__(self, index: int) -> Agent:
        agent = self._agents[index]
        if agent is None:
            made = make_agent(self._seed, self._aid, index, self._ipv6_share)
            agent = self._agents[index] = made if self._identified else masked(made)
        return agent

    def __iter__(self) -> Iterator[Agent]:
        return (self[index] for index in range(len(self)))
