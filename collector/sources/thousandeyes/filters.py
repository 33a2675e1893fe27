"""Which search filters each version of the API knows, and how each wants them written.

Rule: a filter the API would ignore silently is a configuration mistake, for it would publish sessions nobody asked for.
Keys are checked, values are not: the API's value lists are open.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import orjson

_COMMON_KEYS = frozenset(
    {
        "agentId",
        "bssid",
        "connection",
        "destinationIp",
        "domain",
        "gateway",
        "location",
        "networkId",
        "platform",
        "proxyTarget",
        "ssid",
        "trigger",
        "visitedSite",
        "vpnTarget",
    }
)

FILTER_KEYS: Mapping[str, frozenset[str]] = {
    "v6": _COMMON_KEYS,  # https://developer.thousandeyes.com/v6/endpoint/ (endpoint data filtering, user sessions)
    "v7": _COMMON_KEYS | {"nicModel", "nicDriverVersion"},  # https://developer.cisco.com/docs/thousandeyes/ (7.0.99)
}


def filter_mistakes(api_version: str, search_filters: Mapping[str, object]) -> list[str]:
    """What is wrong with the filters of a configuration.

    Args:
        api_version: ``v6`` or ``v7``.
        search_filters: values wanted for each key; a session matches one value of every key.

    Returns:
        One sentence for each mistake; empty when the filters can be used.
    """
    known = FILTER_KEYS[api_version]
    mistakes = []
    for key, values in search_filters.items():
        if key not in known:
            mistakes.append(f"search filter {key!r} is unknown to API {api_version}: {_advice(key, known)}")
        elif not _are_texts(values):
            mistakes.append(f'search filter {key!r} needs a list of one or more texts, for example ["a", "b"]')
    return mistakes


def _are_texts(values: object) -> bool:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return False
    return len(values) > 0 and all(isinstance(value, str) and value for value in values)


def _advice(key: str, known: frozenset[str]) -> str:
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(key.casefold().replace("_", "").replace("-", ""), by_folded, n=1, cutoff=0.6)
    return f"did you mean {by_folded[near[0]]!r}?" if near else f"known are {', '.join(sorted(known))}"


def v7_body(search_filters: Mapping[str, Sequence[str]]) -> bytes:
    """The request body of v7: an object of arrays; without filters an empty object."""
    if not search_filters:
        return b"{}"
    return orjson.dumps({"searchFilters": {key: list(values) for key, values in search_filters.items()}})


def v6_body(search_filters: Mapping[str, Sequence[str]]) -> bytes | None:
    """The request body of v6: an array of keys with their values; None without filters, which means GET."""
    if not search_filters:
        return None
    return orjson.dumps(
        {"searchFilters": [{"key": key, "values": list(values)} for key, values in search_filters.items()]}
    )
