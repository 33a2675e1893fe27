"""Version 6 on the wire: what is asked, and what a page becomes."""

from __future__ import annotations

import base64

import orjson
import pytest

from collector.core.model import AccountGroup, PageRequest
from collector.sources.thousandeyes import Credentials
from tests.sources.conftest import OpenSource
from tests.sources.raw_server import CANARY, REQUEST, always, answer, in_turn

pytestmark = pytest.mark.anyio

ROW = {"userSessionId": "07625:1490529480:aVDViw0i", "roundId": 1490529480, "date": "2017-03-26 11:58:42"}


async def test_without_filters_pages_are_got(open_against: OpenSource) -> None:
    """Without filters a walk is GET from the first page to the last, with group and closed range."""
    link = "/v6/endpoint-data/user-sessions.json?lastRoundId=1490529480&from=2017-03-26+11%3A58%3A00&aid=7625"
    first = orjson.dumps({"userSessions": [ROW], "pages": {"current": 1, "next": link}})
    source, server = await open_against(in_turn(answer(first), answer(b'{"pages":{"current":1}}')), api_version="v6")
    page = await source.fetch(REQUEST)
    assert page.rows == [ROW]
    assert page.form.id_field == "userSessionId"
    last = await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, page.continuation))
    assert (list(last.rows), last.continuation) == ([], None)
    received = server.requests[0]
    assert received.target.startswith("/v6/endpoint-data/user-sessions.json?")
    assert received.query == {"aid": ["7625"], "from": ["2017-03-26T11:58:00"], "to": ["2017-03-26T11:59:00"]}
    assert [(each.method, each.body) for each in server.requests] == [("GET", b""), ("GET", b"")]
    assert "content-type" not in received.headers
    assert server.requests[1].target == link


async def test_with_filters_pages_are_posted(open_against: OpenSource) -> None:
    """With filters a walk is POST from the first page to the last, with the same body."""
    first = orjson.dumps({"userSessions": [ROW], "pages": {"next": "?lastRoundId=1&aid=7625"}})
    source, server = await open_against(
        in_turn(answer(first), answer(b'{"userSessions":[]}')),
        api_version="v6",
        search_filters={"connection": ["Wireless"], "domain": ["a.com", "b.com"]},
    )
    page = await source.fetch(REQUEST)
    await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, page.continuation))
    body = orjson.loads(server.requests[0].body)
    assert body == {
        "searchFilters": [
            {"key": "connection", "values": ["Wireless"]},
            {"key": "domain", "values": ["a.com", "b.com"]},
        ]
    }
    assert [each.method for each in server.requests] == ["POST", "POST"]
    assert server.requests[0].body == server.requests[1].body
    assert server.requests[1].target == "/v6/endpoint-data/user-sessions.json?lastRoundId=1&aid=7625"


async def test_basic_authentication(open_against: OpenSource) -> None:
    """A user beside the token means HTTP Basic."""
    source, server = await open_against(
        always(answer(b"{}")), api_version="v6", credentials=Credentials.from_token(CANARY, user="a@example.com")
    )
    await source.fetch(REQUEST)
    expected = base64.b64encode(f"a@example.com:{CANARY}".encode()).decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"


async def test_account_groups_have_numbers(open_against: OpenSource) -> None:
    """The numbers of v6 become the texts that all else knows."""
    body = b'{"accountGroups":[{"accountGroupName":"A","aid":7625,"current":0,"default":1}]}'
    source, server = await open_against(always(answer(body)), api_version="v6", format="xml")
    assert (await source.account_groups()).account_groups == (AccountGroup("7625", "A"),)
    assert server.requests[0].target == "/v6/account-groups.json"
    assert server.requests[0].headers["accept"] == "application/json"


async def test_xml(open_against: OpenSource) -> None:
    """XML is asked for by path and by header, and its rows look like those of JSON."""
    body = (
        b"<?xml version='1.0' encoding='utf-8'?>\n<userSessionList><userSessions><roundId>1490529480</roundId>"
        b"<experienceScore>0.5</experienceScore><visitedSite>a.com</visitedSite></userSessions>"
        b"<pages><current>1</current><next>?lastRoundId=5&amp;aid=7625</next></pages></userSessionList>"
    )
    source, server = await open_against(always(answer(body)), api_version="v6", format="xml")
    page = await source.fetch(REQUEST)
    assert page.rows == [{"roundId": 1490529480, "experienceScore": 0.5, "visitedSite": "a.com"}]
    assert page.continuation == f"{server.base_url}/v6/endpoint-data/user-sessions.xml?lastRoundId=5&aid=7625"
    assert page.source_bytes(0) == body[body.index(b"<userSessions>") : body.index(b"<pages>")]
    assert server.requests[0].target.startswith("/v6/endpoint-data/user-sessions.xml?")
    assert server.requests[0].headers["accept"] == "text/xml"
