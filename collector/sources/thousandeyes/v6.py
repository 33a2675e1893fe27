"""Version 6: endpoint user sessions. Out of support since 2025-05-27; for installations where it still answers.

Rule: the range is always explicit and closed, and the account group is always named, as in version 7.
Source: https://developer.thousandeyes.com/v6/endpoint/ (endpoint user session list).
"""

from __future__ import annotations

from collector.core.model import AccountGroupList, Page, PageRequest
from collector.ports import Admit, at_once
from collector.sources.thousandeyes.account_groups import read_account_groups
from collector.sources.thousandeyes.address import Endpoint
from collector.sources.thousandeyes.filters import v6_body
from collector.sources.thousandeyes.json_page import read_json_page
from collector.sources.thousandeyes.page_content import PageForm
from collector.sources.thousandeyes.requester import Requester
from collector.sources.thousandeyes.row_form import V6_ROW_FORM
from collector.sources.thousandeyes.settings import SourceSettings
from collector.sources.thousandeyes.times import v6_time
from collector.sources.thousandeyes.walk import PageReader, SessionList, WalkForm

ACCOUNT_GROUPS_PATH = "/v6/account-groups.json"
SESSIONS_PATH = "/v6/endpoint-data/user-sessions"

ACCEPT = {"json": "application/json", "xml": "text/xml"}
"""Sent besides the suffix of the path: next links may lack the suffix."""

PAGE_FORM = PageForm(rows_key="userSessions", links_key="pages", range_keys=("from", "to"))


class ThousandEyesV6:
    """The API of one organization in version 6.

    Args:
        settings: of the source.

    Raises:
        ConfigurationError: the certificates or the environment's proxies cannot be used.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._requester = Requester(settings)
        self._endpoint = Endpoint(settings.base_url)
        form = WalkForm(
            path=f"{SESSIONS_PATH}.{settings.format}",
            parameters=_parameters,
            body=v6_body(settings.search_filters),
            accept=ACCEPT[settings.format],
            read=_reader(settings.format),
            page=PAGE_FORM,
            row=V6_ROW_FORM,
        )
        self._sessions = SessionList(self._requester, self._endpoint, form)

    async def account_groups(self) -> AccountGroupList:
        """The account groups that the token can see, always asked for in JSON; one request.

        Raises:
            ApiRejected: an answer other than the list, or none.
            PageMalformed: an answer 200 that is no such list.
        """
        url = self._endpoint.first(ACCOUNT_GROUPS_PATH)
        accepted = await self._requester.send(url, read_account_groups, accept=ACCEPT["json"])
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
    return {"aid": request.aid, "from": v6_time(window.start), "to": v6_time(window.end)}


def _reader(form: str) -> PageReader:
    if form == "json":
        return read_json_page
    # Imported here: half a megabyte that nobody needs who does not ask for XML.
    from collector.sources.thousandeyes.xml_page import read_xml_page

    return read_xml_page
