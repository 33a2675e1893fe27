"""What the environment sets: ``TE_COLLECTOR_<SECTION>__<KEY>``, one organization in short, and Kafka's own variable.

| variable | sets |
|---|---|
| ``TE_COLLECTOR_LATE_HORIZON`` | a key at the top of the file |
| ``TE_COLLECTOR_KAFKA__SHARDS`` | a key of a table |
| ``TE_COLLECTOR_ORGANIZATIONS__0__TOKEN`` | a key of the first organization |
| ``TE_COLLECTOR_TOKEN``, ``TE_COLLECTOR_BASE_URL``, ... | the same key of the only organization |
| ``TE_COLLECTOR_ORGANIZATION`` | the name of the only organization |
| ``KAFKA_BOOTSTRAP_SERVERS`` | ``kafka.bootstrap_servers``, unless ``TE_COLLECTOR_KAFKA__BOOTSTRAP_SERVERS`` is set |

One rule: an empty variable counts as not set, because Compose files and unit files cannot leave one out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from collector.config.checks import KeyPath
from collector.config.model import Config
from collector.config.sections import OrganizationSection

PREFIX: Final = "TE_COLLECTOR_"
CONFIG_FILE_VARIABLE: Final = "TE_COLLECTOR_CONFIG"
BOOTSTRAP_VARIABLE: Final = "KAFKA_BOOTSTRAP_SERVERS"
_DELIMITER: Final = "__"
_INDEX_DIGITS_MAX: Final = 4  # ten thousand organizations; Python itself refuses to read some thousand digits

# A Kubernetes service named te-collector puts such variables into every pod of its namespace.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK: Final = re.compile(
    r"te_collector_(\w+_)?(service_host|service_port(_\w+)?|port|port_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment sets.

    Args:
        values: nested like the file; lists are tables with their indices as keys.
        organization: the keys given in short for the only organization.
        unknown: variables with our prefix that set nothing.
        kafka_variable_used: whether the bootstrap servers come from ``KAFKA_BOOTSTRAP_SERVERS``.
    """

    values: dict[str, Any] = field(repr=False)  # may hold secrets
    organization: dict[str, str] = field(repr=False)
    unknown: tuple[str, ...] = ()
    kafka_variable_used: bool = False

    def organization_count(self, given: object) -> int:
        """Return how many organizations there are, with those that the file gives."""
        named = self.values.get("organizations", {})
        in_file = len(given) if isinstance(given, list | dict) else 0
        indices = [int(key) for key in named if is_index(key)] if isinstance(named, dict) else []
        return max(in_file, max(indices, default=-1) + 1)

    def variable(self, path: KeyPath) -> str | None:
        """Return the name of the variable that sets the value at this path, or None."""
        if path[:1] == ("organizations",) and len(path) > 2 and path[1] == 0 and path[2] in self.organization:
            return short_name(str(path[2]))
        value: Any = self.values
        for depth, step in enumerate(path):
            if not isinstance(value, Mapping):  # one variable holds the whole table or list
                path = path[:depth]
                break
            if str(step) not in value:
                return None
            value = value[str(step)]
        if self.kafka_variable_used and path == ("kafka", "bootstrap_servers"):
            return BOOTSTRAP_VARIABLE
        return PREFIX + _DELIMITER.join(str(step) for step in path).upper()


def is_index(key: str) -> bool:
    """Return whether this part of a variable's name is the index of an organization."""
    is_number = key.isascii() and key.isdecimal() and len(key) <= _INDEX_DIGITS_MAX
    return is_number and key == str(int(key))  # 00 would be another name of the first one


def short_name(key: str) -> str:
    """Return the variable that sets this key of the only organization."""
    return PREFIX + ("ORGANIZATION" if key == "name" else key.upper())


def read_environment() -> Environment:
    """Return what the environment of this process sets."""
    variables = {name.lower(): value for name, value in os.environ.items() if value}
    values = _nested(variables)
    kafka_variable_used = _add_bootstrap_servers(values, variables.get(BOOTSTRAP_VARIABLE.lower()))
    short = {key: short_name(key).lower() for key in OrganizationSection.model_fields}
    organization = {key: variables[name] for key, name in short.items() if name in variables}
    known = {*short.values(), CONFIG_FILE_VARIABLE.lower()}
    unknown = tuple(name.upper() for name in _unknown(variables) if name not in known)
    return Environment(values, organization, unknown, kafka_variable_used)


def _nested(variables: Mapping[str, str]) -> dict[str, Any]:
    """What the variables of known keys set, table in table; one that holds a whole table wins over its keys'."""
    values: dict[str, Any] = {}
    for name, value in variables.items():
        path = name.removeprefix(PREFIX.lower()).split(_DELIMITER)
        if not name.startswith(PREFIX.lower()) or path[0] not in Config.model_fields:
            continue
        table: Any = values
        for step in path[:-1]:
            table = table.setdefault(step, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[path[-1]] = value
    return values


def _add_bootstrap_servers(values: dict[str, Any], servers: str | None) -> bool:
    if servers is None:
        return False
    kafka = values.setdefault("kafka", {})
    if not isinstance(kafka, dict) or "bootstrap_servers" in kafka:
        return False
    kafka["bootstrap_servers"] = servers
    return True


def _unknown(variables: Mapping[str, str]) -> Iterator[str]:
    """Names with our prefix whose first part is no key; pydantic finds the wrong keys deeper down."""
    for name in variables:
        key = name.removeprefix(PREFIX.lower())
        if key != name and key.split(_DELIMITER)[0] not in Config.model_fields and not _SERVICE_LINK.fullmatch(name):
            yield name
