"""A server on a real socket that says exactly the bytes a test wants, also the wrong ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketListener, SocketStream

from collector.core.model import PageRequest, Window
from collector.sources.thousandeyes import Credentials, SourceSettings

CANARY = "canary-5f0c9a1e77d24b8f"
REQUEST = PageRequest("7625", Window(1_490_529_480, 1_490_529_540))
QUOTA_HEADERS = {
    "X-Organization-Rate-Limit-Limit": "240",
    "X-Organization-Rate-Limit-Remaining": "239",
    "X-Organization-Rate-Limit-Reset": "1490622120",
    "Date": "Mon, 27 Mar 2017 13:41:02 GMT",
}


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


Script = Callable[[ByteStream, Received], Awaitable[None]]


@dataclass
class RawServer:
    """What a script serves, and what was received."""

    script: Script
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, stream: ByteStream) -> None:
        self.connections += 1
        received = b""
        try:
            async with stream:
                while True:
                    while b"\r\n\r\n" not in received:
                        received += await stream.receive()
                    head, _, received = received.partition(b"\r\n\r\n")
                    first, *lines = head.decode("latin-1").split("\r\n")
                    headers = {
                        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                    }
                    length = int(headers.get("content-length", "0"))
                    while len(received) < length:
                        received += await stream.receive()
                    body, received = received[:length], received[length:]
                    method, target, _ = first.split(" ")
                    request = Received(method, target, headers, body)
                    self.requests.append(request)
                    await self.script(stream, request)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[RawServer]:
    """Serves a script on a free port of this machine until the block ends."""
    server = RawServer(script)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    server.port = listener.extra(SocketAttribute.local_port)
    [socket] = listener.listeners
    assert isinstance(socket, SocketListener)
    accepted: list[SocketStream] = []

    async def accept() -> None:
        while True:
            try:
                stream = await socket.accept()
            except anyio.ClosedResourceError:
                return
            accepted.append(stream)
            tasks.start_soon(server.handle, stream)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            yield server
            await listener.aclose()
            tasks.cancel_scope.cancel()
    finally:
        # A handler that was cancelled before its first step has closed nothing.
        await listener.aclose()
        for stream in accepted:
            await anyio.aclose_forcefully(stream)


def answer(
    body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None, *, length: int | None = None
) -> bytes:
    """The bytes of one answer.

    Args:
        body: its body.
        status: code and phrase.
        headers: instead of those of the quota and the date.
        length: Content-Length when it should lie.
    """
    fields = dict(QUOTA_HEADERS if headers is None else headers)
    fields["Content-Length"] = str(len(body) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


def always(whole_answer: bytes) -> Script:
    """A script that gives every request the same answer."""

    async def script(stream: ByteStream, _: Received) -> None:
        await stream.send(whole_answer)

    return script


def in_turn(*answers: bytes) -> Script:
    """A script that gives the first request the first answer, and so on."""
    left = list(answers)

    async def script(stream: ByteStream, _: Received) -> None:
        await stream.send(left.pop(0))

    return script


def settings(base_url: str, **changes: object) -> SourceSettings:
    """Settings of a source with the canary as its token."""
    values = {"organization": "example", "credentials": Credentials.from_token(CANARY), "base_url": base_url} | changes
    return SourceSettings(**values)  # type: ignore[arg-type]
