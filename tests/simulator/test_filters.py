"""Search filters: the two forms, AND and OR."""

from typing import Any

import pytest

from tests.simulator.api import REAL_USER_TESTS, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio


async def v7_ids(api: Api, filters: dict[str, list[str]]) -> list[str]:
    answer = await api.tests({"searchFilters": filters}, window="30m")
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["results"]]


async def v6_ids(api: Api, filters: list[dict[str, Any]]) -> list[str]:
    answer = await api.post(f"{V6_SESSIONS}.json", {"searchFilters": filters}, window="30m")
    assert answer.status_code == 200, answer.text
    return [row["userSessionId"] for row in answer.json()["userSessions"]]


@pytest.fixture
def big(make_api: MakeApi) -> Api:
    """Everything on one page."""
    return make_api(page_size=100_000)


async def test_values_are_alternatives_and_keys_conditions(big: Api) -> None:
    """OR inside a key, AND between keys; connection values partition the sessions."""
    every = await v7_ids(big, {})
    wireless, wired = (
        await v7_ids(big, {"connection": ["wireless"]}),
        await v7_ids(big, {"connection": ["ethernet", "loopback"]}),
    )
    assert set(wireless) | set(wired) == set(every)
    assert set(wireless).isdisjoint(wired)
    both = await v7_ids(big, {"connection": ["wireless"], "domain": ["example.com", "example.org"]})
    site = await v7_ids(big, {"domain": ["example.com", "example.org"]})
    assert both
    assert set(both) == set(wireless) & set(site)


async def test_v6_has_the_array_form_with_capital_values(big: Api) -> None:
    """`[{key, values}]` with `Wireless` selects what v7 selects with `wireless`; no filter selects everything."""
    assert await v6_ids(big, [{"key": "connection", "values": ["Wireless"]}]) == await v7_ids(
        big, {"connection": ["wireless"]}
    )
    assert await v6_ids(big, []) == await v7_ids(big, {})


@pytest.mark.parametrize(
    "key",
    [
        *("location", "connection", "trigger", "platform", "gateway", "proxyTarget", "vpnTarget", "agentId"),
        *("networkId", "ssid", "bssid", "domain", "visitedSite", "destinationIp", "nicModel", "nicDriverVersion"),
    ],
)
async def test_every_documented_key_is_known(big: Api, key: str) -> None:
    """A value that nothing has gives an empty page, not an error; a key that nobody has is refused."""
    assert await v7_ids(big, {key: ["no such value"]}) == []
    assert (await big.tests({"searchFilters": {"nonsense": ["x"]}})).status_code == 400


async def test_agent_and_site_filters_select_by_the_row(big: Api) -> None:
    """What a row shows is what it is selected by."""
    rows = (await big.tests(window="30m")).json()["results"]
    agent, site = rows[0]["agentId"], rows[0]["visitedSite"]
    assert await v7_ids(big, {"agentId": [agent]}) == [row["id"] for row in rows if row["agentId"] == agent]
    assert await v7_ids(big, {"visitedSite": [site]}) == [row["id"] for row in rows if row["visitedSite"] == site]


async def test_card_filters_are_exact(big: Api) -> None:
    """The network card's model is compared with its case, everything else without."""
    assert await v7_ids(big, {"nicModel": ["Example Gigabit"]})
    assert await v7_ids(big, {"nicModel": ["example gigabit"]}) == []
    assert await v7_ids(big, {"connection": ["ETHERNET"]})


@pytest.mark.parametrize("wrapped", [True, False])
async def test_visited_pages_take_both_bodies(big: Api, wrapped: bool) -> None:
    """The schema has the filter bare, the examples wrap it: both are understood, and select the same."""
    filters = {"domain": ["example.com"]}
    body = {"searchFilters": filters} if wrapped else filters
    rows = (await big.post(f"{REAL_USER_TESTS}/pages/filter", body, window="30m")).json()["results"]
    assert {row["id"] for row in rows} == set(await v7_ids(big, filters))


@pytest.mark.parametrize(
    "body",
    [
        {"searchFilters": [{"key": "domain", "values": ["x"]}]},
        {"searchFilters": {"domain": "x"}},
        {"searchFilters": {"domain": [1]}},
    ],
)
async def test_v7_refuses_other_forms(big: Api, body: dict[str, Any]) -> None:
    """The v6 form, a bare value and a number are 400 in v7."""
    assert (await big.tests(body)).status_code == 400


@pytest.mark.parametrize(
    "body", [{"searchFilters": {"domain": ["x"]}}, {"searchFilters": [{"key": "domain"}]}, {"searchFilters": ["x"]}]
)
async def test_v6_refuses_other_forms(big: Api, body: dict[str, Any]) -> None:
    """The v7 form and incomplete entries are 400 in v6."""
    assert (await big.post(V6_SESSIONS, body)).status_code == 400


async def test_unknown_keys_may_be_ignored(make_api: MakeApi) -> None:
    """The other reading: an unknown key selects everything."""
    api = make_api(page_size=100_000, inferred={"unknown_filter_key": "ignore"})
    assert await v7_ids(api, {"nonsense": ["x"]}) == await v7_ids(api, {})
