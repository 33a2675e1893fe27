"""Runs a cluster in the foreground until it is told to stop: the command `te-collector kafka`.

The one rule: standard output gets one line when the cluster is ready, and nothing else.
"""

import signal
from collections.abc import Callable

import anyio

from collector.local_kafka.background import in_background
from collector.local_kafka.cluster import LocalKafka, local_kafka
from collector.local_kafka.settings import KAFKA_VERSION, LocalKafkaSettings


async def run_kafka(settings: LocalKafkaSettings, say: Callable[[str], None] = print) -> None:
    """Run a cluster until SIGTERM or SIGINT (Ctrl-C).

    Args:
        settings: what to start.
        say: gets the one line that says how to reach it.

    Raises:
        LocalKafkaError: it could not be started, or a broker ended by itself; the message is one line for people.
    """
    with anyio.CancelScope() as scope:
        # Signals count from the first moment on: a start takes seconds, the first one with its downloads longer.
        async with in_background(_cancel_on_signal, scope), local_kafka(settings) as cluster:
            say(_ready_line(settings, cluster))
            await cluster.wait_for_failure()


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _ready_line(settings: LocalKafkaSettings, cluster: LocalKafka) -> str:
    brokers = "1 broker" if settings.brokers == 1 else f"{settings.brokers} brokers"
    return (
        f"Kafka {KAFKA_VERSION} ({brokers}) is ready at {cluster.bootstrap_servers}, data in {settings.data_dir}. "
        "Ctrl-C stops it."
    )
