"""Rows: their fields in both versions, what may be odd about them, and when they can be seen."""

import json
from importlib.resources import files
from typing import Any

import jsonschema_rs
import orjson
import pytest

from tests.simulator.api import START, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio
V7_FIELDS = {
    "agentId",
    "committed",
    "date",
    "experienceScore",
    "id",
    "numberOfPages",
    "organizationName",
    "pageId",
    "port",
    "protocol",
    "roundId",
    "sourceAddress",
    "visitedSite",
}
RENAMED = {"id": "userSessionId", "sourceAddress": "sourceAddr", "organizationName": "orgName"}
BIG: dict[str, Any] = {"sessions_per_minute": 600.0, "page_size": 100_000}


async def v7_rows(api: Api, **params: Any) -> list[dict[str, Any]]:
    """All rows of a range, the last half hour by default."""
    return [row for page in await api.walk_v7(**(params or {"window": "30m"})) for row in page]


async def test_v7_and_v6_show_the_same_sessions_under_their_own_names(api: Api) -> None:
    """The same rows: v6 renames three fields, adds the permalink, and writes times with a space and without a zone."""
    v7 = await v7_rows(api)
    v6 = [row for page in await api.walk_v6(window="30m") for row in page]
    assert set(v7[0]) == V7_FIELDS
    for new, old in zip(v7, v6, strict=True):
        expected = {RENAMED.get(name, name): value for name, value in new.items()}
        for name in ("date", "committed"):
            expected[name] = new[name].replace("T", " ").removesuffix("Z")
        expected["permalink"] = (
            f"https://app.thousandeyes.com/view/endpoint-agent/?roundId={new['roundId']}"
            "&scenarioId=sessionDetails&binSize=300000&__aid=7625"
        )
        assert old == expected


async def test_nothing_is_shown_before_it_is_committed(make_api: MakeApi) -> None:
    """A row appears in the second of its commit, with its old date."""
    api = make_api(late_share=1.0, late_max_s=900.0)
    [group] = (await api.truth(visible="false", aid=7625))["organizations"][0]["accountGroups"]
    future = next(session for session in group["sessions"] if session["committed"] > START + 100)
    assert future["late"] is True
    api.clock.now = future["committed"] - 1
    assert future["id"] not in {row["id"] for row in await v7_rows(api, window="1h")}
    api.clock.now = future["committed"]
    assert future["id"] in {row["id"] for row in await v7_rows(api, window="1h")}
    assert future["date"] < START + 1


async def test_a_skewed_agent_writes_dates_in_the_future(make_api: MakeApi) -> None:
    """With an agent's clock ahead, rows can be seen whose date has not come yet; `committed` is the server's."""
    api = make_api(skewed_agents_share=1.0, skew_max_s=100.0, **BIG)
    rows = await v7_rows(api, startDate="2027-01-15T07:55:00Z", endDate="2027-01-15T09:00:00Z")
    assert max(row["date"] for row in rows) > "2027-01-15T08:00:30Z"
    assert max(row["committed"] for row in rows) <= "2027-01-15T08:00:00Z"


async def test_rows_can_change_after_they_were_shown(make_api: MakeApi) -> None:
    """A changed row keeps id, date and committed; pages and score change at the time the truth names."""
    api = make_api(changed_share=1.0)
    [group] = (await api.truth(visible="false", aid=7625))["organizations"][0]["accountGroups"]
    session = next(s for s in group["sessions"] if s["committed"] < START < s["changedAt"] - 1)
    before = next(row for row in await v7_rows(api) if row["id"] == session["id"])
    api.clock.now = session["changedAt"]
    after = next(row for row in await v7_rows(api) if row["id"] == session["id"])
    assert after["numberOfPages"] == before["numberOfPages"] + 1
    assert {name for name in after if after[name] != before[name]} == {"numberOfPages", "experienceScore"}


async def test_optional_fields_may_be_absent(make_api: MakeApi) -> None:
    """Score, organization and page are absent in their share of rows, each on its own."""
    rows = await v7_rows(make_api(optional_absent_share=0.5, **BIG))
    for name in ("experienceScore", "organizationName", "pageId"):
        assert 0.4 < sum(name not in row for row in rows) / len(rows) < 0.6
    assert {frozenset(V7_FIELDS - set(row)) for row in rows} > {frozenset(), frozenset({"pageId"})}


async def test_odd_but_valid_values_occur(make_api: MakeApi) -> None:
    """A score of 0 and IPv6 addresses by default; floats for integers, unknown values and extra fields by a switch."""
    rows = await v7_rows(make_api(ipv6_share=0.5, **BIG))
    assert any(row["experienceScore"] == 0.0 for row in rows)
    assert all(0.0 <= row["experienceScore"] <= 1.0 for row in rows)
    assert 0.2 < sum(":" in row["sourceAddress"] for row in rows) / len(rows) < 0.8
    unusual = await v7_rows(make_api(unusual_share=1.0, **BIG))
    assert {type(row["port"]) for row in unusual} == {float}
    assert {row["protocol"] for row in unusual} == {"quic"}
    assert all("simulatorExtra" in row for row in unusual)


async def test_a_session_can_have_several_rows(make_api: MakeApi) -> None:
    """By a switch a session comes as two or three rows of the same id that differ in pageId."""
    api = make_api(several_rows_share=1.0)
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in await v7_rows(api):
        by_id.setdefault(row["id"], []).append(row)
    assert {len(rows) for rows in by_id.values()} == {2, 3}
    for rows in by_id.values():
        assert len({row["pageId"] for row in rows}) == len(rows)
        assert {json.dumps(row | {"pageId": ""}) for row in rows} == {json.dumps(rows[0] | {"pageId": ""})}
    [group] = (await api.truth(aid=7625))["organizations"][0]["accountGroups"]
    assert {s["id"]: s["pageIds"] for s in group["sessions"]} == {
        session_id: [row["pageId"] for row in rows] for session_id, rows in by_id.items()
    }


async def test_bad_rows_are_in_the_truth_byte_for_byte(make_api: MakeApi) -> None:
    """Every bad row of an answer is the exact text that the truth lists under its marker, in both versions; all kinds
    occur."""
    api = make_api(bad_share=0.3, page_size=100_000, history_s=300.0)
    [group] = (await api.truth(aid=7625))["organizations"][0]["accountGroups"]
    v7 = (await api.tests(window="30m")).text
    v6 = (await api.get(f"{V6_SESSIONS}.json", window="30m")).text
    assert len({bad["kind"] for bad in group["bad"]}) == 9
    for bad in group["bad"]:
        assert bad["marker"] in bad["v7"]
        assert v7.count(bad["v7"]) == v6.count(bad["v6"]) == 1
    assert v7.count("bad-7625-") == len(group["bad"])
    good = {session["id"] for session in group["sessions"]}
    assert good.isdisjoint(bad["id"] for bad in group["bad"])
    rows = json.loads(v7)["results"]
    assert len(rows) == len(good) + len(group["bad"])
    assert {type(row) for row in rows} == {dict, str, list}


async def test_identities_can_be_masked(make_api: MakeApi) -> None:
    """Without the permissions, numbers stand where names and addresses would."""
    api = make_api(inferred={"masked_identities": True})
    assert all(row["sourceAddress"].isdecimal() for row in await v7_rows(api))
    agents = (await api.get("/v7/endpoint/agents", expand="clients")).json()["agents"]
    assert all(agent["name"].isdecimal() for agent in agents)
    assert all(agent["clients"][0]["userProfile"]["userName"].isdecimal() for agent in agents)


async def test_bad_rows_violate_the_published_schema_and_no_others_do(make_api: MakeApi) -> None:
    """Under the event's names: unusual rows and rows without optional fields are valid, no bad row of any kind is."""
    schema = json.loads((files("collector") / "schemas" / "user-session.v1.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    api = make_api(bad_share=0.2, unusual_share=0.5, optional_absent_share=0.5, page_size=100_000)
    bad = {bad["v7"] for bad in (await api.truth(aid=7625))["organizations"][0]["accountGroups"][0]["bad"]}
    shown: list[Any] = await v7_rows(api)
    for row in shown:
        named = row
        if isinstance(row, dict):
            named = {RENAMED.get(name, name): value for name, value in row.items()} | {"aid": "7625"}
        assert validator.is_valid(named) == (orjson.dumps(row).decode() not in bad), row
