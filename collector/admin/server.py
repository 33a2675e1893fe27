"""Serves health, metrics and status over HTTP.

Rule: reads only. ``/livez`` looks at nothing but the process: a liveness check that looked at Kafka or at the API
would have the collector restarted for their trouble. ``/readyz`` tells whether the work is being done, and
what it waits for.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import orjson
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.admin.page import PAGE
from collector.errors import StartRefused

PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The page holds its own style and script and asks this process only; a browser is told to allow it nothing else."""

CLOSE_S = 1
"""How long open connections may hold up a stop, seconds; uvicorn takes whole ones."""


def admin_app(snapshot: Callable[[], dict[str, Any]], registry: CollectorRegistry) -> Starlette:
    """The ASGI application.

    Args:
        snapshot: the status as JSON-ready data; its ``ready`` decides ``/readyz``, its ``waits_for`` tells why not.
        registry: the metrics.
    """

    async def live(_request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def ready(_request: Request) -> Response:
        found = snapshot()
        if found["ready"]:
            return Response("ready\n", media_type="text/plain")
        return Response(f"not ready: {'; '.join(found['waits_for'])}\n", 503, media_type="text/plain")

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def status(_request: Request) -> Response:
        return Response(orjson.dumps(snapshot()), media_type="application/json", headers={"Cache-Control": "no-store"})

    async def page(_request: Request) -> Response:
        return Response(PAGE, media_type="text/html", headers=PAGE_HEADERS)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/livez", live),
            Route("/readyz", ready),
            Route("/healthz", live),
            Route("/metrics", metrics),
            Route("/status", status),
        ]
    )


async def serve_admin(app: Starlette, host: str, port: int) -> None:
    """Serve until cancelled.

    Raises:
        StartRefused: the address cannot be used.
    """
    with _listen(host, port) as listening:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=CLOSE_S,
            server_header=False,
        )
        server = _QuietServer(config)
        try:
            await server.serve(sockets=[listening])
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S):
                await server.shutdown(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "is in use by another process; is another collector running? Choose another port"
        else:
            reason = f"cannot be listened on ({error.strerror}); choose an address of this machine"
        raise StartRefused(f"admin.listen: {host}:{port} {reason}") from error


class _QuietServer(uvicorn.Server):
    """Leaves the signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: the service owns them."""
        yield
