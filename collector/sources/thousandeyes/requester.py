"""Sends one authorized request of an organization and gives back an answer 200, or the error that came instead.

Rule: this is where every answer other than 200 ends, for all resources of both versions alike.

Large bodies are read in a thread, because everything else waits for the event loop: the other organizations, and the
heartbeats by which this worker keeps its shards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import httpx
from anyio import to_thread

from collector.core.model import NO_ANSWER, Answer
from collector.errors import ApiRejected, PageMalformed, Rejection
from collector.ports import Admit, at_once
from collector.sources.thousandeyes.credentials import Authorization, UnusableSecret
from collector.sources.thousandeyes.http_client import HttpClient, Request, Response
from collector.sources.thousandeyes.page_content import NotAPage
from collector.sources.thousandeyes.rejection import rejected
from collector.sources.thousandeyes.settings import SourceSettings
from collector.sources.thousandeyes.text import one_line

Content = TypeVar("Content")

LARGE_BODY_BYTES = 1024 * 1024
"""Read in a thread from here on: twice the usual page of 1000 rows, which takes some 10 ms; 16 MB that are no page can
take ten seconds."""


@dataclass(frozen=True, slots=True)
class Accepted(Generic[Content]):
    """What an answer 200 held, what else it told, and the size of its body."""

    content: Content = field(repr=False)
    answer: Answer
    body_bytes: int


class Requester:
    """One organization's way to the API.

    Args:
        settings: of the source.

    Raises:
        ConfigurationError: the certificates or the environment's proxies cannot be used.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._credentials = settings.credentials
        self._user_agent = settings.user_agent
        self._client = HttpClient(
            request_timeout_s=settings.request_timeout_s,
            body_bytes_max=settings.body_bytes_max,
            ca_file=settings.ca_file,
        )
        self._large_bodies = anyio.CapacityLimiter(1)  # one at a time: many would share the same processor

    async def send(
        self,
        url: httpx.URL,
        read: Callable[[bytes], Content],
        *,
        accept: str,
        body: bytes | None = None,
        is_continuation: bool = False,
        admit: Admit = at_once,
    ) -> Accepted[Content]:
        """One request.

        Args:
            url: checked by `address.Endpoint`.
            read: reads the body of an answer 200; raises NotAPage when it cannot.
            accept: media types that it can read.
            body: JSON of a POST; None: GET.
            is_continuation: whether the URL came from a next link.
            admit: awaited before the body of an answer 200 is read.

        Raises:
            ApiRejected: any status other than 2xx, or no whole answer.
            PageMalformed: a 2xx that is not 200, or a body that is too large or cannot be read.
        """
        authorization = await self._authorization()
        headers = httpx.Headers(
            {
                "Authorization": authorization.header,
                "Accept": accept,
                "Accept-Encoding": "gzip",
                "User-Agent": self._user_agent,
            }
        )
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = await self._client.send(Request(url, headers, body))
        if response.status != 200:
            raise _error(response, authorization, url, is_continuation=is_continuation)
        await admit(response.answer, len(response.body))
        try:
            return Accepted(await self._read(read, response.body), response.answer, len(response.body))
        except NotAPage:
            # Read once more: the reason may quote the body, and it is cut to length, so secrets have to go first.
            if len(response.body) < LARGE_BODY_BYTES:
                reason = _reason(read, authorization.redact(response.body))
            else:
                reason = f"its {len(response.body)} bytes cannot be read"
        raise PageMalformed(one_line(f"{url.path} answered no page: {reason}"), response.answer)

    async def _read(self, read: Callable[[bytes], Content], body: bytes) -> Content:
        if len(body) < LARGE_BODY_BYTES:
            return read(body)
        # Reading changes nothing, so whoever does not want the page any more need not wait for it.
        return await to_thread.run_sync(read, body, limiter=self._large_bodies, abandon_on_cancel=True)

    async def _authorization(self) -> Authorization:
        try:
            return await self._credentials.authorization()
        except UnusableSecret as error:
            kind, reason = Rejection.UNAUTHORIZED, str(error)
        except OSError as error:
            # A file that is being replaced comes back; nothing was sent, so trying again harms nobody.
            kind, reason = Rejection.UNREACHABLE, f"the token cannot be read: {type(error).__name__} {error}"
        raise ApiRejected(kind, one_line(f"no request was sent: {reason}"), NO_ANSWER)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._client.aclose()


def _error(
    response: Response, authorization: Authorization, url: httpx.URL, *, is_continuation: bool
) -> ApiRejected | PageMalformed:
    if 200 < response.status < 300:
        return PageMalformed(f"{url.path} answered {response.status}, which carries no page", response.answer)
    body = authorization.redact(response.body)
    return rejected(response, body, url.path, is_continuation=is_continuation)


def _reason(read: Callable[[bytes], object], body: bytes) -> str:
    try:
        read(body)
    except NotAPage as error:
        return str(error)
    return "it cannot be read"
