"""The admin pages on a real socket."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from collector.admin import admin_app, serve_admin
from collector.core.model import MonoS
from collector.errors import StartRefused
from collector.telemetry.account_group import AccountGroupStatus
from collector.telemetry.metrics import Metrics
from collector.telemetry.status import OrganizationStatus, ShardStatus, StatusBoard

TIMEOUT_S = 10.0
pytestmark = pytest.mark.anyio


class Process:
    """What the pages show: the board and the metrics of one collector."""

    def __init__(self) -> None:
        self.now = MonoS(1000.0)
        self.board = StatusBoard("1.2.3", lambda: 1_800_000_000.0, lambda: self.now)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def become_ready(self) -> None:
        organization = OrganizationStatus("acme")
        organization.requests[200] = 1
        organization.groups["1"] = AccountGroupStatus("1", "Branch")
        self.board.organizations["acme"] = organization
        self.board.shards[0] = ShardStatus(0, ("acme",), owned=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def serving(process: Process) -> AsyncIterator[httpx.AsyncClient]:
    """The pages, and a client of them."""
    port = free_port()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_admin, admin_app(process.board.snapshot, process.registry), "127.0.0.1", port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=TIMEOUT_S) as client:
            with anyio.fail_after(TIMEOUT_S):
                while True:
                    try:
                        await client.get("/livez")
                        break
                    except httpx.ConnectError:
                        await anyio.sleep(0.01)
            yield client
        tasks.cancel_scope.cancel()


async def test_alive_is_not_ready() -> None:
    """A collector that restores is alive and not ready, so nobody restarts it; afterwards it is both."""
    process = Process()
    async with serving(process) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        process.become_ready()
        assert (await client.get("/readyz")).status_code == 200
        process.board.shards[0].owned = False
        process.board.shards[0].last_error = "no broker"
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready: shard 0 being restored: no broker\n")
        assert (await client.get("/livez")).status_code == 200


async def test_metrics_are_what_prometheus_reads() -> None:
    """The metrics parse, and carry their labels and values."""
    process = Process()
    process.metrics.events.labels("acme", "1").inc(3)
    process.metrics.freshness.labels("acme", "1").observe(4.0)
    async with serving(process) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    group = (("aid", "1"), ("organization", "acme"))
    assert samples["collector_events_published_total", group] == 3
    assert samples["collector_freshness_seconds_count", group] == 1


async def test_status_is_fresh_json() -> None:
    """The status is JSON that no cache keeps."""
    process = Process()
    process.become_ready()
    async with serving(process) as client:
        answer = await client.get("/status")
    assert answer.headers["cache-control"] == "no-store"
    status = json.loads(answer.content)
    assert (status["version"], status["ready"]) == ("1.2.3", True)
    assert status["organizations"][0]["account_groups"][0]["name"] == "Branch"


async def test_freshness_is_of_the_last_minutes() -> None:
    """What was caught up long ago no longer counts as freshness; without new sessions nothing is claimed."""
    process = Process()
    process.become_ready()
    group = process.board.organizations["acme"].groups["1"]
    group.freshness_s.add(3600.0, process.now)
    process.now = MonoS(process.now + 290.0)
    group.freshness_s.add(3.0, process.now)

    def shown() -> object:
        return process.board.snapshot()["organizations"][0]["account_groups"][0]["freshness_s"]

    assert shown() == {"p50": 3600.0, "p99": 3600.0}
    process.now = MonoS(process.now + 20.0)
    assert shown() == {"p50": 3.0, "p99": 3.0}
    process.now = MonoS(process.now + 300.0)
    assert shown() is None


async def test_a_taken_port_refuses_the_start() -> None:
    """A port that another process listens on is named in one clear error."""
    process = Process()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with anyio.fail_after(TIMEOUT_S), pytest.raises(StartRefused, match=rf"admin\.listen: 127\.0\.0\.1:{port} "):
            await serve_admin(admin_app(process.board.snapshot, process.registry), "127.0.0.1", port)


async def test_open_connections_do_not_hold_up_a_stop() -> None:
    """Cancelling ends the server within two seconds, whoever is connected: idle, or in the middle of a request."""
    process = Process()
    async with serving(process) as client:
        await client.get("/status")  # leaves an idle connection open
        port = client.base_url.port
        assert port is not None
        halfway = await anyio.connect_tcp("127.0.0.1", port)
        await halfway.send(b"GET /status HTTP/1.1\r\nHost: x\r\n")
        stopping_at = anyio.current_time()
    assert anyio.current_time() - stopping_at < 2.0
    await halfway.aclose()
    with pytest.raises(OSError):
        await anyio.connect_tcp("127.0.0.1", port)


@pytest.mark.parametrize("path", ["/", "/status", "/livez", "/readyz", "/metrics"])
async def test_nothing_can_be_changed(path: str) -> None:
    """The pages only show: no method but GET and HEAD is answered."""
    async with serving(Process()) as client:
        for method in ("POST", "PUT", "DELETE"):
            assert (await client.request(method, path)).status_code == 405
