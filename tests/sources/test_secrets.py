"""A token is nowhere but in the request."""

from __future__ import annotations

import base64
import logging
import threading
import traceback
from pathlib import Path

import pytest
from anyio.abc import ByteStream

from collector.core.model import PageRequest
from collector.errors import ApiRejected, ConfigurationError, Rejection, SourceError
from collector.sources.thousandeyes import Credentials, open_source
from tests.sources.conftest import OpenSource
from tests.sources.raw_server import CANARY, REQUEST, Received, Script, always, answer, settings

USER = "someone@example.com"
BASIC = base64.b64encode(f"{USER}:{CANARY}".encode()).decode()
ECHO = f"bad token {CANARY} in Authorization: Bearer {CANARY} or Basic {BASIC}, see https://u:{CANARY}@host/".encode()


async def broken_off(stream: ByteStream, _: Received) -> None:
    """Promises more than it sends."""
    await stream.send(answer(b"{", length=10))
    await stream.aclose()


async def silent(stream: ByteStream, _: Received) -> None:
    """Hangs up without a word."""
    await stream.aclose()


async def endless(stream: ByteStream, _: Received) -> None:
    """Is still sending at the deadline."""
    await stream.send(answer(b"", length=10**7))
    while True:
        await stream.send(b" " * 10)


SCRIPTS: dict[str, Script] = {
    "broken off": broken_off,
    "silent": silent,
    "endless": endless,
    "no HTTP": always(b"nonsense\r\n\r\n"),
    "HTML 200": always(answer(b"<html>" + ECHO)),
    "error 200": always(answer(b'{"errorMessage":"' + ECHO + b'"}')),
    "foreign next": always(
        answer(b'{"results":[{}],"_links":{"next":"https://u:' + CANARY.encode() + b'@evil/?a=1"}}')
    ),
    "redirect": always(answer(ECHO, "301 Moved", {"Location": f"https://u:{CANARY}@evil/"})),
    **{
        f"{status} {shape}": always(answer(body, f"{status} X"))
        for status in (400, 401, 403, 429, 500)
        for shape, body in {
            "text": ECHO,
            "errorMessage": b'{"errorMessage":"' + ECHO + b'"}',
            "unknown": b'{"x":"' + ECHO + b'"}',
            "html": b"<html><title>" + ECHO + b"</title></html>",
            "at the cap": b"x" * (300 - 80 - len(CANARY) // 2) + CANARY.encode(),
        }.items()
    },
}


@pytest.mark.anyio
@pytest.mark.parametrize("user", [None, USER])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_no_error_shows_the_token(
    open_against: OpenSource, caplog: pytest.LogCaptureFixture, name: str, user: str | None
) -> None:
    """No error shows the token: not as text, not as repr, not in a traceback with the variables of every frame."""
    caplog.set_level(logging.DEBUG)
    source, _ = await open_against(
        SCRIPTS[name], api_version="v6", credentials=Credentials.from_token(CANARY, user), request_timeout_s=0.5
    )
    # v6 names its rows and links otherwise than the v7 body of "foreign next"; both versions are asked.
    v7, _ = await open_against(SCRIPTS[name], request_timeout_s=0.5)
    for each in (source, v7):
        with pytest.raises(SourceError) as caught:
            await each.fetch(REQUEST)
        frames = caught.value.__traceback__
        assert frames is not None
        frames = frames.tb_next  # below this test, which knows the token
        shown = traceback.TracebackException(type(caught.value), caught.value, frames, capture_locals=True)
        for text in ("".join(shown.format()), str(caught.value), repr(caught.value), caught.value.detail, repr(each)):
            assert CANARY not in text
            assert CANARY[:12] not in text
            assert BASIC not in text
    assert CANARY not in caplog.text
    assert BASIC not in caplog.text


@pytest.mark.anyio
async def test_stored_link_with_credentials_is_not_shown(open_against: OpenSource) -> None:
    """A continuation that carries credentials is neither shown nor sent with them."""
    source, server = await open_against(always(answer(b"{}")))
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, f"https://u:{CANARY}x@evil.example.com/"))
    assert CANARY not in caught.value.detail
    link = f"http://u:p@127.0.0.1:{server.port}/x?aid=7625"
    await source.fetch(PageRequest(REQUEST.aid, REQUEST.window, link))
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"


def test_values_do_not_show_the_token() -> None:
    """Settings, credentials and sources can be printed."""
    made = settings("https://api.example.com")
    for value in (made, made.credentials, open_source(made)):
        assert CANARY not in f"{value!r} {value}"


@pytest.mark.anyio
async def test_authorization_does_not_show_the_token() -> None:
    """The header of one request can be printed."""
    authorization = await Credentials.from_token(CANARY).authorization()
    assert CANARY not in repr(authorization)
    assert authorization.header == f"Bearer {CANARY}"


@pytest.mark.anyio
@pytest.mark.parametrize("token", ["", "  \n", f"{CANARY}\nsecond", f"{CANARY} x", f"{CANARY}é", f"{CANARY}\x00"])
async def test_unusable_token_sends_nothing(open_against: OpenSource, token: str) -> None:
    """A token that no header can carry stops the organization before a request, and is not shown."""
    source, server = await open_against(always(answer(b"{}")), credentials=Credentials.from_token(token))
    with pytest.raises(ApiRejected, match="no request was sent") as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNAUTHORIZED
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert server.connections == 0


@pytest.mark.anyio
async def test_token_file(open_against: OpenSource, tmp_path: Path) -> None:
    """A token file is read for every request; while it is missing nothing is sent, and that is no reason to give up."""
    path = tmp_path / "token"
    path.write_text(f"{CANARY}\n")
    source, server = await open_against(always(answer(b"{}")), credentials=Credentials.from_file(path))
    await source.fetch(REQUEST)
    path.unlink()
    with pytest.raises(ApiRejected, match="token cannot be read") as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNREACHABLE
    path.write_bytes(b"\xff\xfe" + CANARY.encode())
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(REQUEST)
    assert caught.value.kind is Rejection.UNAUTHORIZED
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    path.write_text("another")
    await source.fetch(REQUEST)
    assert [each.headers["authorization"] for each in server.requests] == [f"Bearer {CANARY}", "Bearer another"]


@pytest.mark.anyio
async def test_token_that_cannot_be_read_in_time(open_against: OpenSource) -> None:
    """A token file that hangs, as on a lost network drive, delays a request and does not stop the organization."""
    released = threading.Event()

    def hang() -> str:
        released.wait(30)
        return CANARY

    source, server = await open_against(
        always(answer(b"{}")), credentials=Credentials(hang, blocks=True, read_timeout_s=0.05)
    )
    try:
        with pytest.raises(ApiRejected, match="token cannot be read: TimeoutError") as caught:
            await source.fetch(REQUEST)
    finally:
        released.set()
    assert caught.value.kind is Rejection.UNREACHABLE
    assert server.connections == 0


def test_base_url_with_credentials_is_refused_unseen() -> None:
    """A base URL that holds a password is refused without being quoted."""
    with pytest.raises(ConfigurationError, match="must not hold credentials") as caught:
        settings(f"https://user:{CANARY}@api.example.com")
    assert CANARY not in str(caught.value)
