"""The resources beside the two lists: details, visited pages, networks, topology, scheduled tests."""

from typing import Any

import pytest

from tests.simulator.api import REAL_USER_TESTS, START, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio
DATA = "/v6/endpoint-data"


async def first_v7(api: Api) -> dict[str, Any]:
    row: dict[str, Any] = (await api.tests(window="30m")).json()["results"][0]
    return row


async def test_v7_detail_is_the_row_without_its_page_and_more(api: Api) -> None:
    """The detail repeats the list row but the pageId, and has as many pages as the row says."""
    row = await first_v7(api)
    answer = await api.get(f"{REAL_USER_TESTS}/{row['id']}")
    assert answer.json()["_links"]["self"]["href"].endswith(row["id"])
    [detail] = answer.json()["results"]
    assert {name: value for name, value in row.items() if name != "pageId"}.items() <= detail.items()
    assert "pageId" not in detail
    assert len(detail["pages"]) == row["numberOfPages"]
    assert detail["pages"][0]["pageId"] == row["pageId"]
    assert set(detail["network"]) >= {
        "networkProfile",
        "systemMetrics",
        "gatewayPing",
        "ping",
        "traceroute",
        "connectRtt",
    }


async def test_v7_page_detail_is_a_har(api: Api) -> None:
    """The waterfall of one page; another page id is 404."""
    row = await first_v7(api)
    har = (await api.get(f"{REAL_USER_TESTS}/{row['id']}/pages/{row['pageId']}")).json()["har"]
    assert har["log"]["version"] == "1.2"
    assert har["log"]["pages"][0]["id"] == row["pageId"]
    assert "systemMetrics" in har["log"]
    assert (await api.get(f"{REAL_USER_TESTS}/{row['id']}/pages/none")).status_code == 404


async def test_details_show_no_more_than_the_list(make_api: MakeApi) -> None:
    """A session of another account group, one not committed yet, and broken ids are 404."""
    api = make_api(late_share=1.0, late_max_s=900.0)
    groups = (await api.truth(visible="false"))["organizations"][0]["accountGroups"]
    waiting = next(session["id"] for session in groups[0]["sessions"] if session["committed"] > START)
    foreign = groups[1]["sessions"][0]["id"]
    for session_id in (waiting, foreign, "x", "07625:x:AAAAAAAA", "07625:1799999941:AAAAAAAA"):
        for path in (f"{REAL_USER_TESTS}/{session_id}", f"{V6_SESSIONS}/{session_id}.json"):
            assert (await api.get(path)).status_code == 404, session_id


async def test_visited_pages_and_networks_of_the_last_round(make_api: MakeApi) -> None:
    """Both lists default to the last round; there is one network row a session and one page row a page."""
    api = make_api(page_size=100_000)
    rows = {row["id"]: row for row in (await api.tests(window="30m")).json()["results"] if row["roundId"] == START - 60}
    pages = (await api.post(f"{REAL_USER_TESTS}/pages/filter")).json()["results"]
    networks = (await api.post(f"{REAL_USER_TESTS}/networks/filter")).json()["results"]
    assert {row["roundId"] for row in pages + networks} == {START - 60}
    assert len(pages) == sum(row["numberOfPages"] for row in rows.values())
    assert {row["id"] for row in pages} == {row["id"] for row in networks} == set(rows)
    assert set(pages[0]) >= {"pageTitle", "pageUrl", "loadDate", "responseCode", "responseTime", "pageTimings"}
    assert set(networks[0]["destination"]) == {"jitter", "latency", "loss", "target"}
    assert any("vpn" in row for row in networks)


async def test_visited_pages_are_paged(make_api: MakeApi) -> None:
    """The page list has next links like the main list."""
    api = make_api(page_size=10)
    answer = (await api.post(f"{REAL_USER_TESTS}/pages/filter", window="5m")).json()
    following = (await api.post(answer["_links"]["next"]["href"])).json()
    assert following["results"]
    assert {row["pageId"] for row in answer["results"]}.isdisjoint(row["pageId"] for row in following["results"])


async def test_v6_web_network_and_details(api: Api) -> None:
    """The v6 counterparts under their own names."""
    row = (await api.get(f"{V6_SESSIONS}.json", window="5m")).json()["userSessions"][0]
    web = (await api.get(f"{V6_SESSIONS}/web.json", window="5m")).json()["webSessions"]
    network = (await api.post(f"{V6_SESSIONS}/network", window="5m")).json()["networkSessions"]
    assert web[0]["userSessionId"] == network[0]["userSessionId"] == row["userSessionId"]
    assert set(network[0]["destination"]) > {"avgRtt", "maxRtt", "meanDevRtt"}
    [detail] = (await api.get(f"{V6_SESSIONS}/{row['userSessionId']}.json")).json()["userSessions"]
    assert row.items() <= detail.items()
    assert set(detail["pages"][0]) == {"id", "title", "startedDateTime", "responseCode", "pageTimings"}
    assert set(detail["network"]) >= {"connect", "icmpBlocked"}
    har = (await api.get(f"{V6_SESSIONS}/{row['userSessionId']}/page/{row['pageId']}.json")).json()["har"]
    assert set(har) == {"log", "_systemMetrics"}


async def test_unusual_details_have_fractions(make_api: MakeApi) -> None:
    """Where integers are declared the older API had fractions: shown for unusual rows."""
    api = make_api(unusual_share=1.0)
    row = await first_v7(api)
    pings = [
        (await api.get(f"{REAL_USER_TESTS}/{row['id']}")).json()["results"][0]["network"][kind]
        for kind in ("ping", "gatewayPing")
    ]
    assert 6.909912109375 in [ping.get("minRtt") for ping in pings]


async def test_topology_has_rounds_of_300_s_and_a_cap_of_12_hours(make_api: MakeApi) -> None:
    """Probe ids name account group, network, round and agent; more than 12 hours are 400."""
    api = make_api(history_s=86_400.0, page_size=100, inferred={"round_s": 300})
    assert (await api.get(f"{DATA}/network-topology", window="12h")).status_code == 200
    assert (await api.get(f"{DATA}/network-topology", window="43201s")).status_code == 400
    answer = (await api.get(f"{DATA}/network-topology.json", window="1h", aid=7625)).json()
    probes = list(answer["networkProbes"])
    while "next" in answer["pages"]:
        assert "aid=7625" in answer["pages"]["next"]
        answer = (await api.get(answer["pages"]["next"])).json()
        probes += answer["networkProbes"]
    assert len({probe["networkProbeId"] for probe in probes}) == len(probes) > 100
    for probe in probes:
        aid, network, round_id, agent = probe["networkProbeId"].split(":")
        assert (aid, int(round_id), agent) == ("07625", probe["roundId"], probe["agentId"][:8])
        assert network.isdecimal()
        assert probe["roundId"] % 300 == 0
    [one] = (await api.get(f"{DATA}/network-topology/{probes[0]['networkProbeId']}")).json()["networkProbes"]
    assert probes[0].items() <= one.items()
    assert {"coordinates", "networkProfile"} <= set(one)
    vpn = await api.post(
        f"{DATA}/network-topology", {"searchFilters": [{"key": "type", "values": ["vpn"]}]}, window="1h"
    )
    assert {probe["type"] for probe in vpn.json()["networkProbes"]} == {"vpn"}
    assert (await api.get(f"{DATA}/network-topology/x")).status_code == 404


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("networks", ("privateNetworks",)),
        ("tests/net/metrics/1", ("endpointNet", "metrics")),
        ("tests/net/path-vis/1", ("endpointNet", "pathVis")),
        ("tests/web/http-server/1", ("endpointWeb", "httpServer")),
    ],
)
async def test_the_other_v6_resources_have_their_arrays(api: Api, path: str, keys: tuple[str, ...]) -> None:
    """Each resource of the reference answers with the array that the reference names, with and without `.json`."""
    for suffix in ("", ".json"):
        value = (await api.get(f"{DATA}/{path}{suffix}")).json()
        for key in keys:
            value = value[key]
        assert value
    if path.startswith("tests"):
        assert (await api.get(f"{DATA}/{path[:-1]}2")).status_code == 404


async def test_v6_endpoint_tests(api: Api) -> None:
    """The configuration of the one scheduled test, and one agent's path trace."""
    assert (await api.get("/v6/endpoint-tests.json")).json()["endpointTest"][0]["testId"] == 1
    paths = (await api.get(f"{DATA}/tests/net/path-vis/1")).json()["endpointNet"]["pathVis"]
    one = await api.get(f"{DATA}/tests/net/path-vis/1/{paths[0]['agentId']}/{paths[0]['roundId']}")
    assert len(one.json()["endpointNet"]["pathVis"]) == 1


async def test_rows_of_one_session_stand_for_a_page_each(make_api: MakeApi) -> None:
    """Where a session has several rows, its detail and the page list have exactly the pages of those rows."""
    api = make_api(several_rows_share=1.0, page_size=100_000)
    rows = (await api.tests(window="5m")).json()["results"]
    pages = (await api.post(f"{REAL_USER_TESTS}/pages/filter", window="5m")).json()["results"]
    assert [(page["id"], page["pageId"]) for page in pages] == [(row["id"], row["pageId"]) for row in rows]
    [detail] = (await api.get(f"{REAL_USER_TESTS}/{rows[0]['id']}")).json()["results"]
    assert [page["pageId"] for page in detail["pages"]] == [row["pageId"] for row in rows if row["id"] == rows[0]["id"]]
