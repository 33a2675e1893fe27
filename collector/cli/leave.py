"""`te-collector leave`: gives away what a worker with an instance id owns, because it does not come back.

One rule: it asks the brokers only, so it works wherever the worker ran, and also when its machine is gone.
"""

from __future__ import annotations

from pathlib import Path

import anyio

from collector.cli.outcome import say
from collector.composition import kafka_settings
from collector.config import load_config
from collector.errors import ConfigurationError
from collector.kafka.leave_group import say_goodbye

TIMEOUT_S = 15.0
"""To find the coordinator of the group and hear its answer."""


def leave_group(file: Path | None, instance_id: str | None) -> None:
    """Remove a worker from the group of workers.

    Args:
        file: configuration file; None: see `collector.config.load`.
        instance_id: of the worker; None: the configured one.

    Raises:
        ConfigurationError: the configuration is wrong, or no instance id is given.
        KafkaUnreachable: the brokers did not do it.
    """
    config = load_config(file, organizations_required=False)
    instance_id = instance_id or config.kafka.instance_id
    if instance_id is None:
        raise ConfigurationError(
            "which worker? Say its kafka.instance_id as an argument; workers without one give everything away when "
            "they stop"
        )
    anyio.run(say_goodbye, kafka_settings(config.kafka), config.kafka.group_id, instance_id, TIMEOUT_S)
    say(f"te-collector: {instance_id} is no member of {config.kafka.group_id} (any more); the others take over")
