"""Reads the configuration: the file, then the environment over it, then every mistake at once.

One rule: this module is the only reader. Precedence, lowest first: defaults, file, ``KAFKA_BOOTSTRAP_SERVERS``, the
``TE_COLLECTOR_*`` variables. A credential from the environment replaces the file's, also when it is of the other kind
(``token`` instead of ``token_file``).
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from collector.config.checks import KeyPath
from collector.config.environment import (
    CONFIG_FILE_VARIABLE,
    PREFIX,
    Environment,
    is_index,
    read_environment,
    short_name,
)
from collector.config.model import Config
from collector.config.problems import Problem, problems_of, suggestion, unknown_key
from collector.config.sections import OrganizationSection
from collector.errors import ConfigurationError

DEFAULT_FILE: Final = Path("collector.toml")
DEFAULT_ORGANIZATION: Final = "default"  # the name of an organization that comes from the environment alone
_CREDENTIAL_PAIRS: Final = (("token", "token_file"), ("sasl_password", "sasl_password_file"))
_ROUNDS_MAX: Final = 2  # single values, then what must fit together


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where it came from.

    Args:
        config: the valid configuration.
        file: the file that was read; None: environment alone.
        values: what file and environment gave, merged and unvalidated; holds secrets.
        environment: what the environment gave; holds secrets.
    """

    config: Config
    file: Path | None
    values: dict[str, Any]
    environment: Environment

    def __repr__(self) -> str:
        """Leave out the raw values, which hold secrets."""
        return f"Loaded(config={self.config!r}, file={self.file!r})"

    def origin(self, path: KeyPath) -> str:
        """Return where the value at this path came from: a variable, the file's name, or ``default``."""
        if variable := self.environment.variable(path):
            return variable
        value: Any = self.values
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return "default"
        return str(self.file) if self.file else "default"


def load_config(path: Path | None = None, *, organizations_required: bool = True) -> Config:
    """Return the configuration of this process; see `load`."""
    return load(path, organizations_required=organizations_required).config


def load(path: Path | None = None, *, organizations_required: bool = True) -> Loaded:
    """Read the file and the environment.

    Args:
        path: the file; None: what ``TE_COLLECTOR_CONFIG`` names, else ``collector.toml`` here if it exists, else none.
        organizations_required: whether it is a mistake when there is no organization.

    Raises:
        ConfigurationError: the file cannot be read or parsed, or there are mistakes; the message has all of them.
    """
    file = find_file(path)
    from_file = {} if file is None else _read_toml(file)
    environment = read_environment()
    problems = [_unknown_variable(name) for name in environment.unknown]
    given = from_file.get("organizations", [])
    if environment.organization and environment.organization_count(given) > 1:
        problems.append(_ambiguous(environment.organization))
        environment = replace(environment, organization={})
    values, more = _merged(from_file, environment)
    config, found = _validated(values)
    problems += [*more, *found]
    if organizations_required and not values.get("organizations") and not environment.values.get("organizations"):
        problems.append(Problem((), "no organization is configured: " + _ADVICE))
    if config is None or problems:
        raise ConfigurationError(_report(file, environment, problems))
    return Loaded(config, file, values, environment)


_SHOWN_MAX: Final = 20
"""Characters of a variable's name that are shown where it should have an index."""

_ADVICE: Final = (
    "add [[organizations]] with name and token_file to the file, or set TE_COLLECTOR_TOKEN or TE_COLLECTOR_TOKEN_FILE"
)


def find_file(path: Path | None) -> Path | None:
    """Return the file to read, or None when the environment is all there is."""
    if path is not None:
        return path
    if named := os.environ.get(CONFIG_FILE_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.expanduser().open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigurationError(f"{file}: the configuration file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: the configuration file is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        # The message ends in "(at line 3, column 8)" or "(at end of document)".
        raise ConfigurationError(f"{file}: this is not valid TOML: {error}") from None


def _merged(from_file: dict[str, Any], environment: Environment) -> tuple[dict[str, Any], list[Problem]]:
    problems = [Problem((key,), unknown_key((key,))) for key in from_file if key not in Config.model_fields]
    values = {key: copy.deepcopy(value) for key, value in from_file.items() if key in Config.model_fields}
    overlay = dict(environment.values)
    given = values.get("organizations", [])
    organizations = overlay.pop("organizations", {})
    first = organizations.get("0", {}) if isinstance(organizations, dict) else organizations
    if environment.organization and isinstance(first, dict):  # pydantic refuses what is no table where it stands
        nameless = {} if given else {"name": DEFAULT_ORGANIZATION}
        organizations = {**organizations, "0": {**nameless, **environment.organization, **first}}
    if organizations and isinstance(organizations, dict) and isinstance(given, list):
        values["organizations"], strays = _indexed(given, organizations)
        problems += [_no_index(stray, len(values["organizations"])) for stray in strays]
    elif organizations:  # pydantic refuses what is no list
        values["organizations"] = organizations
    return _overlaid(values, overlay), problems


def _overlaid(values: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Return values with the overlay's leaves in place of their own."""
    result = dict(values)
    for pair in _CREDENTIAL_PAIRS:
        if any(key in overlay for key in pair):
            for key in pair:
                result.pop(key, None)
    for key, value in overlay.items():
        old = result.get(key)
        result[key] = _overlaid(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _indexed(given: list[Any], overlay: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Return a list with a table of indices laid over it, those behind its end appended, and the keys that are none."""
    items, strays = list(given), []
    for index in sorted(overlay, key=lambda key: (not is_index(key), int(key) if is_index(key) else 0)):
        value = overlay[index]
        if not is_index(index) or int(index) > len(items):
            strays.append(index)
        elif int(index) == len(items):
            items.append(value)
        elif isinstance(value, dict) and isinstance(items[int(index)], dict):
            items[int(index)] = _overlaid(items[int(index)], value)
        else:
            items[int(index)] = value
    return items, strays


def _validated(values: dict[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Validate; after mistakes in single values also find what does not fit together, with those values left out."""
    problems: list[Problem] = []
    doubtful: set[KeyPath] = set()
    rest = copy.deepcopy(values)
    for _ in range(_ROUNDS_MAX):
        try:
            config = Config.model_validate(rest)
        except ValidationError as error:
            found = [problem for problem in problems_of(error) if doubtful.isdisjoint(problem.keys)]
            problems += found
            for problem in found:
                doubtful.update(problem.keys)
                _leave_out(rest, problem.path)
        else:
            return (None if problems else config), problems
    return None, problems


def _leave_out(values: dict[str, Any], path: KeyPath) -> None:
    """Take the value out, or the nearest key around it when it is an element of a list."""
    if path[0] == "organizations" and path[2:] == ("name",):
        values["organizations"][path[1]]["name"] = f"organization {path[1]}"  # the one key without a default
        return
    tables: list[tuple[dict[str, Any], str]] = []
    value: Any = values
    for step in path:
        if isinstance(value, dict):
            tables.append((value, str(step)))
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
    table, key = tables[-1]
    table.pop(key, None)


def _unknown_variable(name: str) -> Problem:
    short = (short_name(key) for key in OrganizationSection.model_fields)
    known = (*(PREFIX + key.upper() for key in Config.model_fields), *short, CONFIG_FILE_VARIABLE)
    return Problem((), f"{name}: unknown variable{suggestion(name, known)}")


def _no_index(key: str, count: int) -> Problem:
    shown = key.upper() if len(key) <= _SHOWN_MAX else f"{key[:_SHOWN_MAX]}..."
    return Problem(
        (),
        f"{PREFIX}ORGANIZATIONS__{shown}: expected the index of an organization, counted from 0 and none left out: the "
        f"next one is {count}",
    )


def _ambiguous(keys: Iterable[str]) -> Problem:
    key = next(iter(keys))
    return Problem(
        (),
        f"{short_name(key)}: there are several organizations; say which one it is for, "
        f"such as {PREFIX}ORGANIZATIONS__0__{key.upper()}",
    )


def _report(file: Path | None, environment: Environment, problems: list[Problem]) -> str:
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    subject = f"the configuration ({file or 'environment only'}) has {count}:"
    lines = [problem.line(environment.variable(problem.path) if problem.path else None) for problem in problems]
    return "\n  ".join([subject, *lines])
