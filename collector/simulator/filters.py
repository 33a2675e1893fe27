"""Search filters of the list resources: the v6 array form and the v7 object form, as one predicate over rows.

One rule: AND between keys, OR between the values of a key, no other operators; values are compared without case, except
the network card's, which the reference calls exact.
Sources: the v6 endpoint data filtering page; the v7 reference's real user test filters.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from collector.simulator.fleet import SITES, Agent, Site
from collector.simulator.paging import RowPredicate
from collector.simulator.sessions import AccountGroup, SessionRow

_Trait = Callable[[Agent, Site, SessionRow], str | None]

_AGENT_TRAITS: dict[str, _Trait] = {
    "location": lambda agent, site, row: agent.location,
    "connection": lambda agent, site, row: agent.connection,
    "trigger": lambda agent, site, row: "auto" if row.automatic else "user",
    "platform": lambda agent, site, row: agent.platform,
    "gateway": lambda agent, site, row: agent.gateway,
    "proxyTarget": lambda agent, site, row: agent.proxy_target,
    "vpnTarget": lambda agent, site, row: agent.vpn_target,
    "agentId": lambda agent, site, row: agent.agent_id,
    "networkId": lambda agent, site, row: agent.network_id,
    "ssid": lambda agent, site, row: agent.ssid,
    "bssid": lambda agent, site, row: agent.bssid,
}
_SESSION_TRAITS: dict[str, _Trait] = {
    "domain": lambda agent, site, row: site.domain,
    "visitedSite": lambda agent, site, row: site.visited_site,
    "destinationIp": lambda agent, site, row: site.address,
}
_CARD_TRAITS: dict[str, _Trait] = {
    "nicModel": lambda agent, site, row: agent.nic_model,
    "nicDriverVersion": lambda agent, site, row: agent.nic_driver_version,
}
TRAITS: dict[Literal["v6", "v7"], dict[str, _Trait]] = {
    "v6": _AGENT_TRAITS | _SESSION_TRAITS,
    "v7": _AGENT_TRAITS | _SESSION_TRAITS | _CARD_TRAITS,
}


class FilterRejected(Exception):
    """The body is no filter. `field` names the part to blame."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def read_v6(body: object) -> dict[str, list[str]]:
    """Reads `{"searchFilters": [{"key": ..., "values": [...]}]}`.

    Raises:
        FilterRejected: the body has another form.
    """
    entries = _object(body, "body").get("searchFilters") or []
    if not isinstance(entries, list):
        raise FilterRejected("searchFilters", "searchFilters must be an array of {key, values}")
    wanted: dict[str, list[str]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise FilterRejected("searchFilters", "searchFilters must be an array of {key, values}")
        wanted.setdefault(entry["key"], []).extend(_values(entry["key"], entry.get("values")))
    return wanted


def read_v7(body: object, *, bare: bool = False) -> dict[str, list[str]]:
    """Reads `{"searchFilters": {key: [values]}}`.

    Args:
        body: the decoded body.
        bare: whether the filter may also come without its wrapper, as the reference has it for visited pages.

    Raises:
        FilterRejected: the body has another form.
    """
    fields = _object(body, "body")
    if "searchFilters" in fields or not bare:
        fields = _object(fields.get("searchFilters") or {}, "searchFilters")
    return {key: _values(key, values) for key, values in fields.items() if values is not None}


def predicate(
    wanted: Mapping[str, list[str]],
    group: AccountGroup,
    traits: Mapping[str, _Trait],
    *,
    unknown: Literal["reject", "ignore"],
) -> RowPredicate | None:
    """Makes the predicate over the rows of an account group; None when everything matches.

    Raises:
        FilterRejected: a key does not exist and `unknown` says to reject it.
    """
    tests: list[tuple[_Trait, frozenset[str], bool]] = []
    for key, values in wanted.items():
        trait = traits.get(key)
        if trait is None:
            if unknown == "reject":
                raise FilterRejected(key, f"{key} is no search filter")
            continue
        exact = key in _CARD_TRAITS
        tests.append((trait, frozenset(value if exact else value.lower() for value in values), exact))
    if not tests:
        return None
    fleet = group.fleet

    def match(row: SessionRow) -> bool:
        agent, site = fleet[row.agent], SITES[row.site]
        for trait, values, exact in tests:
            value = trait(agent, site, row)
            if value is None or (value if exact else value.lower()) not in values:
                return False
        return True

    return match


def _object(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FilterRejected(field, f"{field} must be an object")
    return value


def _values(key: str, values: object) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise FilterRejected(key, f"the values of {key} must be an array of strings")
    return values
