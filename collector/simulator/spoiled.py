"""Answers that break on the wire: cut in mid-body, closed without a word, complete but with cut JSON.

One rule: only this module touches the connection under an answer. `server.py` puts it into the scope; without one, as
in an in-memory transport, a broken connection is an exception.
"""

from typing import Literal, Protocol

import anyio
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONNECTION = "simulator.connection"
"""Where the scope holds the connection."""

_CLOSED_WITHIN_S = 5.0
"""Time for the event loop to report a connection closed; it takes one turn."""


class Connection(Protocol):
    """What is needed of a transport."""

    def abort(self) -> None:
        """Closes at once."""

    def close(self) -> None:
        """Closes when everything written has been sent."""


class ConnectionBroken(Exception):
    """Stands for a broken connection where there is none to break."""


async def close_connection(scope: Scope, receive: Receive, *, flush: bool) -> None:
    """Closes the connection under a request and waits until the server has noticed.

    Args:
        scope: of the request.
        receive: of the request.
        flush: whether what was written is sent first.

    Raises:
        ConnectionBroken: the request came over an in-memory transport.
    """
    connection: Connection | None = scope.get(CONNECTION)
    if connection is None:
        raise ConnectionBroken
    if flush:
        connection.close()
    else:
        connection.abort()
    with anyio.move_on_after(_CLOSED_WITHIN_S):
        while (await receive())["type"] != "http.disconnect":
            pass


class SpoiledSend:
    """Runs an application and spoils the body of its answer.

    Args:
        app: the application; its answer must be one body message.
        kind: `truncated` promises the whole length and closes half-way, `malformed` promises and sends the half.
    """

    def __init__(self, app: ASGIApp, kind: Literal["truncated", "malformed"]) -> None:
        self._app, self._kind = app, kind
        self._start: Message = {}
        self._body = b""

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        await self._app(scope, receive, self._keep)
        half = self._body[: len(self._body) // 2]
        if self._kind == "malformed":
            MutableHeaders(scope=self._start)["Content-Length"] = str(len(half))
            await send(self._start)
            await send({"type": "http.response.body", "body": half})
        else:
            await send(self._start)
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await close_connection(scope, receive, flush=True)

    async def _keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body += message.get("body", b"")
