"""The agent inventory in both versions."""

import pytest

from tests.simulator.api import Api, MakeApi

pytestmark = pytest.mark.anyio


async def test_clients_come_only_when_expanded(api: Api) -> None:
    """v7 shows user names only with `expand=clients`; v6 always."""
    plain = (await api.get("/v7/endpoint/agents")).json()["agents"]
    expanded = (await api.get("/v7/endpoint/agents", expand="clients")).json()["agents"]
    assert all("clients" not in agent for agent in plain)
    assert all(agent["clients"][0]["userProfile"]["userName"] for agent in expanded)
    v6 = (await api.get("/v6/endpoint-agents.json")).json()["endpointAgents"]
    assert all(agent["clients"] for agent in v6)
    assert [agent["agentId"] for agent in v6] == [agent["id"] for agent in plain]


async def test_deleted_agents_come_only_when_asked_for(api: Api) -> None:
    """With includeDeleted there are more; the sessions of deleted agents are shown all the same."""
    living = (await api.get("/v7/endpoint/agents")).json()
    every = (await api.get("/v7/endpoint/agents", includeDeleted="true")).json()
    assert every["totalAgents"] == 25 > living["totalAgents"]
    deleted = {agent["id"] for agent in every["agents"] if agent["deleted"]}
    assert len(deleted) == every["totalAgents"] - living["totalAgents"]
    rows = [row for page in await api.walk_v7(window="30m") for row in page]
    assert deleted & {row["agentId"] for row in rows}
    assert {row["agentId"] for row in rows} <= {agent["id"] for agent in every["agents"]}


async def test_all_permitted_account_groups_in_one_walk(make_api: MakeApi) -> None:
    """`useAllPermittedAids` lists every account group's agents, page by page."""
    api = make_api(agents_per_group=10)
    answer = (await api.get("/v7/endpoint/agents", useAllPermittedAids="true", includeDeleted="true", max=7)).json()
    agents = list(answer["agents"])
    while "next" in answer["_links"]:
        answer = (await api.get(answer["_links"]["next"]["href"])).json()
        assert len(answer["agents"]) <= 7
        agents += answer["agents"]
    assert len({agent["id"] for agent in agents}) == 30
    assert {agent["aid"] for agent in agents} == {"7625", "7626", "7627"}


async def test_agents_filter(api: Api) -> None:
    """The filter answers application/json with empty `_links`; user names match by prefix; unknown keys are refused."""
    every = (await api.post("/v7/endpoint/agents/filter", expand="clients")).json()["agents"]
    name = every[0]["clients"][0]["userProfile"]["userName"]
    answer = await api.post("/v7/endpoint/agents/filter", {"searchFilters": {"username": [name[:11]]}})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["_links"] == {}
    assert every[0]["id"] in {agent["id"] for agent in answer.json()["agents"]}
    assert 0 < answer.json()["totalAgents"] < len(every)
    one = await api.post("/v7/endpoint/agents/filter", {"searchFilters": {"id": [every[1]["id"]]}})
    assert [agent["name"] for agent in one.json()["agents"]] == [every[1]["name"]]
    assert (await api.post("/v7/endpoint/agents/filter", {"searchFilters": {"nonsense": ["x"]}})).status_code == 400


async def test_v6_agents_page_by_agent(make_api: MakeApi) -> None:
    """The next link names an agent, has neither `.json` nor `current`; a wrong one is 400."""
    api = make_api(page_size=10)
    answer = (await api.get("/v6/endpoint-agents.json", deleted=1, aid=7626)).json()
    assert list(answer["pages"]) == ["next"]
    assert answer["pages"]["next"].startswith("http://simulator/v6/endpoint-agents?pageId=")
    assert "aid=7626" in answer["pages"]["next"]
    following = (await api.get(answer["pages"]["next"])).json()
    assert following["endpointAgents"]
    assert (await api.get("/v6/endpoint-agents", pageId="x")).status_code == 400


async def test_v6_one_agent(api: Api) -> None:
    """By its id; an unknown id is 404."""
    agents = (await api.get("/v6/endpoint-agents", agentName="nobody")).json()["endpointAgents"]
    assert agents == []
    first = (await api.get("/v6/endpoint-agents")).json()["endpointAgents"][0]
    assert (await api.get(f"/v6/endpoint-agents/{first['agentId']}.json")).json()["endpointAgents"] == [first]
    assert (await api.get("/v6/endpoint-agents/x")).status_code == 404
