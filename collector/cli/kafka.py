"""`te-collector kafka`: a real Kafka on this machine."""

from __future__ import annotations

from pathlib import Path

import anyio
import typer

from collector.cli.outcome import say
from collector.local_kafka import LocalKafkaSettings
from collector.local_kafka.run import run_kafka


def run_local_kafka(*, port: int, data_dir: Path, brokers: int, jars_dir: Path | None = None) -> None:
    """Run brokers until SIGTERM or Ctrl-C.

    Args:
        port: of the first broker; 0: any free one.
        data_dir: holds topics and logs.
        brokers: 1 or 3.
        jars_dir: has the jars of the lock file; None: they are fetched once and cached.

    Raises:
        LocalKafkaError: it cannot be started, or a broker ended by itself.
    """
    try:
        settings = LocalKafkaSettings(data_dir=data_dir, port=port, brokers=brokers, jars_dir=jars_dir, report=say)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    anyio.run(run_kafka, settings, _say_ready, backend="asyncio")


def _say_ready(line: str) -> None:
    typer.echo(line)
