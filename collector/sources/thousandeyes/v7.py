"""Version 7: real user test results.

Rule: the range is always explicit and closed, and the account group is always named. Without a range the API may
return everything it has; without ``aid`` it answers for the default account group and does not say so.
Source: https://developer.cisco.com/docs/thousandeyes/ (OpenAPI 7.0.99, real user tests).
"""

from __future__ import annotations

from collector.core.model import AccountGroupList, Page, PageRequest
from collector.ports import Admit, at_once
from collector.sources.thousandeyes.account_groups import read_account_groups
from collector.sources.thousandeyes.address import Endpoint
from collector.sources.thousandeyes.filters import v7_body
from collector.sources.thousandeyes.json_page import read_json_page
from collector.sources.thousandeyes.page_content import PageForm
from collector.sources.thousandeyes.requester import Requester
from collector.sources.thousandeyes.row_form import V7_ROW_FORM
from collector.sources.thousandeyes.settings import SourceSettings
from collector.sources.thousandeyes.times import v7_time
from collector.sources.thousandeyes.walk import SessionList, WalkForm

ACCOUNT_GROUPS_PATH = "/v7/account-groups"
SESSIONS_PATH = "/v7/endpoint/test-results/real-user-tests/filter"

ACCEPT = "application/json, application/hal+json, application/problem+json"
"""The specification says hal+json for lists; real filter answers say json."""

PAGE_FORM = PageForm(rows_key="results", links_key="_links", range_keys=("startDate", "endDate"))


class ThousandEyesV7:
    """The API of one organization in version 7.

    Args:
        settings: of the source.

    Raises:
        ConfigurationError: the certificates or the environment's proxies cannot be used.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._requester = Requester(settings)
        self._endpoint = Endpoint(settings.base_url)
        form = WalkForm(
            path=SESSIONS_PATH,
            parameters=_parameters,
            body=v7_body(settings.search_filters),
            accept=ACCEPT,
            read=read_json_page,
            page=PAGE_FORM,
            row=V7_ROW_FORM,
        )
        self._sessions = SessionList(self._requester, self._endpoint, form)

    async def account_groups(self) -> AccountGroupList:
        """The account groups that the token can see; one request.

        Raises:
            ApiRejected: an answer other than the list, or none.
            PageMalformed: an answer 200 that is no such list.
        """
        url = self._endpoint.first(ACCOUNT_GROUPS_PATH)
        accepted = await self._requester.send(url, read_account_groups, accept=ACCEPT)
        return AccountGroupList(accepted.content, accepted.answer)

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        """One page of sessions; one request.

        Raises:
            ApiRejected: an answer other than a page, or none; also a continuation that may not be followed.
            PageMalformed: an answer 200 that is no page, or whose next link may not be followed.
        """
        return await self._sessions.fetch(request, admit)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._requester.aclose()


def _parameters(request: PageRequest) -> dict[str, str]:
    window = request.window
    return {"aid": request.aid, "startDate": v7_time(window.start), "endDate": v7_time(window.end)}
