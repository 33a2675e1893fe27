"""The source against the API simulator: whole walks against the truth, and every fault as one documented error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from collector.core.model import Page, PageRequest, Row, Window
from collector.core.schema import SessionSchema
from collector.errors import ApiRejected, PageMalformed, Rejection, SourceError
from collector.simulator.server import serve
from collector.simulator.settings import SimulatorSettings
from collector.sources.thousandeyes import Credentials, ThousandEyesSource, open_source
from tests.sources.raw_server import settings

pytestmark = pytest.mark.anyio

PAGES_MAX = 500
SCHEMA = Path(__file__).parents[2] / "schemas" / "user-session.v1.json"
VARIANTS: dict[str, dict[str, Any]] = {
    "v7": {},
    "v7 filtered": {"search_filters": {"platform": ["windows", "mac", "linux", "unknown"]}},
    "v6": {"api_version": "v6"},
    "v6 filtered": {"api_version": "v6", "search_filters": {"platform": ["Windows", "Mac"]}},
    "v6 XML": {"api_version": "v6", "format": "xml"},
    "v6 basic": {"api_version": "v6", "credentials": Credentials.from_token("0" * 32, user="collector@example.com")},
}


class Simulator:
    """A running simulator and its control endpoints."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def open(self, **changes: object) -> ThousandEyesSource:
        token = Credentials.from_token("simulator-token")
        return open_source(settings(self.base_url, **{"credentials": token, **changes}))

    async def control(self, method: str, path: str, body: object = None, **query: object) -> Any:
        async with httpx.AsyncClient(base_url=self.base_url, trust_env=False, verify=False) as client:
            response = await client.request(method, path, json=body, params=query)  # type: ignore[arg-type]
        return response.raise_for_status().json()

    async def truth(self) -> tuple[Window, dict[str, dict[str, Any]]]:
        """The final truth: its range, and what each account group has."""
        await self.control("POST", "/_sim/freeze")
        truth = await self.control("GET", "/_sim/truth")
        [organization] = truth["organizations"]
        groups = {str(group["aid"]): group for group in organization["accountGroups"]}
        return Window(int(truth["from"]), int(truth["to"])), groups


@asynccontextmanager
async def simulating(**switches: Any) -> AsyncIterator[Simulator]:
    """Runs a simulator on a free port until the block ends."""
    values = {"quota_limit": None, "page_size": 30, "history_s": 300.0, "v6_basic_token": "0" * 32} | switches
    ports: list[int] = []
    started = anyio.Event()

    def ready(port: int) -> None:
        ports.append(port)
        started.set()

    async def run() -> None:
        await serve(SimulatorSettings(**values), ready=ready, quiet=True, handle_signals=False)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(20):
            await started.wait()
        yield Simulator(f"http://127.0.0.1:{ports[0]}")
        tasks.cancel_scope.cancel()


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Simulator]:
    """One simulator for the tests that only change its faults."""
    async with simulating() as simulator:
        yield simulator


@pytest.fixture
async def simulator(shared: Simulator) -> AsyncIterator[Simulator]:
    """The shared simulator, without faults before and after."""
    yield shared
    await shared.control("DELETE", "/_sim/faults")


async def walk(source: ThousandEyesSource, aid: str, window: Window) -> list[Page]:
    """All pages of one walk."""
    pages = [await source.fetch(PageRequest(aid, window))]
    while (continuation := pages[-1].continuation) is not None:
        assert len(pages) < PAGES_MAX
        pages.append(await source.fetch(PageRequest(aid, window, continuation)))
    return pages


def rows_of(pages: list[Page]) -> list[tuple[Page, int, Any]]:
    return [(page, index, row) for page in pages for index, row in enumerate(page.rows)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"inferred": {"v6_next_keeps_query": False, "v6_paging": "inclusive"}},
        {"faults": {"empty_last_page": 1.0, "results_key_missing_when_empty": True, "content_type_variant": 0.5}},
    ],
    ids=["plain", "next loses the group", "empty last page"],
)
async def test_walks_find_the_truth(variant: str, switches: dict[str, Any]) -> None:
    """A walk over all pages finds every session of every account group, each row fit for the event schema."""
    schema = SessionSchema(SCHEMA.read_bytes())
    async with simulating(unusual_share=0.2, ipv6_share=0.5, **switches) as simulator:
        window, truth = await simulator.truth()
        source = simulator.open(**VARIANTS[variant])
        groups = await source.account_groups()
        assert {group.aid for group in groups.account_groups} == set(truth)
        for aid, expected in truth.items():
            pages = await walk(source, aid, window)
            found: list[Row] = [page.form.normalise(row, aid) for page, _, row in rows_of(pages)]
            ids = {row["userSessionId"] for row in found}
            if "filtered" in variant:
                assert ids <= {session["id"] for session in expected["sessions"]}
            else:
                assert ids == {session["id"] for session in expected["sessions"]}
                assert len(pages) > 2
            assert ids
            for row in found:
                assert schema.violation(row) is None
                assert row["aid"] == aid
        await source.aclose()


@pytest.mark.parametrize("variant", ["v7", "v6"])
async def test_bad_rows_keep_their_bytes(variant: str) -> None:
    """Every bad row of the truth is found, byte for byte, and normalising it raises nothing."""
    async with simulating(bad_share=0.3) as simulator:
        window, truth = await simulator.truth()
        source = simulator.open(**VARIANTS[variant])
        for aid, expected in truth.items():
            pages = await walk(source, aid, window)
            sources = [page.source_bytes(index).decode() for page, index, _ in rows_of(pages)]
            bad = {row[variant] for row in expected["bad"]}
            assert bad
            assert bad <= set(sources)
            for page, _, row in rows_of(pages):
                page.form.normalise(row, aid)
        await source.aclose()


@pytest.mark.parametrize("variant", ["v7", "v6", "v6 XML"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("429", Rejection.RATE_LIMITED),
        ("500", Rejection.UNAVAILABLE),
        ("502", Rejection.UNAVAILABLE),
        ("503", Rejection.UNAVAILABLE),
        ("dropped", Rejection.UNREACHABLE),
        ("truncated", Rejection.UNREACHABLE),
        ("malformed", None),
        ("error_in_200", None),
    ],
)
async def test_each_fault_is_one_error(
    simulator: Simulator, variant: str, fault: str, expected: Rejection | None
) -> None:
    """A fault is one error of its kind (none: malformed), costs one request, and the next request is fine."""
    window, truth = await simulator.truth()
    source = simulator.open(**VARIANTS[variant])
    request = PageRequest(next(iter(truth)), window)
    await simulator.control("POST", "/_sim/faults", {"next": [fault]})
    with pytest.raises(SourceError) as caught:
        await source.fetch(request)
    kind = caught.value.kind if isinstance(caught.value, ApiRejected) else None
    assert kind is expected
    assert isinstance(caught.value, PageMalformed) is (expected is None)
    assert (await source.fetch(request)).rows
    await source.aclose()


@pytest.mark.parametrize("variant", ["v7", "v6"])
@pytest.mark.parametrize("shape", ["documented", "problem", "error_message", "oauth", "legacy", "empty", "html"])
async def test_error_shapes_do_not_matter(simulator: Simulator, variant: str, shape: str) -> None:
    """Whatever shape an error's body has, the status decides and the detail is one short line."""
    await simulator.control("POST", "/_sim/faults", {"error_shape": shape, "forbidden_aids": [7626]})
    window, _ = await simulator.truth()
    source = simulator.open(**VARIANTS[variant])
    stranger = simulator.open(**VARIANTS[variant], credentials=Credentials.from_token("wrong"))
    # An account group of somebody else is 403 in v7 and 400 or 403 in v6.
    cases = [(source, "7626", {Rejection.FORBIDDEN}), (stranger, "7625", {Rejection.UNAUTHORIZED})]
    cases.append((source, "1", {Rejection.FORBIDDEN, Rejection.BAD_REQUEST}))
    for asked, aid, kinds in cases:
        with pytest.raises(ApiRejected) as caught:
            await asked.fetch(PageRequest(aid, window))
        assert caught.value.kind in kinds
        assert caught.value.detail.isprintable()
        assert 0 < len(caught.value.detail) <= 300
    await source.aclose()
    await stranger.aclose()


@pytest.mark.parametrize("status", [301, 404, 410])
async def test_version_gone(simulator: Simulator, status: int) -> None:
    """A switched-off v6 is gone, whichever status says so."""
    await simulator.control("POST", "/_sim/faults", {"v6_gone": status})
    source = simulator.open(api_version="v6")
    requests: list[Callable[[], Awaitable[object]]] = [
        source.account_groups,
        lambda: source.fetch(PageRequest("7625", Window(0, 60))),
    ]
    for ask in requests:
        with pytest.raises(ApiRejected) as caught:
            await ask()
        assert caught.value.kind is Rejection.VERSION_GONE
        assert caught.value.answer.status == status
    await source.aclose()


async def test_lost_cursor_restarts_the_walk_only(simulator: Simulator) -> None:
    """A refused cursor is a bad request, not a version gone."""
    await simulator.control("POST", "/_sim/faults", {"bad_cursor": 1.0})
    window, truth = await simulator.truth()
    source = simulator.open()
    aid = next(iter(truth))
    page = await source.fetch(PageRequest(aid, window))
    with pytest.raises(ApiRejected) as caught:
        await source.fetch(PageRequest(aid, window, page.continuation))
    assert caught.value.kind is Rejection.BAD_REQUEST
    await source.aclose()


async def test_quota_is_told_down_to_nothing() -> None:
    """Each answer tells what is left; the refusal tells it too, and when the window ends."""
    async with simulating(quota_limit=2) as simulator, AsyncExitStack() as stack:
        source = simulator.open()
        stack.push_async_callback(source.aclose)
        told = []
        for _ in range(20):  # a new quota window may begin in between
            try:
                answer = (await source.account_groups()).answer
            except ApiRejected as error:
                answer = error.answer
            assert answer.quota is not None
            assert answer.date is not None
            assert answer.quota.reset_at is not None
            assert 0 <= answer.quota.reset_at - answer.date <= 60
            told.append((answer.status, answer.quota.limit, answer.quota.remaining))
            if answer.status == 429:
                break
        assert told[-3:] == [(200, 2, 1), (200, 2, 0), (429, 2, 0)]
