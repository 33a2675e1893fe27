"""What every test folder shares: the event loop of asynchronous tests, logging as it was, and Kafka brokers."""

import logging
from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = ["tests.kafka_fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio, because aiokafka runs on nothing else."""
    return "asyncio"


LIBRARIES = ("httpx", "httpcore", "asyncio", "uvicorn", "aiokafka")
"""Whose loggers the product quietens."""


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Leaves logging as it was, for the tests that look at what others log."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
