"""A network between a worker and a broker that can be cut: a TCP relay on loopback, in a process of its own.

    python -m tests.workers.hole PORT TARGET_PORT

Frozen with SIGSTOP it is a black hole: the kernel goes on accepting connections and taking bytes, and nothing is ever
answered, as when a firewall drops packets. With SIGCONT everything that was on its way arrives, late.
"""

import asyncio
import contextlib
import sys

CHUNK_BYTES = 65_536


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until that end closes."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int, target_port: int) -> None:
    """Relay every connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", target_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(relay(reader, back), relay(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print("relaying", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
