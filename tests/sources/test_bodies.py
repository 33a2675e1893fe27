"""Bodies that are too long, too slow, broken, compressed or something else than a page."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
import zlib

import anyio
import httpx
import pytest
from anyio.abc import ByteStream

from collector.core.model import Answer
from collector.errors import ApiRejected, PageMalformed, Rejection
from collector.sources.thousandeyes import open_source
from collector.sources.thousandeyes.body import BodyReader, BodyTooLarge
from collector.sources.thousandeyes.requester import LARGE_BODY_BYTES, Requester
from tests.sources.conftest import OpenSource
from tests.sources.raw_server import QUOTA_HEADERS, REQUEST, Received, always, answer, serving, settings

pytestmark = pytest.mark.anyio

PAGE = b'{"results":[{"id":"a"},{"id":"b"}]}'
GZIP = QUOTA_HEADERS | {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Log in</title></html>",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b'{"results":{}}',
        b'{"results":"none"}',
        b'{"status":"maintenance"}',
        PAGE[:-1],
        PAGE[:-5],
        PAGE + b"x",
        b'{"results":[{"id":}]}',
        b'{"results":' + b"[" * 100_000,
        b"\xff\xfe{\x00}\x00",
    ],
)
async def test_200_that_is_no_page(open_against: OpenSource, body: bytes) -> None:
    """A complete answer 200 that holds no page is malformed, and its quota still counts."""
    source, _ = await open_against(always(answer(body)))
    with pytest.raises(PageMalformed) as caught:
        await source.fetch(REQUEST)
    assert caught.value.answer.status == 200
    assert caught.value.answer.quota is not None
    assert len(caught.value.detail) <= 300


@pytest.mark.parametrize("cut", [0, 1, len(PAGE) - 1])
async def test_broken_off_body_is_unreachable(open_against: OpenSource, cut: int) -> None:
    """A connection that ends before the promised length is no answer, but what its headers told counts."""

    async def script(stream: ByteStream, _: Received) -> None:
        await stream.send(answer(PAGE[:cut], length=len(PAGE)))
        await stream.aclose()

    source, _ = await open_against(script)
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNREACHABLE
    assert caught.value.answer.status == 200
    assert caught.value.answer.quota is not None


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 200_000]
)
async def test_no_http_is_unreachable(open_against: OpenSource, said: bytes) -> None:
    """A connection that ends without an answer, or speaks something else, is unreachable."""

    async def script(stream: ByteStream, _: Received) -> None:
        if said:
            await stream.send(said)
        await stream.aclose()

    source, _ = await open_against(script)
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNREACHABLE
    assert caught.value.answer.status == 0


async def test_slow_drip_ends_at_the_deadline(open_against: OpenSource) -> None:
    """Bytes that keep coming do not keep a request alive: the deadline is for the whole answer."""

    async def script(stream: ByteStream, _: Received) -> None:
        await stream.send(answer(b"", length=1_000_000))
        while True:
            await stream.send(b" ")
            await anyio.sleep(0.01)

    source, _ = await open_against(script, request_timeout_s=0.3)
    with pytest.raises(ApiRejected, match=r"no whole answer within 0\.3 s") as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNREACHABLE
    assert caught.value.answer.status == 200


async def test_silence_ends_at_the_deadline(open_against: OpenSource) -> None:
    """A server that takes the request and says nothing is unreachable after the deadline."""

    async def script(_: ByteStream, __: Received) -> None:
        await anyio.sleep_forever()

    source, _ = await open_against(script, request_timeout_s=0.2)
    with pytest.raises(ApiRejected, match=r"0\.2 s") as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNREACHABLE
    assert caught.value.answer.status == 0


async def test_nobody_listens() -> None:
    """A refused connection is unreachable, and the message says what failed."""
    async with serving(always(b"")) as server:
        base_url = server.base_url
    source = open_source(settings(base_url))
    with pytest.raises(ApiRejected, match="ConnectError") as caught:
        await source.fetch(REQUEST)
    await source.aclose()
    assert caught.value.kind is Rejection.UNREACHABLE


async def test_body_larger_than_allowed(open_against: OpenSource) -> None:
    """A body over the limit is refused, whether its length was told or not; one at the limit is a page."""
    body = PAGE + b" " * (1000 - len(PAGE))

    async def unannounced(stream: ByteStream, _: Received) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        await stream.aclose()

    for script in (always(answer(body)), unannounced):
        source, _ = await open_against(script, body_bytes_max=1000)
        assert len((await source.fetch(REQUEST)).rows) == 2
        source, _ = await open_against(script, body_bytes_max=999)
        with pytest.raises(PageMalformed, match="larger than 999 bytes"):
            await source.fetch(REQUEST)


async def test_endless_body_stops_at_the_limit(open_against: OpenSource) -> None:
    """A server that never stops sending is stopped at the limit, not at the deadline."""

    async def script(stream: ByteStream, _: Received) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send(b" " * 65536)

    source, _ = await open_against(script, body_bytes_max=1_000_000)
    with pytest.raises(PageMalformed, match="larger than 1000000 bytes"):
        await source.fetch(REQUEST)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_gzip_is_unpacked(open_against: OpenSource, encoding: str) -> None:
    """A compressed page is the page, in one gzip member or in several."""
    half = len(PAGE) // 2
    for packed in (gzip.compress(PAGE), gzip.compress(PAGE[:half]) + gzip.compress(PAGE[half:])):
        source, server = await open_against(always(answer(packed, headers={"Content-Encoding": encoding})))
        page = await source.fetch(REQUEST)
        assert page.rows == [{"id": "a"}, {"id": "b"}]
        assert page.source_bytes(1) == b'{"id":"b"}'
        assert page.body_bytes == len(PAGE)
        assert server.requests[0].headers["accept-encoding"] == "gzip"


async def test_a_large_body_holds_up_nobody_else(open_against: OpenSource) -> None:
    """While it is read, the event loop goes on: other organizations, and heartbeats. A usual one needs no thread."""
    for size, is_large in ((LARGE_BODY_BYTES, True), (LARGE_BODY_BYTES - 1, False)):
        body, others_went_on, reading = b"x" * size, threading.Event(), threading.Event()
        seen: list[bool] = []

        def read(
            body: bytes, *, reading: threading.Event = reading, go_on: threading.Event = others_went_on
        ) -> list[str]:
            reading.set()
            seen.append(go_on.wait(30.0 if len(body) >= LARGE_BODY_BYTES else 0.0))  # noqa: B023
            return []

        async def others(reading: threading.Event = reading, go_on: threading.Event = others_went_on) -> None:
            while not reading.is_set():  # noqa: ASYNC110 - set by another thread
                await anyio.sleep(0.01)
            go_on.set()

        async with serving(always(answer(body))) as server:
            requester = Requester(settings(server.base_url))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(others)
                await requester.send(httpx.URL(f"{server.base_url}/any"), read, accept="text/plain")
            await requester.aclose()
        assert seen == [is_large]


async def test_a_body_is_decoded_when_it_is_admitted() -> None:
    """Until then there is nothing but its bytes."""
    steps: list[str] = []

    async def admit(answer: Answer, body_bytes: int) -> None:
        await anyio.sleep(0.01)
        steps.append(f"admitted {answer.status} {body_bytes}")

    async with serving(always(answer(PAGE))) as server:
        requester = Requester(settings(server.base_url))
        url = httpx.URL(f"{server.base_url}/any")
        await requester.send(url, lambda body: steps.append("decoded"), accept="text/plain", admit=admit)
        await requester.aclose()
    assert steps == [f"admitted 200 {len(PAGE)}", "decoded"]


async def test_a_large_body_that_is_no_page_is_read_once(open_against: OpenSource) -> None:
    """Twice would take twice as long, and nobody reads the reason of megabytes; it says how many there were."""
    source, _ = await open_against(always(answer(b'{"results":[' + b"{}," * (LARGE_BODY_BYTES // 3))))
    with pytest.raises(PageMalformed, match=r"\d{7} bytes cannot be read"):
        await source.fetch(REQUEST)


async def test_gzip_bomb_stops_at_the_limit(open_against: OpenSource) -> None:
    """A small answer that unpacks to 128 MiB is refused at the limit."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(128)) + compressor.flush()
    source, _ = await open_against(always(answer(bomb, headers=GZIP)), body_bytes_max=2_000_000)
    with pytest.raises(PageMalformed, match="larger than 2000000 bytes"):
        await source.fetch(REQUEST)


def test_unpacking_never_holds_more_than_the_limit() -> None:
    """One chunk that unpacks to 64 MiB is refused without those 64 MiB ever being there."""
    reader = BodyReader(100_000)  # more than the chunk itself has
    reader.expect_encoding({"content-encoding": "gzip"})
    bomb = gzip.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            reader.feed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (gzip.compress(PAGE, mtime=0)[:-4], "gzip", "broken off"),
        (PAGE, "gzip", "but is not"),
        (PAGE, "br", "not asked for"),
        (zlib.compress(PAGE), "deflate", "not asked for"),
    ],
)
async def test_body_that_cannot_be_unpacked(open_against: OpenSource, body: bytes, encoding: str, message: str) -> None:
    """A 200 whose compression cannot be undone is malformed."""
    source, _ = await open_against(always(answer(body, headers={"Content-Encoding": encoding})))
    with pytest.raises(PageMalformed, match=message):
        await source.fetch(REQUEST)


async def test_compressed_error_is_read(open_against: OpenSource) -> None:
    """The explanation of an error may be compressed too; when it cannot be unpacked, the status remains."""
    packed = gzip.compress(b'{"errorMessage":"quota"}')
    source, _ = await open_against(always(answer(packed, "429 Too Many Requests", GZIP)))
    with pytest.raises(ApiRejected, match="quota") as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.RATE_LIMITED
    source, _ = await open_against(always(answer(b"no gzip", "429 Too Many Requests", GZIP)))
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.RATE_LIMITED
