"""One page of a walk, for both versions: first by range, then by next link.

Rule: all requests of a walk have the same method and the same body, byte for byte; otherwise its pages do not belong
together (https://developer.cisco.com/docs/thousandeyes/pagination/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from collector.core.model import NO_ANSWER, Answer, Page, PageRequest, RowForm
from collector.errors import ApiRejected, PageMalformed, Rejection
from collector.ports import Admit, at_once
from collector.sources.thousandeyes.address import Endpoint, ForeignLink, OtherAccountGroup
from collector.sources.thousandeyes.page_content import PageContent, PageForm
from collector.sources.thousandeyes.requester import Requester

PageReader = Callable[[bytes, PageForm], PageContent]


@dataclass(frozen=True, slots=True)
class WalkForm:
    """How one version of the API is asked for sessions, and how it writes them.

    Args:
        path: of the list, below the base URL.
        parameters: query of a first page.
        body: JSON of each request; None: GET.
        accept: media types asked for.
        read: reads a body.
        page: how a page is written.
        row: how a row is written.
    """

    path: str
    parameters: Callable[[PageRequest], dict[str, str]]
    body: bytes | None
    accept: str
    read: PageReader
    page: PageForm
    row: RowForm


class SessionList:
    """The list of user sessions.

    Args:
        requester: sends the requests.
        endpoint: makes their addresses.
        form: of the API version.
    """

    def __init__(self, requester: Requester, endpoint: Endpoint, form: WalkForm) -> None:
        self._requester = requester
        self._endpoint = endpoint
        self._form = form
        self._list = endpoint.first(form.path)

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        """One page.

        Raises:
            ApiRejected: an answer other than a page, or none; also a continuation that may not be followed.
            PageMalformed: an answer 200 that is no page, or whose next link may not be followed.
        """
        form = self._form
        url = self._address(request)
        accepted = await self._requester.send(
            url,
            lambda body: form.read(body, form.page),
            accept=form.accept,
            body=form.body,
            is_continuation=request.continuation is not None,
            admit=admit,
        )
        content = accepted.content
        return Page(
            rows=content.rows,
            continuation=self._continuation(content.link, url, request.aid, accepted.answer),
            answer=accepted.answer,
            form=form.row,
            source_bytes=content.source_bytes,
            body_bytes=accepted.body_bytes,
        )

    def _address(self, request: PageRequest) -> httpx.URL:
        if request.continuation is None:
            return self._endpoint.first(self._form.path, self._form.parameters(request))
        try:
            return self._endpoint.next(request.continuation, self._list, request.aid)
        except ForeignLink as error:
            raise ApiRejected(Rejection.BAD_REQUEST, f"no request was sent: {error}", NO_ANSWER) from None
        except OtherAccountGroup:
            raise _other_account_group(request.aid, NO_ANSWER) from None

    def _continuation(self, link: str | None, page: httpx.URL, aid: str, answer: Answer) -> str | None:
        if link is None:
            return None
        try:
            return str(self._endpoint.next(link, page, aid))
        except ForeignLink as error:
            raise PageMalformed(str(error), answer) from None
        except OtherAccountGroup:
            raise _other_account_group(aid, answer) from None


def _other_account_group(aid: str, answer: Answer) -> ApiRejected:
    detail = f"the next link of account group {aid} asks for another account group"
    return ApiRejected(Rejection.WRONG_ACCOUNT_GROUP, detail, answer)
