"""The pool of connections under cancellation, exhaustion and closing; proxies and certificates."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from collector.errors import ApiRejected, ConfigurationError, Rejection
from collector.sources.thousandeyes import open_source
from collector.sources.thousandeyes.http_client import CONNECTIONS_MAX, HttpClient, Request
from tests.sources.conftest import OpenSource, Serve
from tests.sources.raw_server import CANARY, REQUEST, RawServer, Received, Script, always, answer, settings

pytestmark = pytest.mark.anyio

EMPTY_PAGE = answer(b'{"results":[]}')
DEADLINE_S = 10.0


def hanging_until(released: anyio.Event, hanging: anyio.Semaphore) -> Script:
    """A script that announces each request, and answers it when it is released."""

    async def script(stream: ByteStream, _: Received) -> None:
        hanging.release()
        await released.wait()
        await stream.send(EMPTY_PAGE)

    return script


async def test_requests_share_connections(open_against: OpenSource) -> None:
    """Answers that were read whole leave their connection to the next request."""
    source, server = await open_against(always(EMPTY_PAGE))
    for _ in range(5):
        await source.fetch(REQUEST)
    assert (len(server.requests), server.connections) == (5, 1)


async def test_cancelled_request_gives_the_next_one_a_new_pool(open_against: OpenSource) -> None:
    """After a cancelled request others that were under way finish, and new ones use new connections."""
    released, hanging = anyio.Event(), anyio.Semaphore(0)
    source, server = await open_against(hanging_until(released, hanging))
    answered = []

    async def fetch() -> None:
        answered.append(await source.fetch(REQUEST))

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await hanging.acquire()
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(fetch)
                await hanging.acquire()
                cancelled.cancel_scope.cancel()
            released.set()
        assert len(answered) == 1
        assert server.connections == 2
        await source.fetch(REQUEST)
        await source.fetch(REQUEST)
    # Neither of the first two connections is used again: their pool went when its last request was done.
    assert server.connections == 3


async def test_many_cancelled_requests_do_not_use_the_pool_up(open_against: OpenSource) -> None:
    """More requests cancelled than there are connections leave the source able to fetch."""
    source, _ = await open_against(always(EMPTY_PAGE), request_timeout_s=DEADLINE_S)
    for turns in range(CONNECTIONS_MAX * 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.fetch, REQUEST)
            for _ in range(turns % 16):  # cancelled at ever another point of the request
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert list((await source.fetch(REQUEST)).rows) == []


async def test_exhausted_pool_is_replaced(serve: Serve) -> None:
    """A request that finds no free connection fails; the next one gets a new pool while the old one is stuck."""
    released, hanging = anyio.Event(), anyio.Semaphore(0)
    server = await serve(hanging_until(released, hanging))
    client = HttpClient(request_timeout_s=DEADLINE_S, body_bytes_max=1000, pool_timeout_s=0.2)
    request = Request(httpx.URL(f"{server.base_url}/x"), httpx.Headers(), None)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(CONNECTIONS_MAX):
                tasks.start_soon(client.send, request)
            for _ in range(CONNECTIONS_MAX):
                await hanging.acquire()
            with pytest.raises(ApiRejected, match="no free connection") as caught:
                await client.send(request)
            assert caught.value.kind is Rejection.UNREACHABLE
            tasks.start_soon(client.send, request)
            await hanging.acquire()
            released.set()
        await client.aclose()
    assert server.connections == CONNECTIONS_MAX + 1


async def test_closing_ends_requests_under_way(open_against: OpenSource) -> None:
    """Closing the source ends what is under way as unreachable, not with a foreign exception."""
    released, hanging = anyio.Event(), anyio.Semaphore(0)
    source, _ = await open_against(hanging_until(released, hanging))
    outcomes: list[Rejection] = []

    async def fetch() -> None:
        try:
            await source.fetch(REQUEST)
        except ApiRejected as error:
            outcomes.append(error.kind)

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await hanging.acquire()
            await source.aclose()
    assert outcomes == [Rejection.UNREACHABLE]


async def test_proxy_of_the_environment_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is honoured: the request goes to the proxy, with the whole address."""
    proxy = await serve(always(EMPTY_PAGE))
    monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
    source = open_source(settings("http://api.example.invalid", http_allowed=True))
    await source.fetch(REQUEST)
    await source.aclose()
    assert proxy.requests[0].target.startswith("http://api.example.invalid/v7/")


@pytest.mark.parametrize("proxy", [f"bogus://user:{CANARY}@proxy:1", f"socks5://user:{CANARY}@proxy:1"])
async def test_unusable_proxy_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy that cannot be used is found when the source opens, and its password is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="proxy settings") as caught:
        open_source(settings("https://api.example.invalid"))
    assert CANARY not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=test",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return certificate, key


async def test_ca_file_adds_a_certificate(certificate: tuple[Path, Path]) -> None:
    """A server whose certificate the system does not know is unreachable until ca_file names it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = RawServer(always(EMPTY_PAGE))

    async def handle(stream: SocketStream) -> None:
        try:
            encrypted = await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream):
            await anyio.aclose_forcefully(stream)  # a failed handshake is what the first client is for
            return
        await server.handle(encrypted)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    base_url = f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        unknown = open_source(settings(base_url))
        with pytest.raises(ApiRejected, match=r"(?i)certificate verify failed") as caught:
            await unknown.fetch(REQUEST)
        assert caught.value.kind is Rejection.UNREACHABLE
        await unknown.aclose()
        known = open_source(settings(base_url, ca_file=certificate[0]))
        assert list((await known.fetch(REQUEST)).rows) == []
        await known.aclose()
        tasks.cancel_scope.cancel()
    assert len(server.requests) == 1


async def test_unreadable_ca_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A ca_file that is not there, or holds no certificate, is found when the source opens."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="ca_file"):
            open_source(settings("https://api.example.invalid", ca_file=path))
