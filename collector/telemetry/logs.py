"""Configures structlog: standard error, one line an event, no secrets.

Rule: secrets never reach a logger (they are `SecretStr` until the request is written); the processor here is the
second net, for what a library may say.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "console", "json"]

_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}|(//)[^/@\s:]+:[^/@\s]+@")
_SECRET_KEYS = frozenset({"token", "password", "authorization", "secret", "sasl_password"})
HIDDEN = "[hidden]"


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace credentials in any text of a log event."""
    for key, value in event.items():
        if key.lower() in _SECRET_KEYS:
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = _CREDENTIALS.sub(lambda match: f"{match[1] or match[2]} {HIDDEN}", value)
    return event


def lead(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put first what people look for first: when, how serious, what."""
    leading = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**leading, **event}


def configure_logs(level: str = "info", form: LogFormat = "auto") -> None:
    """Send the logs of the collector and of its libraries to standard error.

    Args:
        level: debug, info, warning or error.
        form: ``console`` for people, ``json`` for machines; ``auto``: people when standard error is a terminal.
    """
    people = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if people:
        last = [hide_secrets, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        last = [structlog.processors.format_exc_info, hide_secrets, lead, structlog.processors.JSONRenderer()]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # Libraries speak of every request and reconnection; what matters of it is in our own lines and metrics.
    for name in ("httpx", "httpcore", "asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    # aiokafka calls an error what it tries again a moment later; what stays comes to us as an exception.
    logging.getLogger("aiokafka").setLevel(number if number <= logging.DEBUG else logging.CRITICAL)
