"""Which next links are followed, and what happens to those that are not."""

from __future__ import annotations

import httpx
import orjson
import pytest

from collector.core.model import PageRequest
from collector.errors import ApiRejected, PageMalformed, Rejection
from collector.sources.thousandeyes.address import Endpoint, ForeignLink, OtherAccountGroup
from tests.sources.conftest import OpenSource, Serve
from tests.sources.raw_server import REQUEST, always, answer, in_turn

BASE = "https://api.example.com/te"
PAGE = httpx.URL("https://api.example.com/te/v7/list?aid=1")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            "https://api.example.com/te/v7/list?cursor=a%2Bb+c%3D&aid=1",
            "https://api.example.com/te/v7/list?cursor=a%2Bb+c%3D&aid=1",
        ),
        ("https://API.example.com:443/x?aid=1", "https://api.example.com/x?aid=1"),
        ("/v7/list?cursor=x&aid=1", "https://api.example.com/v7/list?cursor=x&aid=1"),
        ("?cursor=x&aid=01", "https://api.example.com/te/v7/list?cursor=x&aid=01"),
        ("//api.example.com/x?aid=1", "https://api.example.com/x?aid=1"),
        ("https://api.example.com/x?cursor=y", "https://api.example.com/x?cursor=y&aid=1"),
        ("https://api.example.com/x?aid=", "https://api.example.com/x?aid=&aid=1"),
        ("https://api.example.com/x", "https://api.example.com/x?aid=1"),
        ("https://user:password@api.example.com/x?aid=1#top", "https://api.example.com/x?aid=1"),
    ],
)
def test_links_to_the_same_origin_are_followed(link: str, expected: str) -> None:
    """A link is followed as written; a lost account group is added, and what no server may see is taken away."""
    assert str(Endpoint(BASE).next(link, PAGE, "1")) == expected


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.com/v7/list?aid=1",
        "http://api.example.com/v7/list?aid=1",
        "https://api.example.com:8443/v7/list?aid=1",
        "//evil.example.com/v7/list?aid=1",
        "https://api.example.com@evil.example.com/?aid=1",
        "https://api.example.com\\@evil.example.com/?aid=1",
        "https://api.example.com.evil.example.com/?aid=1",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://[::1/x",
        "https://api.example.com/\x00",
        "https://api.example.com:99999999/",
        "https://api.example.com/" + "a" * 20_000,
    ],
)
def test_links_elsewhere_are_not_followed(link: str) -> None:
    """A token never travels to another scheme, host or port, however the link is written."""
    with pytest.raises(ForeignLink) as caught:
        Endpoint(BASE).next(link, PAGE, "1")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("link", ["/x?aid=2", "/x?aid=1&aid=2", "/x?a%69d=2"])
def test_link_to_another_account_group_is_not_followed(link: str) -> None:
    """A link that names another account group would publish its sessions under the wrong name."""
    with pytest.raises(OtherAccountGroup):
        Endpoint(BASE).next(link, PAGE, "1")


@pytest.mark.anyio
async def test_foreign_next_on_a_page_is_malformed_and_nothing_is_sent(open_against: OpenSource, serve: Serve) -> None:
    """A page whose next link leads elsewhere is no page; the other host hears nothing."""
    elsewhere = await serve(always(answer(b'{"results":[]}')))
    link = f"{elsewhere.base_url}/v7/x?aid=7625"
    body = orjson.dumps({"results": [{}], "_links": {"next": {"href": link}}})
    source, _ = await open_against(always(answer(body)))
    with pytest.raises(PageMalformed, match=r"leads to http://127\.0\.0\.1:") as caught:
        await source.fetch(REQUEST)
    assert caught.value.answer.status == 200
    assert caught.value.answer.quota is not None
    with pytest.raises(ApiRejected, match="never sent elsewhere") as rejected:
        await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, link))
    assert rejected.value.kind is Rejection.BAD_REQUEST
    assert elsewhere.connections == 0


@pytest.mark.anyio
async def test_next_of_another_group_is_rejected(open_against: OpenSource) -> None:
    """A page whose next link names another account group is rejected, before and after it is stored."""
    body = orjson.dumps({"results": [{}], "_links": {"next": "/v7/x?aid=1"}})
    source, server = await open_against(always(answer(body)))
    for request in (REQUEST, PageRequest(REQUEST.aid, REQUEST.window, f"{server.base_url}/v7/x?aid=1")):
        with pytest.raises(ApiRejected) as caught:
            await source.fetch(request)
        assert caught.value.kind is Rejection.WRONG_ACCOUNT_GROUP
    assert len(server.requests) == 1


@pytest.mark.anyio
async def test_lost_account_group_is_added(open_against: OpenSource) -> None:
    """A next link that lost the account group gets it back: the API would answer for the default group."""
    body = orjson.dumps({"results": [{}], "_links": {"next": "/v7/x?cursor=1"}})
    source, server = await open_against(in_turn(answer(body), answer(b"{}")))
    page = await source.fetch(REQUEST)
    await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, page.continuation))
    assert server.requests[1].target == "/v7/x?cursor=1&aid=7625"


@pytest.mark.anyio
@pytest.mark.parametrize("links", [[1], "text", {"next": 7}, {"next": {"rel": "next"}}, {"next": ["x"]}])
async def test_next_that_cannot_be_read_is_malformed(open_against: OpenSource, links: object) -> None:
    """What stands in the place of a next link and is none must not end the walk."""
    source, _ = await open_against(always(answer(orjson.dumps({"results": [{}], "_links": links}))))
    with pytest.raises(PageMalformed, match="next link"):
        await source.fetch(REQUEST)
