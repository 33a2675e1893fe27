"""HTTP/1.1 by hand, on sockets and threads: an answer can be framed, spelled and broken in every way.

One rule: it knows nothing of sessions; a handler turns a request into an answer.
"""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

# A client that is silent for longer has gone.
IDLE_S = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """Parameters in their order."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for header, value in self.headers if header.lower() == name]


@dataclass(slots=True)
class Answer:
    """What is sent.

    Args:
        delay_s: wait before the status line.
        broken: "", "dropped" (nothing is sent) or "half" (half of the body, then the end).
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay_s: float = 0.0
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How answers are written.

    Args:
        names: case of header names: "documented", "lower" or "mixed".
        framing: "length", "chunked", "close" (Connection: close) or "http10" (no length, ends with the connection).
        compress: gzip if the client accepts it.
        date_skew_s: what the Date header adds to this machine's clock; None: no Date header.
    """

    names: str = "documented"
    framing: str = "length"
    compress: bool = False
    date_skew_s: float | None = 0.0

    def name(self, header: str) -> str:
        """A header's name in this case."""
        if self.names == "lower":
            return header.lower()
        return (
            header
            if self.names == "documented"
            else "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(header))
        )


Handler = Callable[[Request], Answer]


class Listener:
    """A server on a free port of 127.0.0.1. Use it as a context manager."""

    def __init__(self, handler: Handler, spelling: Spelling) -> None:
        """``handler`` is called in the connection's thread."""
        self.spelling = spelling
        self.connections = 0
        self._handler = handler
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.port = self._socket.getsockname()[1]

    def __enter__(self) -> "Listener":
        """Begin to accept."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        for each in (self._socket, *tuple(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        connection.settimeout(IDLE_S)
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while (request := read_request(stream)) is not None and self._answer(connection, request):
                pass
        self._open.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        answer = self._handler(request)
        if answer.delay_s:
            time.sleep(answer.delay_s)
        if answer.broken == "dropped":
            return False
        encoded = self._encode(answer, accepts_gzip="gzip" in ",".join(request.all("accept-encoding")))
        if answer.broken == "half":
            encoded = encoded[: len(encoded) - max(1, len(answer.body) // 2)]
        connection.sendall(encoded)
        return not answer.broken and self.spelling.framing in {"length", "chunked"}

    def _encode(self, answer: Answer, accepts_gzip: bool) -> bytes:
        spelling, body = self.spelling, answer.body
        headers = {"Server": "nginx", "Content-Type": answer.content_type, **answer.headers}
        if spelling.date_skew_s is not None:
            headers["Date"] = formatdate(time.time() + spelling.date_skew_s, usegmt=True)
        if spelling.compress and accepts_gzip and body:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        if spelling.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif spelling.framing != "http10":
            headers["Content-Length"] = str(len(body))
        if spelling.framing == "close":
            headers["Connection"] = "close"
        version = "1.0" if spelling.framing == "http10" else "1.1"
        lines = [f"HTTP/{version} {answer.status} Reason", *(f"{spelling.name(k)}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_request(stream: BinaryIO) -> Request | None:
    """The next request of a connection; None at its end."""
    first = stream.readline()
    if not first.strip():
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers = []
    while (line := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    given = {name.lower(): value for name, value in headers}
    if given.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    else:
        body = stream.read(int(given.get("content-length", "0")))
    return Request(method, target, tuple(headers), body, time.time())
