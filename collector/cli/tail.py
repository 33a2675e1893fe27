"""`te-collector tail`: committed records as JSON lines.

One rule: it needs brokers only. No organization, no token, no group, no commit.
"""

from __future__ import annotations

import base64
import signal
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson

from collector.composition import kafka_settings
from collector.config import KafkaSection, load_config
from collector.kafka.settings import KafkaSettings
from collector.kafka.tail import TailRecord, tail


def print_topic(file: Path | None, topic: str, *, from_beginning: bool, max_records: int | None) -> None:
    """Print records until enough were seen, SIGTERM, Ctrl-C, or until nobody reads the output any more.

    Args:
        file: configuration file; None: see `collector.config.load`.
        topic: ``events``, ``dlq``, or a topic's name.
        from_beginning: from the oldest record.
        max_records: end after so many; None: never.

    Raises:
        ConfigurationError: the configuration is wrong.
        StartRefused: the topic does not exist, or no broker answers.
    """
    section = load_config(file, organizations_required=False).kafka
    settings = kafka_settings(section)
    follow = partial(
        _print, settings, _topic(section, topic), from_beginning=from_beginning, max_records=max_records
    )
    anyio.run(follow, backend="asyncio")


def line(record: TailRecord) -> bytes:
    """Return a record as one line of JSON.

    A value that is JSON is ``value``; text that is not is ``value_text``, other bytes are ``value_base64``. The same holds
    for keys, which are never read as JSON, and for headers that are no text.
    """
    shown = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": _timestamp(record.timestamp_ms),
        **_text("key", record.key),
        "headers": {name: value for key, content in record.headers for name, value in _text(key, content).items()},
        **_value(record.value),
    }
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)


async def _print(settings: KafkaSettings, topic: str, *, from_beginning: bool, max_records: int | None) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_at_signal, tasks.cancel_scope)
        async for record in tail(settings, (topic,), from_beginning=from_beginning, max_records=max_records):
            sys.stdout.buffer.write(line(record))
            # A record is of use when it is seen; and only a flush notices that nobody reads any more.
            sys.stdout.buffer.flush()
        tasks.cancel_scope.cancel()


async def _stop_at_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _topic(section: KafkaSection, name: str) -> str:
    return {"events": section.events_topic, "dlq": section.dead_letters_topic}.get(name, name)


def _timestamp(timestamp_ms: int) -> str:
    moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {"value": None}
    try:
        return {"value": orjson.loads(value)}
    except orjson.JSONDecodeError:
        shown = _text("value", value)
        return {f"{key}_text" if key == "value" else key: text for key, text in shown.items()}


def _text(name: str, content: bytes | None) -> dict[str, str | None]:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode("ascii")}
