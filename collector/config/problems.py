"""Errors of a configuration, in words for the person who writes it: where, what was expected, what was found.

One rule: a secret is never shown. A value is left out when its key holds a secret, when its key is unknown (a mistyped
``token`` is one), and where a URL carries a password.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from collector.config.checks import KeyPath, Misfits
from collector.config.model import Config

_SHOWN_LENGTH_MAX: Final = 60  # enough to recognise a value, short enough for one line

_STRUCTURES: Final[Mapping[str, str]] = {
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

# What pydantic's error types expect, in words; those with a bound take it from the error's context.
_EXPECTED: Final[Mapping[str, str]] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "string_too_long": "at most {max_length} characters",
    "literal_error": "{expected}",
    "path_type": "the path of a file",
    **_STRUCTURES,
    "byte_size": 'a size such as "64MiB"',
    "byte_size_unit": 'a size such as "64MiB"',
    "expected": "{expected}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Args:
        path: the key; empty for a mistake that belongs to no key.
        message: what was expected and what was found, or what else is wrong; no secret.
        keys: every key involved; none of them can be relied on in further checks.
    """

    path: KeyPath
    message: str
    keys: tuple[KeyPath, ...] = ()

    def line(self, variable: str | None = None) -> str:
        """Return the mistake as one line, naming the environment variable the value came from, if any."""
        where = render_path(self.path)
        if variable is not None:
            where = f"{where} (from {variable})"
        return f"{where}: {self.message}" if where else self.message


def render_path(path: KeyPath) -> str:
    """Return a key's path as people write it: ``organizations[0].token``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text


def problems_of(error: ValidationError) -> Iterator[Problem]:
    """Return every mistake that pydantic found, once each, in the order of the keys."""
    for detail in error.errors(include_url=False):
        path: KeyPath = detail["loc"]
        if detail["type"] == "default_factory_not_called":
            continue  # the consequence of another mistake
        if detail["type"] == "extra_forbidden":
            yield Problem(path, unknown_key(path), (path,))
        elif detail["type"] == "missing":
            yield Problem(path, "this key is required", (path,))
        elif isinstance(cause := detail.get("ctx", {}).get("error"), Misfits):
            yield from (Problem((*path, *misfit.keys[0]), misfit.message, misfit.keys) for misfit in cause.found)
        else:
            yield Problem(path, f"expected {expectation(detail)}, found {_found(detail)}", (path,))


def unknown_key(path: KeyPath) -> str:
    """Return what to say about a key that does not exist, with the nearest one that does."""
    section = _section(path[:-1])
    return "unknown key" + suggestion(str(path[-1]), section.model_fields if section else ())


def suggestion(given: str, known: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` with the known word nearest to the given one, or nothing when none is near."""
    by_folded = {word.casefold(): word for word in known}
    nearest = difflib.get_close_matches(given.casefold(), by_folded, n=1)
    return f'; did you mean "{by_folded[nearest[0]]}"?' if nearest else ""


def is_secret(path: KeyPath) -> bool:
    """Return whether the key holds a secret."""
    field = _field(path)
    return field is not None and _mentions(field.annotation, SecretStr)


def shown(value: object) -> str:
    """Return a value from the file as one short piece of text, without a password in a URL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if not isinstance(value, str):
        return str(value)
    if "/" in value and "@" in value:
        return "a URL with user or password"
    text = value if len(value) <= _SHOWN_LENGTH_MAX else value[: _SHOWN_LENGTH_MAX - 3] + "..."
    return '"' + text.encode("unicode_escape").decode("ascii") + '"' if not text.isprintable() else f'"{text}"'


def expectation(detail: ErrorDetails) -> str:
    """Return what pydantic expected, in words that follow "expected"."""
    template = _EXPECTED.get(detail["type"])
    if template is None:
        return detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    context = {key: f"{bound:g}" if isinstance(bound, float) else bound for key, bound in detail.get("ctx", {}).items()}
    return template.format(**context).replace("'", '"')


def _found(detail: ErrorDetails) -> str:
    path, value = detail["loc"], detail["input"]
    if any(is_secret(path[:depth]) for depth in range(1, len(path) + 1)):
        return "a value that is not shown, because it is a secret"
    if detail["type"] in _STRUCTURES and isinstance(value, str):
        return "text"  # of a whole table, with whatever secret it holds
    return shown(value)


def _section(path: KeyPath) -> type[BaseModel] | None:
    """Return the model behind a path; None when there is none, as inside a table with free keys."""
    model: type[BaseModel] = Config
    for step in path:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step)
        inner = next(_models(field.annotation), None) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _field(path: KeyPath) -> FieldInfo | None:
    section = _section(path[:-1])
    return section.model_fields.get(str(path[-1])) if section else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(argument, wanted) for argument in get_args(annotation))
