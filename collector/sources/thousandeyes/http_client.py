"""One HTTP request, one whole answer, within one deadline and one size.

Rule: nothing is retried, followed or waited for except the answer itself. What leaves this module is a `Response` or a
`SourceError`; exceptions of the HTTP library are not chained, because the frames they hold contain the request's
headers, and some loggers print the variables of frames.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import anyio
import httpx
import truststore

from collector.core.model import Answer
from collector.errors import ApiRejected, ConfigurationError, PageMalformed, Rejection
from collector.sources.thousandeyes.answer import read_answer
from collector.sources.thousandeyes.body import BodyReader, BodyTooLarge, BodyUnreadable
from collector.sources.thousandeyes.text import one_line

CONNECT_TIMEOUT_S = 10.0
"""Name, TCP and TLS; a host that needs longer will not answer a page in time either."""

POOL_TIMEOUT_S = 5.0
"""A free connection is there at once unless the pool is stuck; then a new client is better than the old one."""

CONNECTIONS_MAX = 64
"""A quota of 240 requests a minute needs 4 a second; at the longest answer time of 15 s that makes 60 at a time."""

KEEPALIVE_EXPIRY_S = 50.0
"""Idle connections last from one poll a minute almost to the next, and less than the 60 s of common load balancers: a
new one costs a TLS handshake and reading the system's certificates."""

CLOSE_TIMEOUT_S = 2.0
"""Closing says good-bye to idle connections; nothing depends on it."""

ERROR_BODY_BYTES_MAX = 64 * 1024
"""What is read of an error's body; one line of it is shown."""


_CONNECTION_ERRORS = (
    httpx.HTTPError,
    # What escapes httpcore's own mapping when a connection breaks at an unlucky moment.
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to send; GET without a body, POST with one. Its repr hides the token: `httpx.Headers` does."""

    url: httpx.URL
    headers: httpx.Headers
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; for a status other than 200 as much of the body as could be read."""

    status: int
    body: bytes = field(repr=False)  # personal data, and some errors echo the token
    answer: Answer


@dataclass(slots=True)
class _Connections:
    """A client of the HTTP library with what is needed to close it when its last request is done."""

    client: httpx.AsyncClient
    in_flight: int = 0
    retired: bool = False


@dataclass(slots=True)
class _Exchange:
    """How far a request has come, readable after a deadline or an error cut it off."""

    reader: BodyReader
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers, repr=False)

    @property
    def answer(self) -> Answer:
        return read_answer(self.status, self.headers)


class HttpClient:
    """Sends requests over a pool of connections.

    Mutable state: ``_connections``, the pool in use. A cancelled request can leave its pool counting a connection that
    is gone (https://github.com/encode/httpcore/issues/830), so a pool with a cancelled request, or one that has no
    connection to give, is retired: new requests get a new pool, and the old one is closed after its last request.

    Proxies are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``).

    Args:
        request_timeout_s: deadline of one request with its whole answer, seconds.
        body_bytes_max: largest body of a 200, before and after decompression, bytes.
        ca_file: certificates (PEM) trusted besides those of the system.
        pool_timeout_s: longest wait for a free connection, seconds.

    Raises:
        ConfigurationError: the certificates or the environment's proxies cannot be used.
    """

    def __init__(
        self,
        *,
        request_timeout_s: float,
        body_bytes_max: int,
        ca_file: Path | None = None,
        pool_timeout_s: float = POOL_TIMEOUT_S,
    ) -> None:
        _silence_libraries()
        self._request_timeout_s = request_timeout_s
        self._body_bytes_max = body_bytes_max
        self._new_client = _client_factory(_tls_context(ca_file))
        self._connections = _Connections(self._new_client())
        self._timeouts = httpx.Timeout(
            request_timeout_s,
            connect=min(CONNECT_TIMEOUT_S, request_timeout_s),
            pool=min(pool_timeout_s, request_timeout_s),
        ).as_dict()

    async def send(self, request: Request) -> Response:
        """One request and its answer, whatever its status; redirects are answers too.

        Raises:
            ApiRejected: UNREACHABLE: no whole answer came: connection, deadline, body broken off.
            PageMalformed: the body of a 200 is too large or cannot be decompressed.
        """
        connections = self._connections
        connections.in_flight += 1
        exchange = _Exchange(BodyReader(self._body_bytes_max))
        retire = True
        try:
            failure = await self._exchange(connections.client, request, exchange)
            retire = failure is not None and failure.pool_is_suspect
        finally:
            await self._release(connections, retire=retire)
        if failure is None:
            return Response(exchange.status, exchange.reader.body(), exchange.answer)
        if exchange.status not in (0, 200):
            # The status alone says what to do; of its explanation there is what came.
            return Response(exchange.status, exchange.reader.body(), exchange.answer)
        raise failure.error(exchange.answer)

    async def _exchange(self, client: httpx.AsyncClient, request: Request, exchange: _Exchange) -> _Failure | None:
        try:
            with anyio.fail_after(self._request_timeout_s):
                await self._receive(client, request, exchange)
        except (BodyTooLarge, BodyUnreadable) as error:
            return _Failure(str(error), malformed=True)
        except httpx.PoolTimeout:
            return _Failure("no free connection to the API; the connections are replaced", pool_is_suspect=True)
        except httpx.TimeoutException as error:
            return _Failure(_description(error, f"timed out within {self._request_timeout_s:g} s"))
        except TimeoutError:
            detail = f"no whole answer within {self._request_timeout_s:g} s"
            return _Failure(detail, pool_is_suspect=True)
        except _CONNECTION_ERRORS as error:
            return _Failure(_description(error, "the connection failed"))
        return None

    async def _receive(self, client: httpx.AsyncClient, request: Request, exchange: _Exchange) -> None:
        # Made by hand: `build_request` would merge headers, cookies and parameters for each page, and send cookies.
        message = httpx.Request(
            "GET" if request.body is None else "POST",
            request.url,
            headers=request.headers,
            content=request.body,
            extensions={"timeout": self._timeouts},
        )
        response = await client.send(message, stream=True, auth=None, follow_redirects=False)
        try:
            exchange.status, exchange.headers = response.status_code, response.headers
            if exchange.status == 200:
                exchange.reader.expect_length(response.headers)
            else:
                exchange.reader = BodyReader(ERROR_BODY_BYTES_MAX)
            exchange.reader.expect_encoding(response.headers)
            async for chunk in response.aiter_raw():
                exchange.reader.feed(chunk)
            exchange.reader.end()
        finally:
            await response.aclose()

    async def _release(self, connections: _Connections, *, retire: bool) -> None:
        connections.in_flight -= 1
        if retire and not connections.retired:
            connections.retired = True
            if connections is self._connections:
                self._connections = _Connections(self._new_client())
        if connections.retired and not connections.in_flight:
            await _close(connections.client)

    async def aclose(self) -> None:
        """Closes all connections; requests under way fail as unreachable."""
        await _close(self._connections.client)


def _silence_libraries() -> None:
    # At INFO one logs every URL, at DEBUG the other logs every header of an answer, whatever stands in it.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def _close(client: httpx.AsyncClient) -> None:
    with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
        await client.aclose()


class _Failure(NamedTuple):
    """Why there is no whole answer."""

    detail: str
    malformed: bool = False
    pool_is_suspect: bool = False

    def error(self, answer: Answer) -> ApiRejected | PageMalformed:
        if self.malformed:
            return PageMalformed(self.detail, answer)
        return ApiRejected(Rejection.UNREACHABLE, self.detail, answer)


def _description(error: Exception, what: str) -> str:
    return one_line(f"{what}: {type(error).__name__} {error}".rstrip())


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(f"ca_file {ca_file}: no certificates can be read: {error}") from error
    return context


def _client_factory(context: ssl.SSLContext) -> Callable[[], httpx.AsyncClient]:
    limits = httpx.Limits(
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX,
        keepalive_expiry=KEEPALIVE_EXPIRY_S,
    )

    def new_client() -> httpx.AsyncClient:
        try:
            return httpx.AsyncClient(verify=context, limits=limits, follow_redirects=False, trust_env=True)
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            kind = type(error).__name__
        # Not chained and not quoted: a proxy's URL may hold a password.
        raise ConfigurationError(f"the proxy settings of the environment (HTTPS_PROXY, ALL_PROXY) are unusable: {kind}")

    return new_client
