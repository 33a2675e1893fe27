"""Commands that need brokers only, beside a collector or without one: how they begin, answer a script,
and say what they cannot read.

One rule: no organization and no token is needed, and standard output holds nothing but the answer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from collector.composition import kafka_settings
from collector.config import Config, load_config
from collector.errors import StartRefused
from collector.kafka.logs import limit_client_logs
from collector.kafka.settings import KafkaSettings
from collector.telemetry.logs import configure_logs


def prepared(file: Path | None) -> tuple[Config, KafkaSettings]:
    """The configuration, and what of it concerns Kafka; the clients' own logs are kept quiet.

    Args:
        file: configuration file; None: see `collector.config.load`.

    Raises:
        ConfigurationError: it is wrong.
    """
    config = load_config(file, organizations_required=False)
    configure_logs("error", config.log_format)
    limit_client_logs()
    return config, kafka_settings(config.kafka)


def print_json(document: dict[str, Any]) -> None:
    """Write a document to standard output."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def unreadable(topic: str, key: str, error: Exception) -> StartRefused:
    """What to say of a record that another version wrote, or nobody of us."""
    return StartRefused(
        f"{topic} holds what this version cannot read at {key} ({error}); use the version that wrote it"
    )
