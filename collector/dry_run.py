"""A sink that prints: ``--dry-run`` shows what would be published, and needs no Kafka.

Rule: standard output carries events only, one JSON object a line; dead letters are a log line each. Nothing is kept:
every dry run begins like a first run.
"""

from __future__ import annotations

import sys

import structlog

from collector.core.model import Destination, Publication
from collector.errors import PublishFailed


class StdoutSink:
    """Prints the value of each event to standard output."""

    worn_out = False

    def __init__(self) -> None:
        self._log = structlog.get_logger("collector.dry_run")

    async def open(self) -> dict[str, bytes]:
        """Nothing is known: the state is empty."""
        return {}

    async def publish(self, publication: Publication) -> None:
        """Print the events.

        Raises:
            PublishFailed: nobody reads standard output any more, or its disk is full.
        """
        lines = []
        for record in publication.records:
            if record.destination is Destination.EVENTS:
                lines.append(record.value + b"\n")
            else:
                headers = dict(record.headers)
                self._log.warning(
                    "would be a dead letter",
                    reason=headers["te.errors.reason"].decode(),
                    message=headers["__connect.errors.exception.message"].decode(),
                    aid=headers["te.errors.aid"].decode(),
                )
        try:
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise PublishFailed("standard output was closed") from error
        except OSError as error:
            raise PublishFailed(f"standard output cannot be written: {error.strerror}") from error

    async def read_again(self) -> dict[str, bytes]:
        """Nothing is kept."""
        return {}

    async def close(self) -> None:
        """Nothing to close."""
