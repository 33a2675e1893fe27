"""A worker process that stops between its acknowledged records and their commit, until a line comes on standard input.

Arguments: bootstrap servers, prefix of the topics. It prints "sent" when the records are at the broker, and at the end
the class of the error with which its publish ended, or "committed".
"""

from __future__ import annotations

import asyncio
import sys

from collector.errors import CollectorError
from tests.kafka.owners import before_commit, owner
from tests.kafka.publications import publication, settings_for

SETTINGS = {"event_partitions": 1, "transaction_timeout_ms": 10_000, "send_timeout_s": 5.0, "commit_timeout_s": 5.0}


async def main() -> None:
    """Publishes once, and then once more, with a pause."""
    settings = settings_for(sys.argv[1], sys.argv[2], **SETTINGS)
    async with owner(settings) as (sink, _):
        await sink.publish(publication(["a"], {"n": b"1"}))

        async def pause() -> None:
            print("sent", flush=True)
            sys.stdin.readline()  # blocks the whole process, as a signal would

        before_commit(sink, pause)
        try:
            await sink.publish(publication(["lost"], {"n": b"wrong"}))
        except CollectorError as error:
            print(type(error).__name__, flush=True)
        else:
            print("committed", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
