"""v6 network topology: probes of gateways, proxies and VPNs.

One rule: every agent that is not deleted probes its gateway once in a round of 300 s, and its proxy or VPN if it has
one; a probe is a pure function of agent and round. A request may span twelve hours at most.
Sources: the v6 reference, endpoint data network topology; two published samples whose rounds are multiples of 300.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from collector.simulator.answers import ApiError
from collector.simulator.details_v6 import network_profile
from collector.simulator.entropy import draw
from collector.simulator.filters import FilterRejected, read_v6
from collector.simulator.fleet import Agent
from collector.simulator.format_v6 import write
from collector.simulator.ranges import Range, RangeRejected, last_round, parse_v6
from collector.simulator.requests import group_of, json_body, link, world_of
from collector.simulator.sessions import AccountGroup
from collector.simulator.times import spaced

ROUND_S = 300
SPAN_MAX_S = 12 * 3600
_ROOT = "networkTopologyResponse"


async def probes(request: Request) -> Response:
    """`GET` and `POST /v6/endpoint-data/network-topology`."""
    world, group, now = world_of(request), group_of(request, "v6"), world_of(request).now()
    types = await _types(request)
    try:
        range_ = parse_v6(request.query_params, now)
    except RangeRejected as error:
        raise ApiError(400, error.message) from error
    if range_ is None:
        range_ = last_round(now, ROUND_S, world.settings.inferred.last_round)
    if range_.end - range_.start > SPAN_MAX_S:
        raise ApiError(400, "The range must not be longer than 12 hours")
    visible = world.visible(range_).range
    text = request.query_params.get("lastRoundId", "")
    first = int(text[:11]) + ROUND_S if text.isdecimal() else visible.start - visible.start % ROUND_S
    rows: list[dict[str, Any]] = []
    next_round = None
    for round_id in range(first, min(visible.end, int(now)) + 1, ROUND_S):
        found = [_show(*probe) for probe in _probes(group, round_id) if _wanted(probe, visible, now, types)]
        if rows and len(rows) + len(found) > world.settings.page_size:
            next_round = rows[-1]["roundId"]
            break
        rows += found
    return write(request, _ROOT, {"networkProbes": rows} | _rest(request, range_, next_round))


async def probe(request: Request) -> Response:
    """`GET /v6/endpoint-data/network-topology/{networkProbeId}`."""
    group, wanted = group_of(request, "v6"), request.path_params["probe_id"]
    parts = wanted.split(":")
    if len(parts) == 4 and parts[2].isdecimal() and len(parts[2]) < 12:
        for agent, round_id, kind in _probes(group, int(parts[2])):
            if _probe_id(agent, round_id) == wanted and round_id <= world_of(request).now():
                place = {"latitude": agent.latitude, "longitude": agent.longitude, "location": agent.location}
                shown = _show(agent, round_id, kind) | {"coordinates": place, "networkProfile": network_profile(agent)}
                return write(request, _ROOT, {"networkProbes": [shown]})
    raise ApiError(404, "Not Found")


Probe = tuple[Agent, int, str]
"""Agent, round and type of a probe: gateway, proxy or vpn."""


def _probes(group: AccountGroup, round_id: int) -> list[Probe]:
    found: list[Probe] = []
    for agent in group.fleet:
        if not agent.deleted:
            kind = "vpn" if agent.vpn_target else "proxy" if agent.proxy_target else "gateway"
            found.append((agent, round_id, kind))
    return found


def _date(agent: Agent, round_id: int) -> int:
    return round_id + agent.numeric_id % 120


def _wanted(probe_: Probe, visible: Range, now: float, types: list[str] | None) -> bool:
    agent, round_id, kind = probe_
    date = _date(agent, round_id)
    return visible.start <= date <= min(visible.end, now) and (types is None or kind in types)


def _probe_id(agent: Agent, round_id: int) -> str:
    return f"{agent.aid:05d}:{agent.network_id}:{round_id}:{agent.agent_id[:8]}"


def _show(agent: Agent, round_id: int, kind: str) -> dict[str, Any]:
    rtt = 1 + draw(1, "probe", agent.agent_id, round_id)[0] % 30
    return {
        "networkProbeId": _probe_id(agent, round_id),
        "agentId": agent.agent_id,
        "roundId": round_id,
        "date": spaced(_date(agent, round_id)),
        "target": {"vpn": agent.vpn_target, "proxy": agent.proxy_target, "gateway": agent.gateway}[kind],
        "type": kind,
        "icmpPing": {
            "pktsSent": 10,
            "pktsReceived": 10,
            "minRtt": rtt,
            "avgRtt": rtt + 1,
            "maxRtt": rtt + 4,
            "meanDevRtt": 1,
        },
        "icmpBlocked": False,
    }


async def _types(request: Request) -> list[str] | None:
    """The `type` filter; the others that this resource has are not simulated."""
    if request.method != "POST":
        return None
    status = world_of(request).settings.inferred.v6_malformed_json_status
    try:
        wanted = read_v6(await json_body(request, malformed_status=status))
    except FilterRejected as error:
        raise ApiError(400, error.message) from error
    return wanted.get("type")


def _rest(request: Request, range_: Range, next_round: int | None) -> dict[str, Any]:
    rest: dict[str, Any] = {"from": spaced(range_.start), "to": spaced(range_.end)} if range_.explicit else {}
    rest["pages"] = {"current": 1}
    if next_round is not None:
        query = [("lastRoundId", str(next_round)), ("from", spaced(range_.start)), ("to", spaced(range_.end))]
        if world_of(request).settings.inferred.v6_next_keeps_query and "aid" in request.query_params:
            query.append(("aid", request.query_params["aid"]))
        rest["pages"]["next"] = link(request, request.url.path, query)
    return rest
