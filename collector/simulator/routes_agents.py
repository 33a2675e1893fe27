"""Endpoint agents: `/v7/endpoint/agents`, its filter, and `/v6/endpoint-agents`.

One rule: pages are by number of agents; a cursor names the first agent of the next page, as in the published v6 sample.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.simulator.agents import FILTERS, select, show_v6, show_v7
from collector.simulator.answers import HAL, ApiError
from collector.simulator.filters import FilterRejected, read_v7
from collector.simulator.fleet import Agent
from collector.simulator.format_v6 import with_suffixes, write
from collector.simulator.requests import group_of, invalid, json_body, link, organization_of, world_of


async def agents_v7(request: Request) -> Response:
    """`GET /v7/endpoint/agents`."""
    query = request.query_params
    wanted = {name: [query[name]] for name in ("agentName", "computerName") if name in query}
    if query.get("useAllPermittedAids", "").lower() == "true":
        every: Iterable[Agent] = (agent for group in organization_of(request).groups.values() for agent in group.fleet)
    else:
        every = group_of(request, "v7").fleet
    matching = select(every, wanted, include_deleted=query.get("includeDeleted", "").lower() == "true")
    answer, next_link = _page_v7(request, matching)
    links: dict[str, Any] = {"self": {"href": link(request, request.url.path, query.multi_items())}}
    if next_link:
        links["next"] = {"href": next_link}
    return Response(orjson.dumps(answer | {"_links": links}), media_type=HAL)


async def agents_filter_v7(request: Request) -> Response:
    """`POST /v7/endpoint/agents/filter`: answers `application/json`, and `_links` is empty when there is one page."""
    world, group = world_of(request), group_of(request, "v7")
    try:
        wanted = read_v7(await json_body(request))
    except FilterRejected as error:
        raise invalid(error.field, error.message) from error
    unknown = [key for key in wanted if key not in FILTERS]
    if unknown and world.settings.inferred.unknown_filter_key == "reject":
        raise invalid(unknown[0], f"{unknown[0]} is no search filter")
    include_deleted = request.query_params.get("includeDeleted", "").lower() == "true"
    answer, next_link = _page_v7(request, select(group.fleet, wanted, include_deleted=include_deleted))
    links = {"next": {"href": next_link}} if next_link else {}
    return Response(orjson.dumps(answer | {"_links": links}), media_type=world.settings.inferred.filter_content_type)


async def agents_v6(request: Request) -> Response:
    """`GET /v6/endpoint-agents`: its next link names an agent, has no `.json`, and there is no `pages.current`."""
    world, group, query = world_of(request), group_of(request, "v6"), request.query_params
    wanted = {name: [query[name]] for name in ("agentName", "computerName") if name in query}
    matching = select(group.fleet, wanted, include_deleted=query.get("deleted", "") in ("1", "true"))
    first = _index(matching, query["pageId"]) if "pageId" in query else 0
    if first is None:
        raise ApiError(400, "pageId is not valid")
    size, now = world.settings.page_size, world.now()
    pages: dict[str, str] = {}
    if first + size < len(matching):
        keeps = world.settings.inferred.v6_next_keeps_query
        kept = [("aid", query["aid"])] if keeps and "aid" in query else []
        pages["next"] = link(request, "/v6/endpoint-agents", [("pageId", matching[first + size].agent_id), *kept])
    shown = [show_v6(agent, now) for agent in matching[first : first + size]]
    return write(request, "endpointAgentsResponse", {"endpointAgents": shown, "pages": pages})


async def agent_v6(request: Request) -> Response:
    """`GET /v6/endpoint-agents/{agentId}`."""
    agents = list(group_of(request, "v6").fleet)
    index = _index(agents, request.path_params["agent_id"])
    if index is None:
        raise ApiError(404, "Not Found")
    return write(
        request, "endpointAgentsResponse", {"endpointAgents": [show_v6(agents[index], world_of(request).now())]}
    )


def _page_v7(request: Request, matching: list[Agent]) -> tuple[dict[str, Any], str | None]:
    """One page as an answer without links, and the next link."""
    query, world = request.query_params, world_of(request)
    first = _decode(matching, query["cursor"]) if "cursor" in query else 0
    size = world.settings.page_size
    if "max" in query:
        if not query["max"].isdecimal() or not int(query["max"][:9]) > 0:
            raise invalid("max", "max must be a positive number")
        size = min(size, int(query["max"][:9]))
    expand = {part for value in query.getlist("expand") for part in value.split(",")}
    now = world.now()
    shown = [show_v7(agent, now, clients="clients" in expand) for agent in matching[first : first + size]]
    next_link = None
    if first + size < len(matching):
        kept = [(name, value) for name, value in query.multi_items() if name != "cursor"]
        cursor = base64.urlsafe_b64encode(orjson.dumps([0, int(now * 1000), matching[first + size].agent_id])).decode()
        next_link = link(request, request.url.path, [*kept, ("cursor", cursor)])
    return {"totalAgents": len(matching), "agents": shown}, next_link


def _decode(matching: list[Agent], cursor: str) -> int:
    try:
        agent_id = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))[2]
    except (binascii.Error, ValueError, TypeError, LookupError) as error:
        raise ApiError(400, "Failed to deserialize") from error
    index = _index(matching, str(agent_id))
    if index is None:
        raise ApiError(400, "Failed to deserialize")
    return index


def _index(agents: list[Agent], agent_id: str) -> int | None:
    return next((index for index, agent in enumerate(agents) if agent.agent_id == agent_id), None)


ROUTES = [
    Route("/v7/endpoint/agents", agents_v7, methods=["GET"]),
    Route("/v7/endpoint/agents/filter", agents_filter_v7, methods=["POST"]),
    *with_suffixes("/v6/endpoint-agents", agents_v6, ["GET"]),
    *with_suffixes("/v6/endpoint-agents/{agent_id}", agent_v6, ["GET"]),
]
