"""The remaining v6 endpoint resources: networks, scheduled tests and their results.

One rule: they are here so that a reader of v6 finds what the reference lists, with the arrays and fields it names;
there is one scheduled test and one result of it per agent, made from the agent.
Source: the v6 reference, endpoint data and endpoint tests.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from collector.simulator.answers import ApiError
from collector.simulator.entropy import draw
from collector.simulator.fleet import Agent
from collector.simulator.format_v6 import write
from collector.simulator.requests import group_of, world_of
from collector.simulator.times import spaced
from collector.simulator.topology_v6 import ROUND_S

TEST_ID = 1


async def networks(request: Request) -> Response:
    """`GET /v6/endpoint-data/networks`."""
    seen = {agent.network_id: agent for agent in group_of(request, "v6").fleet}
    found = [
        {
            "networkId": network_id,
            "networkName": agent.ssid or "Ethernet",
            "localPrefix": f"192.168.{int(network_id[-3:])}.0/24",
            "publicIpRange": "198.51.100.0/24",
        }
        for network_id, agent in seen.items()
    ]
    return write(request, "networksResponse", {"privateNetworks": found})


async def tests(request: Request) -> Response:
    """`GET /v6/endpoint-tests`."""
    group_of(request, "v6")
    test = {
        "testId": TEST_ID,
        "testName": "example.com",
        "type": "http-server",
        "url": "https://example.com",
        "enabled": 1,
    }
    return write(request, "endpointTestsResponse", {"endpointTest": [test]})


async def net_metrics(request: Request) -> Response:
    """`GET /v6/endpoint-data/tests/net/metrics/{testId}`."""
    metrics = [
        _result(request, agent)
        | {
            "avgLatency": 10 + noise,
            "minLatency": 8,
            "maxLatency": 30 + noise,
            "jitter": 1.5,
            "loss": 0.0,
            "errorDetails": "",
        }
        for agent, noise in _agents(request)
    ]
    return write(request, "endpointNetResponse", {"endpointNet": {"metrics": metrics}})


async def path_vis(request: Request) -> Response:
    """`GET /v6/endpoint-data/tests/net/path-vis/{testId}[/{agentId}/{roundId}]`."""
    wanted = request.path_params.get("agent_id")
    hops = [
        {"hop": 1, "ipAddress": "192.168.0.1", "responseTime": 2},
        {"hop": 2, "ipAddress": "203.0.113.1", "responseTime": 18},
    ]
    paths = [
        _result(request, agent) | {"endpoints": [{"numberOfHops": 2, "pathId": "1", "responseTime": 18}], "hops": hops}
        for agent, _ in _agents(request)
        if wanted in (None, agent.agent_id)
    ]
    return write(request, "endpointNetResponse", {"endpointNet": {"pathVis": paths}})


async def http_server(request: Request) -> Response:
    """`GET /v6/endpoint-data/tests/web/http-server/{testId}`: times in milliseconds."""
    results = [
        _result(request, agent)
        | {
            "connectTime": 12,
            "dnsTime": 8,
            "sslTime": 25,
            "waitTime": 40 + noise,
            "receiveTime": 3,
            "responseTime": 85 + noise,
            "totalTime": 88 + noise,
            "responseCode": 200,
            "errorType": "None",
            "wireSize": 1256,
        }
        for agent, noise in _agents(request)
    ]
    return write(request, "endpointWebResponse", {"endpointWeb": {"httpServer": results}})


def _agents(request: Request) -> list[tuple[Agent, int]]:
    """The agents that have a result, each with some noise for it."""
    group = group_of(request, "v6")
    if request.path_params["test_id"] != str(TEST_ID):
        raise ApiError(404, "Not Found")
    round_id = _round(request)
    return [(a, draw(1, "scheduled", a.agent_id, round_id)[0]) for a in group.fleet if not a.deleted]


def _round(request: Request) -> int:
    return int(world_of(request).now() // ROUND_S) * ROUND_S - ROUND_S


def _result(request: Request, agent: Agent) -> dict[str, Any]:
    round_id = _round(request)
    return {
        "agentId": agent.agent_id,
        "roundId": round_id,
        "date": spaced(round_id),
        "serverIp": "203.0.113.1",
        "permalink": f"https://app.thousandeyes.com/view/endpoint-agent/?roundId={round_id}&__aid={agent.aid}",
    }
