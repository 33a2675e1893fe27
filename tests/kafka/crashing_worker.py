"""A worker process that stops for ever between its acknowledged records and their commit, waiting to be killed.

Arguments: bootstrap servers, prefix of the topics. It prints "sent" when the records are at the broker.
"""

from __future__ import annotations

import asyncio
import sys

from tests.kafka.owners import before_commit, owner
from tests.kafka.publications import publication, settings_for


async def main() -> None:
    """Publishes once, and then once more without an end."""
    settings = settings_for(sys.argv[1], sys.argv[2])
    async with owner(settings) as (sink, _):
        await sink.publish(publication(["a"], {"n": b"1"}))

        async def hang() -> None:
            sys.stdout.write("sent\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

        before_commit(sink, hang)
        await sink.publish(publication(["lost"], {"n": b"wrong"}))


if __name__ == "__main__":
    asyncio.run(main())
