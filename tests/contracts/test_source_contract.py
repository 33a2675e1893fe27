"""The contract of the `Source` port, held to the simulation's API and to the real source against the API simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import anyio
import orjson
import pytest

from collector.core.model import Answer, Page, PageRequest, Window
from collector.errors import ApiRejected, PageMalformed, Rejection, SourceError
from tests.contracts.apis import FakeTrouble, Trouble, real_api
from tests.core.pages import SCHEMA

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PAGES_MAX = 200


@pytest.fixture(params=["fake", "real"])
async def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trouble]:
    """One after the other: the fake, and the real one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with AsyncExitStack() as stack:
        yield FakeTrouble() if request.param == "fake" else await stack.enter_async_context(real_api())


async def walk(api: Trouble, aid: str, window: Window) -> list[Page]:
    """All pages of one walk."""
    pages = [await api.source.fetch(PageRequest(aid, window))]
    while (continuation := pages[-1].continuation) is not None:
        assert len(pages) < PAGES_MAX
        pages.append(await api.source.fetch(PageRequest(aid, window, continuation)))
    return pages


async def test_the_list_has_every_account_group(api: Trouble) -> None:
    """The list names them all, and tells quota and time."""
    listed = await api.source.account_groups()
    assert {group.aid for group in listed.account_groups} == set(api.truth)
    assert listed.answer.status == 200
    assert listed.answer.quota is not None
    assert listed.answer.date is not None


async def test_a_walk_finds_every_session_of_its_window(api: Trouble) -> None:
    """All pages together: each session of the account group, fit for the schema, and of no other account group."""
    for aid, expected in api.truth.items():
        pages = await walk(api, aid, api.window)
        assert len(pages) > 1
        rows = [page.form.normalise(row, aid) for page in pages for row in page.rows]
        assert {row["userSessionId"] for row in rows} == expected
        for row in rows:
            assert SCHEMA.violation(row) is None
            assert row["aid"] == aid


async def test_a_row_has_its_own_bytes(api: Trouble) -> None:
    """The source bytes of a row are the row."""
    page = await api.source.fetch(PageRequest(next(iter(api.truth)), api.window))
    assert page.rows
    for index, row in enumerate(page.rows):
        assert orjson.loads(page.source_bytes(index))[page.form.id_field] == row[page.form.id_field]


async def test_an_empty_window_is_a_page_without_rows(api: Trouble) -> None:
    """Nothing there: no rows, no continuation, no error."""
    page = await api.source.fetch(PageRequest(next(iter(api.truth)), Window(1_600_000_020, 1_600_000_080)))
    assert list(page.rows) == []
    assert page.continuation is None


async def test_a_page_waits_until_it_is_admitted(api: Trouble) -> None:
    """First it is said what the answer tells and how large it is, and that is waited for; no other answer asks."""
    request, admitted = PageRequest(next(iter(api.truth)), api.window), anyio.Event()
    told: list[tuple[Answer, int]] = []

    async def admit(answer: Answer, body_bytes: int) -> None:
        told.append((answer, body_bytes))
        with anyio.move_on_after(0.05) as waiting:
            await admitted.wait()
        assert waiting.cancelled_caught
        admitted.set()

    page = await api.source.fetch(request, admit)
    assert admitted.is_set()
    assert page.rows
    ((answer, body_bytes),) = told
    assert answer == page.answer
    assert body_bytes > 100 * len(page.rows)
    await api.trouble("forbidden", request.aid)
    with pytest.raises(ApiRejected):
        await api.source.fetch(request, admit)
    assert len(told) == 1


async def test_a_page_can_be_asked_for_again(api: Trouble) -> None:
    """The same continuation gives the same rows: what was lost on the way is asked for again."""
    aid = next(iter(api.truth))
    first = await api.source.fetch(PageRequest(aid, api.window))
    pages = [await api.source.fetch(PageRequest(aid, api.window, first.continuation)) for _ in range(2)]
    assert [row[pages[0].form.id_field] for row in pages[0].rows] == [
        row[pages[1].form.id_field] for row in pages[1].rows
    ]


@pytest.mark.parametrize(
    ("trouble", "kind", "status"),
    [
        ("unavailable", Rejection.UNAVAILABLE, 503),
        ("lost", Rejection.UNREACHABLE, 0),
        ("malformed", None, 200),
        ("forbidden", Rejection.FORBIDDEN, 403),
    ],
)
async def test_each_trouble_is_one_error(api: Trouble, trouble: str, kind: Rejection | None, status: int) -> None:
    """An error of its kind with the answer's status, and afterwards everything works."""
    aid = next(iter(api.truth))
    await api.trouble(trouble, aid)
    with pytest.raises(SourceError) as caught:
        await api.source.fetch(PageRequest(aid, api.window))
    assert isinstance(caught.value, PageMalformed) is (kind is None)
    assert (caught.value.kind if isinstance(caught.value, ApiRejected) else None) is kind
    assert caught.value.answer.status == status
    await api.trouble("none", aid)
    assert (await api.source.fetch(PageRequest(aid, api.window))).rows


async def test_a_refused_cursor_is_a_bad_request(api: Trouble) -> None:
    """On a later page: the walk is lost, not the version of the API."""
    aid = next(iter(api.truth))
    page = await api.source.fetch(PageRequest(aid, api.window))
    await api.trouble("cursor", aid)
    with pytest.raises(ApiRejected) as caught:
        await api.source.fetch(PageRequest(aid, api.window, page.continuation))
    assert caught.value.kind is Rejection.BAD_REQUEST
    assert caught.value.answer.status == 400


async def test_forbidden_is_one_account_group_only(api: Trouble) -> None:
    """The others answer as ever."""
    first, second, *_ = api.truth
    await api.trouble("forbidden", first)
    assert (await api.source.fetch(PageRequest(second, api.window))).rows


async def test_close_never_raises(api: Trouble) -> None:
    """Twice is fine too."""
    await api.source.aclose()
    await api.source.aclose()
