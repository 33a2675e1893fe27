"""`te-collector run`: reads the configuration, tries what needs no network, and hands over to the service.

One rule: signals belong to the service, which finishes what is in hand.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio

from collector.cli.options import LogLevel
from collector.cli.outcome import say
from collector.composition import require_usable, warnings
from collector.config import Config, load
from collector.service import run_service


def run_collector(file: Path | None, *, once: bool, dry_run: bool, log_level: LogLevel | None) -> int:
    """Run the collector until it is stopped, or until nothing is left.

    Args:
        file: configuration file; None: see `collector.config.load`.
        once: end when everything up to now is collected.
        dry_run: print events instead of writing to Kafka.
        log_level: instead of the configured one.

    Returns:
        The exit code of the process.

    Raises:
        ConfigurationError: the configuration is wrong, or cannot be used on this machine.
    """
    loaded = load(file)

    def read_config() -> Config:
        """As it is in the file now, with the same options over it."""
        config = load(loaded.file).config
        require_usable(config, kafka=not dry_run)
        return config if log_level is None else config.model_copy(update={"log_level": log_level.value})

    config = loaded.config if log_level is None else loaded.config.model_copy(update={"log_level": log_level.value})
    require_usable(config, kafka=not dry_run)
    for warning in warnings(config):
        say(f"te-collector: warning: {warning}")
    service = partial(run_service, config, once=once, dry_run=dry_run, read_config=read_config, file=loaded.file)
    return anyio.run(service, backend="asyncio")
