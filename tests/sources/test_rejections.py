"""Every answer other than a page: what it means, what it says, and what it tells besides."""

from __future__ import annotations

import orjson
import pytest
from anyio.abc import ByteStream

from collector.core.model import Answer, EpochS, PageRequest, Quota
from collector.errors import ApiRejected, PageMalformed, Rejection
from tests.sources.conftest import OpenSource, Serve
from tests.sources.raw_server import QUOTA_HEADERS, REQUEST, Received, always, answer

pytestmark = pytest.mark.anyio

TOLD = (Quota(240, 239, EpochS(1490622120.0)), EpochS(1490622062.0))


@pytest.mark.parametrize("api_version", ["v7", "v6"])
@pytest.mark.parametrize(
    ("status", "first_page", "next_page"),
    [
        ("301 Moved Permanently", Rejection.VERSION_GONE, Rejection.VERSION_GONE),
        ("302 Found", Rejection.BAD_REQUEST, Rejection.BAD_REQUEST),
        ("307 Temporary Redirect", Rejection.BAD_REQUEST, Rejection.BAD_REQUEST),
        ("308 Permanent Redirect", Rejection.VERSION_GONE, Rejection.VERSION_GONE),
        ("400 Bad Request", Rejection.BAD_REQUEST, Rejection.BAD_REQUEST),
        ("401 Unauthorized", Rejection.UNAUTHORIZED, Rejection.UNAUTHORIZED),
        ("403 Forbidden", Rejection.FORBIDDEN, Rejection.FORBIDDEN),
        ("404 Not Found", Rejection.VERSION_GONE, Rejection.BAD_REQUEST),
        ("405 Method Not Allowed", Rejection.BAD_REQUEST, Rejection.BAD_REQUEST),
        ("406 Not Acceptable", Rejection.BAD_REQUEST, Rejection.BAD_REQUEST),
        ("408 Request Timeout", Rejection.UNAVAILABLE, Rejection.UNAVAILABLE),
        ("410 Gone", Rejection.VERSION_GONE, Rejection.BAD_REQUEST),
        ("415 Unsupported Media Type", Rejection.BAD_REQUEST, Rejection.BAD_REQUEST),
        ("429 Too Many Requests", Rejection.RATE_LIMITED, Rejection.RATE_LIMITED),
        ("500 Internal Server Error", Rejection.UNAVAILABLE, Rejection.UNAVAILABLE),
        ("502 Bad Gateway", Rejection.UNAVAILABLE, Rejection.UNAVAILABLE),
        ("503 Service Unavailable", Rejection.UNAVAILABLE, Rejection.UNAVAILABLE),
        ("599 Whatever", Rejection.UNAVAILABLE, Rejection.UNAVAILABLE),
    ],
)
async def test_status_decides(
    open_against: OpenSource, api_version: str, status: str, first_page: Rejection, next_page: Rejection
) -> None:
    """The status alone says what follows; quota and date come with it; a refused next link is not a version gone."""
    source, server = await open_against(always(answer(b"", status)), api_version=api_version)
    for continuation, expected in ((None, first_page), (f"{server.base_url}/next?aid=7625", next_page)):
        with pytest.raises(ApiRejected) as caught:
            await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, continuation))
        assert caught.value.kind is expected
        assert caught.value.answer == Answer(int(status[:3]), *TOLD)
        assert status.removesuffix(" Whatever") in caught.value.detail


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_redirects_are_not_followed(open_against: OpenSource, serve: Serve, status: str) -> None:
    """A redirect ends at its first answer; the place it points to hears nothing."""
    elsewhere = await serve(always(answer(b'{"results":[]}')))
    headers = QUOTA_HEADERS | {"Location": f"{elsewhere.base_url}/v7/x"}
    source, server = await open_against(always(answer(b"", status, headers)))
    with pytest.raises(ApiRejected):
        await source.fetch(REQUEST)
    assert (len(server.requests), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"errorMessage":"401 Not Authorized\\nPlease ensure you are using the correct authentication token."}',
            "401 Not Authorized Please ensure you are using the correct authentication token.",
        ),
        (
            b'{"error":"invalid_token","error_description":"Invalid access token"}',
            "invalid_token: Invalid access token",
        ),
        (
            b'{"type":"about:blank","title":"Failed to deserialize","status":400,"instance":"/v7/x"}',
            "Failed to deserialize",
        ),
        (
            (
                b'{"title":"Bad Request","detail":"Validation failed","errors":[{"code":"c1","field":"startDate",'
                b'"message":"is wrong"},{"message":"second"}]}'
            ),
            "Bad Request: Validation failed: startDate is wrong c1: second",
        ),
        (
            b'{"timestamp":1,"httpStatus":"PRECONDITION_FAILED","errors":["first","second"],"path":"http://x"}',
            "PRECONDITION_FAILED: first: second",
        ),
        (b'{"error":{"message":"nested"}}', "nested"),
        (b'{"unknown":["shape"]}', '{"unknown":["shape"]}'),
        (b'"just a text"', "just a text"),
        (b"plain text\r\nin two lines", "plain text in two lines"),
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"<html><style>p {}</style><p>Gone &amp; lost</p></html>", "Gone & lost"),
        (b"<error><errorMessage>From XML</errorMessage></error>", "From XML"),
        (b'{"errorMessage":"cut o', '{"errorMessage":"cut o'),
        (b"red \x1b[31m alert \x07 \xe2\x80\xae back", "red \\x1b[31m alert \\x07 \\u202e back"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"see https://user:password@host/path", "see https://host/path"),
    ],
)
async def test_error_bodies_become_one_line(open_against: OpenSource, body: bytes, expected: str) -> None:
    """Every known shape of an error body, and unknown ones, end as one readable line."""
    source, _ = await open_against(always(answer(body, "400 Bad Request")))
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert (
        caught.value.detail == f"/v7/endpoint/test-results/real-user-tests/filter answered 400 Bad Request: {expected}"
    )


async def test_empty_error_body_says_what_the_status_says(open_against: OpenSource) -> None:
    """An empty body, as a 404 of the real API has it, leaves status and advice."""
    source, _ = await open_against(always(answer(b"", "404 Not Found")))
    with pytest.raises(ApiRejected) as caught:
        await source.account_groups()
    assert caught.value.detail == "/v7/account-groups answered 404 Not Found (check api_version and base_url)"


async def test_long_error_bodies_are_capped(open_against: OpenSource) -> None:
    """A detail never grows beyond 300 characters, however much the API says, and reading stops early."""
    source, _ = await open_against(always(answer(b"x " * 500_000, "500 Internal Server Error")))
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert len(caught.value.detail) == 300
    assert caught.value.kind is Rejection.UNAVAILABLE


@pytest.mark.parametrize(
    "body",
    [b"cut", b""],
)
async def test_status_counts_even_when_its_body_is_broken_off(open_against: OpenSource, body: bytes) -> None:
    """The explanation of a 429 may get lost; its status and quota do not."""

    async def script(stream: ByteStream, _: Received) -> None:
        await stream.send(answer(body, "429 Too Many Requests", length=100))
        await stream.aclose()

    source, _ = await open_against(script)
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.RATE_LIMITED
    assert caught.value.answer == Answer(429, *TOLD)


async def test_unusable_headers_are_no_headers(open_against: OpenSource) -> None:
    """Quota and date are absent when their headers do not parse; the page is there all the same."""
    for headers in (
        {},
        {"X-Organization-Rate-Limit-Limit": "240"},
        {**QUOTA_HEADERS, "X-Organization-Rate-Limit-Remaining": "-1", "Date": "yesterday"},
        {**QUOTA_HEADERS, "X-Organization-Rate-Limit-Limit": "9" * 40, "Date": "Mon, 99 Mar 2017 13:41:02 GMT"},
        {**QUOTA_HEADERS, "X-Organization-Rate-Limit-Limit": "2.5", "Date": ""},
    ):
        source, _ = await open_against(always(answer(b'{"results":[]}', headers=headers)))
        assert (await source.fetch(REQUEST)).answer == Answer(200)
    source, _ = await open_against(
        always(answer(b'{"results":[]}', headers={**QUOTA_HEADERS, "X-Organization-Rate-Limit-Reset": "soon"}))
    )
    assert (await source.fetch(REQUEST)).answer.quota == Quota(240, 239, None)


@pytest.mark.parametrize("key", ["errorMessage", "error"])
@pytest.mark.parametrize(("api_version", "rows_key"), [("v7", "results"), ("v6", "userSessions")])
async def test_error_with_status_200_is_no_empty_page(
    open_against: OpenSource, api_version: str, rows_key: str, key: str
) -> None:
    """A 200 that explains an error and has no rows must not count its window as covered; with rows it is a page."""
    for document in ({key: "it failed"}, {key: "it failed", rows_key: []}):
        source, _ = await open_against(always(answer(orjson.dumps(document))), api_version=api_version)
        with pytest.raises(PageMalformed, match="it failed"):
            await source.fetch(REQUEST)
    source, _ = await open_against(
        always(answer(orjson.dumps({key: "it failed", rows_key: [{}]}))), api_version=api_version
    )
    assert (await source.fetch(REQUEST)).rows == [{}]


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "202 Accepted"])
async def test_other_successes_are_no_pages(open_against: OpenSource, status: str) -> None:
    """Only 200 carries a page: a part of one, or none, must not count as a whole one."""
    body = b"" if status.startswith("204") else b'{"results":[]}'
    source, _ = await open_against(always(answer(body, status)))
    with pytest.raises(PageMalformed):
        await source.fetch(REQUEST)
