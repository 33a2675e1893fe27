"""The simulator as an application, and as a process that listens.

One rule: `create_app` has no side effects but reading the clock; `serve` owns the socket and ends within two seconds,
whoever asks it to end: SIGTERM, Ctrl-C or a cancelled task.
"""

import errno
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import anyio
import anyio.abc
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from collector.simulator import control, routes_agents, routes_v6, routes_v7
from collector.simulator.answers import ApiError
from collector.simulator.gate import Gate, render_error
from collector.simulator.requests import world_of
from collector.simulator.settings import SimulatorSettings
from collector.simulator.spoiled import CONNECTION
from collector.simulator.world import World

_BACKLOG = 2048
_OPEN_REQUESTS_GRACE_S = 1
"""Time for requests under way when the simulator ends; idle connections are closed at once."""
_KEEP_ALIVE_S = 75
"""What nginx does, which the API runs behind."""
_STARTED_WITHIN_S = 10.0


class AddressUnavailable(Exception):
    """The address to listen on is taken, or is not this machine's; the text is one line for a person."""


def create_app(settings: SimulatorSettings, *, clock: Callable[[], float] = time.time) -> Starlette:
    """Makes the application.

    Args:
        settings: every switch.
        clock: this machine's time as epoch seconds; a test may pass its own.

    Returns:
        The application; `app.state.world` is what is behind it.
    """
    world = World(settings, clock)
    app = Starlette(
        routes=[*routes_v7.ROUTES, *routes_v6.ROUTES, *routes_agents.ROUTES, *control.ROUTES],
        middleware=[Middleware(Gate, world=world)],
        exception_handlers={
            ApiError: _api_error,
            control.ControlRejected: control.rejected,
            HTTPStatus.NOT_FOUND: _http_error,
            HTTPStatus.METHOD_NOT_ALLOWED: _http_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.world = world
    return app


async def serve(
    settings: SimulatorSettings,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ready: Callable[[int], None] | None = None,
    quiet: bool = False,
    handle_signals: bool = True,
    clock: Callable[[], float] = time.time,
) -> None:
    """Serves the simulator until it is told to end.

    Args:
        settings: every switch.
        host: address to listen on.
        port: port to listen on; 0: any free one.
        ready: called once with the port as soon as requests are answered.
        quiet: leaves out the line on standard output that says where it listens.
        handle_signals: ends at SIGTERM and SIGINT; False where somebody else handles them and cancels the task.
        clock: this machine's time as epoch seconds.

    Raises:
        AddressUnavailable: the address cannot be listened on.
    """
    listener = _listen(host, port)
    with listener:
        actual_port = listener.getsockname()[1]
        app = create_app(settings, clock=clock)
        server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_OPEN_REQUESTS_GRACE_S,
            )
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run, server, listener, tasks.cancel_scope)
            try:
                with anyio.fail_after(_STARTED_WITHIN_S):
                    await server.listening.wait()
                if handle_signals:
                    tasks.start_soon(_stop_at_signal, tasks.cancel_scope)
                if not quiet:
                    sys.stdout.write(_line(settings, host, actual_port))
                    sys.stdout.flush()
                if ready is not None:
                    ready(actual_port)
                await anyio.sleep_forever()
            finally:
                app.state.world.stopping.set()
                server.should_exit = True


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves the process's signals alone: `serve` may be one task of many."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does nothing."""
        yield


class _Protocol(H11Protocol):
    """Puts the connection into the scope, for the faults that break it."""

    def connection_made(self, transport: Any) -> None:
        """Wraps the application with this connection."""
        super().connection_made(transport)
        app = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope[CONNECTION] = transport
            await app(scope, receive, send)

        self.app = with_connection


async def _run(server: uvicorn.Server, listener: socket.socket, whole: anyio.CancelScope) -> None:
    # A cancelled task must not take the server down in the middle: it is asked to end, which it does within the grace.
    with anyio.CancelScope(shield=True):
        await server.serve(sockets=[listener])
    whole.cancel()


async def _stop_at_signal(whole: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            whole.cancel()
            return


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (
            "is in use by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        )
        raise AddressUnavailable(f"cannot listen: {host}:{port} {reason}; choose another with --port") from error


def _line(settings: SimulatorSettings, host: str, port: int) -> str:
    organizations = settings.all_organizations()
    groups = sum(organization.account_groups for organization in organizations)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    first = (
        f"ThousandEyes API simulator: {url} "
        f"(organizations: {len(organizations)}, account groups: {groups}, seed: {settings.seed})\n"
    )
    if "token" in settings.model_fields_set or settings.organizations:  # given by somebody, who knows it
        return first
    return (
        f"{first}To collect from it: TE_COLLECTOR_BASE_URL={url} TE_COLLECTOR_TOKEN={organizations[0].token} "
        "te-collector run --once --dry-run\n"
    )


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return render_error(world_of(request), request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return render_error(world_of(request), request, ApiError(error.status_code, HTTPStatus(error.status_code).phrase))
