"""The API of the benchmark: answers with bytes that were made before, from a process of its own.

The one rule: never the bottleneck. It parses a request line and a length, nothing else, and it looks at no token; the
pages lie in a file that is mapped into memory. Its quota headers allow more than anybody could ask.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
import sys
import time
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

from tests.bench.layout import LIST_PATH, SESSIONS_PATH, VIEWS
from tests.bench.pages import Book, account_group_list, write_pages

LOOPBACK = "127.0.0.1"
QUOTA = 10**9
"""Requests a minute: the collector then waits for nobody."""

QUOTA_WINDOW_S = 60

_HEAD_BYTES_MAX = 16_384


class Pages:
    """Answers, head and body, for a path with its query."""

    def __init__(self, file: Path, book: Book, *, compressed: bool) -> None:
        self._book = book
        self._compressed = compressed
        with file.open("rb") as opened:
            self._memory = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        self._list = account_group_list()
        self._second = 0
        self._varying = b""

    def answer(self, target: str) -> tuple[bytes, memoryview | bytes]:
        """Head and body for a request target; 404 for what is not there."""
        path, _, query = target.partition("?")
        view, _, rest = path[1:].partition("/")
        if view not in VIEWS:
            return self._head(404, 0, compressed=False), b""
        if f"/{rest}" == LIST_PATH:
            return self._head(200, len(self._list), compressed=False), self._list
        wanted = parse_qs(query)
        pages = self._book.get((view, wanted.get("aid", [""])[0]))
        number = int(wanted.get("cursor", ["0"])[0])
        if f"/{rest}" != SESSIONS_PATH or pages is None or number >= len(pages):
            return self._head(404, 0, compressed=False), b""
        span = pages[number]
        head = self._head(200, span.size, compressed=self._compressed)
        return head, self._memory[span.start : span.start + span.size]

    def _head(self, status: int, size: int, *, compressed: bool) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            reset = now - now % QUOTA_WINDOW_S + QUOTA_WINDOW_S
            self._varying = (
                f"Date: {formatdate(now, usegmt=True)}\r\n"
                f"X-Organization-Rate-Limit-Limit: {QUOTA}\r\n"
                f"X-Organization-Rate-Limit-Remaining: {QUOTA}\r\n"
                f"X-Organization-Rate-Limit-Reset: {reset}\r\n"
                "Content-Type: application/json\r\n"
            ).encode()
        encoding = b"Content-Encoding: gzip\r\n" if compressed else b""
        return b"HTTP/1.1 %d .\r\nContent-Length: %d\r\n%b%b\r\n" % (status, size, encoding, self._varying)


class _Connection(asyncio.Protocol):
    """Reads requests one after the other. Mutable state: the bytes of the one that is arriving."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._arrived = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        while self._transport is not None:
            head, end, rest = self._arrived.partition(b"\r\n\r\n")
            if not end:
                if len(head) > _HEAD_BYTES_MAX:
                    self._transport.close()
                return
            body_bytes = _content_length(head)
            if len(rest) < body_bytes:
                return
            self._arrived = rest[body_bytes:]
            target = head.split(b" ", 2)[1].decode("ascii")
            answer_head, body = self._pages.answer(target)
            self._transport.write(answer_head)
            if body:
                self._transport.write(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(file: Path, records: int, *, compressed: bool) -> None:
    """Make the pages, tell the address on standard output, then answer until standard input ends."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server((LOOPBACK, 0))
    origin = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    book = write_pages(file, records=records, origin=origin, now_s=time.time(), compressed=compressed)
    pages = Pages(file, book, compressed=compressed)
    server = await loop.create_server(lambda: _Connection(pages), sock=listening)
    async with server:
        print(origin, flush=True)
        # The parent holds the other end: when it ends, however it ends, so does this process.
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), compressed=sys.argv[3] == "gzip"))
