"""`te-collector validate`: shows what a configuration means, without sending anything.

One rule: secrets are masked, values and their origins are complete: what is printed is what `run` will use.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from collector.cli.outcome import ExitCode, say
from collector.composition import mistakes, warnings
from collector.config import Config, Loaded, OrganizationSection, load
from collector.config.checks import KeyPath
from collector.config.durations import format_duration
from collector.config.problems import render_path

_COLUMN_MAX = 72  # origins line up behind values up to this width; longer values push their own


def validate_configuration(file: Path | None, *, files: bool) -> int:
    """Print what `run` would do with this configuration, or every mistake in it.

    Args:
        file: configuration file; None: see `collector.config.load`.
        files: whether to look at the files that the configuration names.

    Returns:
        The exit code of the process.

    Raises:
        ConfigurationError: the configuration is wrong.
    """
    loaded = load(file)
    sys.stdout.write("\n".join(_report(loaded)) + "\n")
    for warning in warnings(loaded.config, files=files):
        say(f"te-collector: warning: {warning}")
    found = mistakes(loaded.config, files=files)
    if found:
        advice = "" if not files else " (--no-files leaves the files out)"
        say("\n  ".join([f"te-collector: this configuration would not start here{advice}:", *found]))
        return ExitCode.BAD_CONFIGURATION
    return ExitCode.DONE


def print_schema() -> int:
    """Print the JSON Schema of the configuration file, for editors and checks."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return ExitCode.DONE


def _report(loaded: Loaded) -> Iterator[str]:
    config = loaded.config
    yield f"The configuration ({loaded.file or 'environment only'}) is valid. The collector will"
    for organization in config.organizations:
        yield f"  - poll {_organization(organization)}"
    yield (
        f"  - begin {format_duration(config.initial_lookback)} ago on a first run, and accept sessions up to "
        f"{format_duration(config.late_horizon)} late"
    )
    yield f"  - {_sweeps(config)}"
    kafka = config.kafka
    yield f"  - write events to the topic {kafka.events_topic} at {kafka.bootstrap_servers},"
    yield f"    dead letters to {kafka.dead_letters_topic}, state to {kafka.state_topic} and {kafka.shards_topic}"
    yield "    (it creates those that are missing)" if kafka.create_topics else "    (all of them must exist)"
    yield (
        f"  - show status and metrics at http://{config.admin.listen}" if config.admin.listen else "  - show no status"
    )
    yield ""
    yield "Effective values and where they come from:"
    yield from _table(loaded)


def _sweeps(config: Config) -> str:
    parts = []
    if config.sweep_interval:
        parts.append(f"{format_duration(config.sweep_reach)} every {format_duration(config.sweep_interval)}")
    if config.late_sweep_interval:
        every = format_duration(config.late_sweep_interval)
        parts.append(f"{format_duration(config.late_horizon)} every {every}")
    overlap = f"reach back {format_duration(config.overlap)} to {format_duration(_overlap_max(config))} at every poll"
    return f"{overlap}, and walk again for late sessions the last {' and '.join(parts)}" if parts else overlap


def _overlap_max(config: Config) -> timedelta:
    return min(max(config.overlap, config.overlap_max), config.late_horizon)


def _organization(organization: OrganizationSection) -> str:
    groups = organization.account_groups
    which = "every account group that its token can see" if groups is None else f"account groups {', '.join(groups)}"
    return (
        f'"{organization.name}": {which}, API {organization.api_version} at {organization.base_url}, '
        f"with at most {organization.quota_share:.0%} of its request quota"
    )


def _table(loaded: Loaded) -> Iterator[str]:
    rows = [(f"{render_path(path)} = {_shown(value)}", loaded.origin(path)) for path, value in _leaves(loaded.config)]
    width = max(len(text) for text, _ in rows if len(text) <= _COLUMN_MAX)
    yield from (f"  {text:<{width}}  # {origin}" for text, origin in rows)


def _leaves(section: BaseModel, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*path, key))
        elif key == "organizations":
            for index, organization in enumerate(value):
                yield from _leaves(organization, (*path, key, index))
        elif value is not None:
            yield (*path, key), value


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return '"********"'
    if isinstance(value, timedelta):
        return f'"{format_duration(value)}"'
    return json.dumps(value, default=str, ensure_ascii=False)
