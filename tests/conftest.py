"""What every test folder shares: the event loop of asynchronous tests, and Kafka brokers."""

import pytest

pytest_plugins = ["tests.kafka_fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio, because aiokafka runs on nothing else."""
    return "asyncio"
