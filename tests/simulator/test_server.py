"""The simulator as a process on a real socket: where it listens, how it ends, how answers break on the wire."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest

from collector.simulator.server import AddressUnavailable, serve
from collector.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio
TOKEN = {"Authorization": "Bearer simulator-token"}
ENDED_WITHIN_S = 10.0
"""A bound for a hanging test; the simulator itself is told to end within two seconds."""
PROGRAM = """
import anyio
from collector.simulator.server import serve
from collector.simulator.settings import SimulatorSettings

anyio.run(lambda: serve(SimulatorSettings(faults={"slow_s": 600.0})))
"""


@asynccontextmanager
async def serving(settings: SimulatorSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A simulator in this event loop, and a client for it."""
    ports: list[int] = []
    started = anyio.Event()

    def ready(port: int) -> None:
        ports.append(port)
        started.set()

    async def run() -> None:
        await serve(settings, ready=ready, quiet=True, handle_signals=False)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(ENDED_WITHIN_S):
            await started.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", headers=TOKEN) as client:
            yield client
        tasks.cancel_scope.cancel()


@pytest.fixture
def start_process() -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Starts simulators as processes of their own: the process and the URL that it printed."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ThousandEyes API simulator: http://127.0.0.1:"), line
        return process, line.split()[3]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_at_a_signal(start_process: Callable[[], Any], number: signal.Signals) -> None:
    """It says where it listens and how to collect from it; with an idle connection open and a slow request under way a
    signal ends it with 0."""
    process, url = start_process()
    with httpx.Client(base_url=url, headers=TOKEN) as client:
        assert client.get("/v7/account-groups").status_code == 200
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            client.post("/_sim/faults", json={"next": ["slow"]})
            slow.sendall(b"GET /v7/account-groups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer simulator-token\r\n\r\n")
            # The slow request has taken its fault as soon as none is ordered any more.
            while client.get("/_sim/faults").json()["ordered"]:
                pass
            os.kill(process.pid, number)
            assert process.wait(timeout=ENDED_WITHIN_S) == 0
    assert process.stdout is not None
    assert process.stdout.read() == (
        f"To collect from it: TE_COLLECTOR_BASE_URL={url} TE_COLLECTOR_TOKEN=simulator-token "
        "te-collector run --once --dry-run\n"
    )


async def test_a_taken_port_is_one_clear_sentence() -> None:
    """The error names the address and what to do, and has no traceback in it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable) as caught:
            await serve(SimulatorSettings(), port=port)
    assert str(caught.value) == (
        f"cannot listen: 127.0.0.1:{port} is in use by another process; choose another with --port"
    )


async def test_an_address_of_another_machine_is_refused() -> None:
    """An address that is not this machine's is the same kind of error."""
    with pytest.raises(AddressUnavailable, match="cannot be used"):
        await serve(SimulatorSettings(), host="192.0.2.1")


async def test_a_cancelled_task_ends_the_server_and_frees_the_port() -> None:
    """As one task of many, cancelled: the port can be listened on again at once."""
    async with serving(SimulatorSettings()) as client:
        assert (await client.get("/v7/account-groups")).status_code == 200
        port = client.base_url.port
    with socket.create_server(("127.0.0.1", port or 0)):
        pass


async def test_answers_break_on_the_wire() -> None:
    """Dropped: no byte of an answer. Truncated: fewer bytes than promised. Both count, and the next request is
    served."""
    async with serving(SimulatorSettings()) as client:
        await client.post("/_sim/faults", json={"next": ["dropped", "truncated"]})
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await client.get("/v7/account-groups")
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
            await client.get("/v7/account-groups")
        assert (await client.get("/v7/account-groups")).status_code == 200
        [organization] = (await client.get("/_sim/stats")).json()["organizations"]
        assert organization["requestsByStatus"] == {"dropped": 1, "200": 2}
        assert organization["faults"] == {"dropped": 1, "truncated": 1}


async def test_a_slow_answer_holds_nobody_else_up() -> None:
    """While one request is slow, others are answered."""
    async with serving(SimulatorSettings(faults={"slow_s": 600.0})) as client:  # type: ignore[arg-type]
        await client.post("/_sim/faults", json={"next": ["slow"]})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "/v7/account-groups")
            while (await client.get("/_sim/faults")).json()["ordered"]:
                pass
            assert (await client.get("/v7/account-groups")).status_code == 200
            tasks.cancel_scope.cancel()


async def test_a_truth_of_any_size_is_streamed() -> None:
    """A list of a hundred thousand sessions arrives in pieces, as one JSON document."""
    async with (
        serving(SimulatorSettings(sessions_per_minute=2000.0, history_s=3000.0)) as client,
        client.stream("GET", "/_sim/truth", params={"ids": "true"}) as answer,
    ):
        assert "content-length" not in answer.headers
        pieces = [piece async for piece in answer.aiter_raw()]
        assert len(pieces) > 10
        groups = httpx.Response(200, content=b"".join(pieces)).json()["organizations"][0]["accountGroups"]
        assert sum(len(group["sessions"]) for group in groups) > 90_000
