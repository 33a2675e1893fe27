"""`te-collector simulate`: a local ThousandEyes API.

One rule: its options are the fields of `SimulatorSettings`, with their names, documentation and defaults, so that the
two cannot drift apart. A field of a group has the group in front: ``--fault-status-429``, ``--inferred-round-s``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import anyio
import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from collector.cli.outcome import ExitCode, command, say
from collector.config.problems import expectation, shown
from collector.simulator.server import AddressUnavailable, serve
from collector.simulator.settings import SimulatorSettings

_PORT_DEFAULT: Final = 8080
_GROUP_PREFIXES: Final[Mapping[str, str]] = {"faults": "fault_", "inferred": "inferred_"}
_SHORTER: Final[Mapping[str, str]] = {"quota_limit": "--quota"}
_LEFT_OUT: Final = frozenset({"organizations"})  # a list of tables is no option; organization_count makes several
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class _Switch:
    """A field of the settings as an option.

    Args:
        parameter: the option's name as a Python identifier.
        path: where the field is.
        field: the field.
    """

    parameter: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def option(self) -> str:
        return "--" + self.parameter.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        return self.field.annotation is bool

    def value(self, text: str) -> object:
        """Return what the settings are given for this text; they check it."""
        kinds = get_args(self.field.annotation)
        if NoneType in kinds and text.lower() == _NONE:
            return None
        if get_origin(self.field.annotation) is frozenset:
            return [part.strip() for part in text.split(",") if part.strip()]
        if text.isdigit() and any(isinstance(choice, int) for choice in _choices(self.field.annotation)):
            return int(text)
        return text


def simulate_app() -> typer.Typer:
    """Return the command with an option for every switch of the simulator."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    switches = tuple(_switches(SimulatorSettings))

    def simulate(host: str, port: int, **given: Any) -> int:
        return _simulate(host, port, _settings(switches, given))

    simulate.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*_address_parameters(), *map(_parameter, switches)]
    )
    simulate.__annotations__ = {"return": int} | {
        parameter.name: parameter.annotation for parameter in [*_address_parameters(), *map(_parameter, switches)]
    }
    simulate.__doc__ = (
        "Run a local ThousandEyes API with made-up sessions, to try the collector out.\n\n"
        "The same seed and origin give the same sessions. SIGTERM and Ctrl-C stop it."
    )
    app.command(context_settings={"help_option_names": ["--help", "-h"]})(command(simulate))
    return app


def _simulate(host: str, port: int, settings: SimulatorSettings) -> int:
    try:
        anyio.run(partial(serve, settings, host, port), backend="asyncio")
    except AddressUnavailable as error:
        say(f"te-collector: {error}")
        return ExitCode.FAILED
    return ExitCode.DONE


def _switches(model: type[BaseModel], path: tuple[str, ...] = (), prefix: str = "") -> Iterator[_Switch]:
    for name, field in model.model_fields.items():
        if name in _LEFT_OUT:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _switches(field.annotation, (*path, name), _GROUP_PREFIXES.get(name, f"{name}_"))
        else:
            yield _Switch(prefix + name, (*path, name), field)


def _address_parameters() -> list[inspect.Parameter]:
    port = Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any free one.")]
    host = Annotated[str, typer.Option(help="Address to listen on.")]
    return [
        inspect.Parameter("host", inspect.Parameter.KEYWORD_ONLY, default="127.0.0.1", annotation=host),
        inspect.Parameter("port", inspect.Parameter.KEYWORD_ONLY, default=_PORT_DEFAULT, annotation=port),
    ]


def _parameter(switch: _Switch) -> inspect.Parameter:
    names = [switch.option]
    if switch.is_flag:
        names = [f"{switch.option}/--no-{switch.option.removeprefix('--')}"]
    elif shorter := _SHORTER.get(switch.parameter):
        names.insert(0, shorter)
    option = typer.Option(*names, metavar=None if switch.is_flag else _metavar(switch), help=_help(switch))
    kind: Any = bool | None if switch.is_flag else str | None
    annotation = Annotated[kind, option]
    return inspect.Parameter(switch.parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(switch: _Switch) -> str:
    choices = _choices(switch.field.annotation)
    if choices:
        kind = "|".join(map(str, choices))
    else:
        kinds = [
            kind for kind in (get_args(switch.field.annotation) or (switch.field.annotation,)) if kind is not NoneType
        ]
        kind = "LIST" if get_origin(switch.field.annotation) is frozenset else _kind(kinds[0])
    return f"{kind}|{_NONE}" if NoneType in get_args(switch.field.annotation) else kind


def _kind(annotation: Any) -> str:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return {int: "INTEGER", float: "NUMBER"}.get(annotation, "TEXT")


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((choices for part in get_args(annotation) if (choices := _choices(part))), ())


def _help(switch: _Switch) -> str:
    description = " ".join((switch.field.description or "").split())
    default = switch.field.default
    if default is None:
        written = _NONE
    elif isinstance(default, bool):
        written = "on" if default else "off"
    else:
        written = str(default) if not isinstance(default, frozenset) else ",".join(map(str, default)) or "empty"
    return f"{description} [default: {written}]".strip()


def _settings(switches: tuple[_Switch, ...], given: Mapping[str, Any]) -> SimulatorSettings:
    values: dict[str, Any] = {}
    for switch in switches:
        value = given[switch.parameter]
        if value is not None:
            group = values
            for step in switch.path[:-1]:
                group = group.setdefault(step, {})
            group[switch.path[-1]] = value if switch.is_flag else switch.value(value)
    try:
        return SimulatorSettings.model_validate(values)
    except ValidationError as error:
        options = {switch.path: switch.option for switch in switches}
        raise typer.BadParameter("; ".join(_mistakes(error, options.get))) from None


def _mistakes(error: ValidationError, option: Callable[[tuple[str, ...]], str | None]) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        # The path may go on behind the field, into a member of a union or of a list.
        paths = [tuple(map(str, detail["loc"][:depth])) for depth in range(len(detail["loc"]), 0, -1)]
        name = next((name for path in paths if (name := option(path))), None)
        if name is None:
            yield detail["msg"].removeprefix("Value error, ")
        else:
            yield f"{name}: expected {expectation(detail)}, found {shown(detail['input'])}"
