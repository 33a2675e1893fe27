"""`te-collector tail`: committed records as JSON lines.

One rule: it needs brokers only. No organization, no token, no group, no commit.
"""

from __future__ import annotations

import base64
import select
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import anyio
import orjson

from collector.cli.brokers_only import prepared
from collector.config import KafkaSection
from collector.kafka.settings import KafkaSettings
from collector.kafka.tail import TailRecord, tail

_READER_CHECK_S: Final = 0.5  # `tail | head` returns to the prompt this late at most; costs nothing measurable


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
    config, settings = prepared(file)
    name = _topic(config.kafka, topic)
    follow = partial(_print, settings, name, from_beginning=from_beginning, max_records=max_records)
    anyio.run(follow, backend="asyncio")


def line(record: TailRecord) -> bytes:
    """Return a record as one line of JSON.

    A value that is JSON is ``value``; text that is not is ``value_text``, other bytes are ``value_base64``. Keys and
    headers are never read as JSON: they are text under their own name, other bytes with ``_base64`` behind it.
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
        tasks.start_soon(_stop_without_reader, tasks.cancel_scope)
        records = cast(
            "AsyncGenerator[TailRecord, None]",
            tail(settings, (topic,), from_beginning=from_beginning, max_records=max_records),
        )
        async with aclosing(records):  # or the client would be left open when the output is closed
            async for record in records:
                sys.stdout.buffer.write(line(record))
                sys.stdout.buffer.flush()  # a record is of use when it is seen
        tasks.cancel_scope.cancel()


async def _stop_at_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _stop_without_reader(scope: anyio.CancelScope) -> None:
    """End when whoever read the output is gone; without a new record no write would ever tell."""
    if sys.stdout.isatty():
        return  # a terminal that closes sends a signal; and poll() does not know terminals everywhere
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors and hang-ups are reported without being asked for
    # Asked again and again, because asyncio reports only what can be read or written, not a hang-up.
    while not any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0)):  # noqa: ASYNC110
        await anyio.sleep(_READER_CHECK_S)
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
