"""Version 7 on the wire: what is asked, and what a page becomes."""

from __future__ import annotations

import orjson
import pytest

from collector.core.model import AccountGroup, Answer, EpochS, PageRequest, Quota
from collector.errors import PageMalformed
from collector.sources.thousandeyes import Credentials
from tests.sources.conftest import OpenSource
from tests.sources.raw_server import CANARY, REQUEST, always, answer, in_turn

pytestmark = pytest.mark.anyio

ROW = {"id": "07625:1490529480:aVDViw0i", "roundId": 1490529480, "date": "2017-03-26T11:58:42Z"}


async def test_first_page_asks_for_the_group_and_a_closed_range(open_against: OpenSource) -> None:
    """A first page names account group, start and end, and carries the token as bearer."""
    source, server = await open_against(always(answer(b'{"results":[]}')))
    await source.fetch(REQUEST)
    [received] = server.requests
    assert received.method == "POST"
    assert received.target.startswith("/v7/endpoint/test-results/real-user-tests/filter?")
    assert received.query == {
        "aid": ["7625"],
        "startDate": ["2017-03-26T11:58:00Z"],
        "endDate": ["2017-03-26T11:59:00Z"],
    }
    assert received.body == b"{}"
    assert received.headers["authorization"] == f"Bearer {CANARY}"
    assert received.headers["content-type"] == "application/json"


async def test_page_holds_rows_answer_and_source_bytes(open_against: OpenSource) -> None:
    """A page gives its rows decoded and untouched, and what the headers told."""
    body = b'{"results": [ ' + orjson.dumps(ROW) + b' , {"id" : "x"} ], "_links": {}}'
    source, _ = await open_against(always(answer(body)))
    page = await source.fetch(REQUEST)
    assert page.rows == [ROW, {"id": "x"}]
    assert page.continuation is None
    assert page.answer == Answer(200, Quota(240, 239, EpochS(1490622120.0)), EpochS(1490622062.0))
    assert page.form.id_field == "id"
    assert [page.source_bytes(0), page.source_bytes(1)] == [orjson.dumps(ROW), b'{"id" : "x"}']
    assert page.body_bytes == len(body)


@pytest.mark.parametrize("as_object", [True, False])
async def test_next_is_followed_with_the_same_method_and_body(open_against: OpenSource, as_object: bool) -> None:
    """The pages of a walk are asked for with the same body, byte for byte, at the address the API gave."""
    path = "/v7/endpoint/test-results/real-user-tests/filter?cursor=bGFz%3D+x&aid=7625&startDate=1"
    link: object = {"href": path} if as_object else path
    first = orjson.dumps({"results": [ROW], "_links": {"next": link}})
    source, server = await open_against(
        in_turn(answer(first), answer(b'{"results":[],"_links":{}}')), search_filters={"platform": ["mac", "windows"]}
    )
    page = await source.fetch(REQUEST)
    assert page.continuation == f"{server.base_url}{path}"
    last = await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, page.continuation))
    assert (last.rows, last.continuation) == ([], None)
    assert server.requests[1].target == path
    assert server.requests[1].method == "POST"
    assert server.requests[0].body == server.requests[1].body
    assert orjson.loads(server.requests[0].body) == {"searchFilters": {"platform": ["mac", "windows"]}}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"_links":{}}',
        b'{"results":null,"startDate":"2017-03-26T11:58:00Z"}',
        b'{"results":[],"_links":null}',
        b'{"results":[],"_links":{"next":null}}',
        b'{"results":[],"error":null,"errorMessage":""}',
    ],
)
async def test_page_without_rows_is_an_empty_last_page(open_against: OpenSource, body: bytes) -> None:
    """A page may lack its rows, its links or both."""
    source, _ = await open_against(always(answer(body)))
    page = await source.fetch(REQUEST)
    assert (list(page.rows), page.continuation) == ([], None)


async def test_path_prefix_of_the_base_url_is_kept(open_against: OpenSource) -> None:
    """A base URL may have a path in front of the version, as behind a gateway."""
    source, server = await open_against(always(answer(b'{"accountGroups":[]}')), prefix="/te/api/")
    await source.account_groups()
    assert server.requests[0].target == "/te/api/v7/account-groups"


async def test_account_groups(open_against: OpenSource) -> None:
    """The list of account groups keeps order and names, and each group once."""
    body = orjson.dumps(
        {
            "accountGroups": [
                {"aid": "2", "accountGroupName": "Two", "isDefaultAccountGroup": True},
                {"aid": "1"},
                {"aid": "2", "accountGroupName": "Two"},
            ],
            "_links": {"self": {"href": "x"}},
        }
    )
    source, server = await open_against(always(answer(body)))
    groups = await source.account_groups()
    assert groups.account_groups == (AccountGroup("2", "Two"), AccountGroup("1", ""))
    assert groups.answer.quota == Quota(240, 239, EpochS(1490622120.0))
    assert (server.requests[0].method, server.requests[0].target) == ("GET", "/v7/account-groups")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login</html>",
        b"[]",
        b'{"error":"x"}',
        b'{"accountGroups":{}}',
        b'{"accountGroups":[{"accountGroupName":"no aid"}]}',
        b'{"accountGroups":["7625"]}',
        b'{"accountGroups":[],"_links":{"next":{"href":"/more"}}}',
    ],
)
async def test_account_groups_that_cannot_be_read_are_an_error(open_against: OpenSource, body: bytes) -> None:
    """A group is never left out in silence: what cannot be read whole is no list."""
    source, _ = await open_against(always(answer(body)))
    with pytest.raises(PageMalformed) as caught:
        await source.account_groups()
    assert caught.value.answer.status == 200


async def test_token_is_read_for_every_request(open_against: OpenSource) -> None:
    """A token that was rotated is used from the next request on."""
    tokens = iter(["first-token", " second-token\n"])
    source, server = await open_against(
        always(answer(b'{"results":[]}')), credentials=Credentials(lambda: next(tokens), blocks=True)
    )
    await source.fetch(REQUEST)
    await source.fetch(REQUEST)
    assert [received.headers["authorization"] for received in server.requests] == [
        "Bearer first-token",
        "Bearer second-token",
    ]


async def test_cookies_are_not_sent_back(open_against: OpenSource) -> None:
    """Requests do not depend on each other: a cookie that an answer sets is forgotten."""
    source, server = await open_against(always(answer(b'{"results":[]}', headers={"Set-Cookie": "session=1; Path=/"})))
    await source.fetch(REQUEST)
    await source.fetch(REQUEST)
    assert "cookie" not in server.requests[1].headers
    assert server.connections == 1
