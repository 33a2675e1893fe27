"""v6: status, account groups, endpoint user sessions, and the table of all v6 routes but the agents'.

One rule: a route reads the request, asks the truth and writes the answer; what rows look like is in `rows_v6.py` and
`details_v6.py`, errors in `answers.py`.
"""

from starlette.requests import Request
from starlette.responses import Response

from collector.simulator import scheduled_v6, topology_v6
from collector.simulator.details_v6 import encode_network, encode_web, har, network_rows, session_detail, web_rows
from collector.simulator.format_v6 import with_suffixes, write
from collector.simulator.lookup import find_page, find_session
from collector.simulator.requests import group_of, organization_of, world_of
from collector.simulator.rows_v6 import encode_session, session_rows
from collector.simulator.walk_v6 import ListResource, answer

_SESSIONS = ListResource("userSessions", "userSessionsResponse", encode_session, session_rows)
_WEB = ListResource("webSessions", "webSessionsResponse", encode_web, web_rows)
_NETWORK = ListResource("networkSessions", "networkSessionsResponse", encode_network, network_rows)


async def status(request: Request) -> Response:
    """`GET /v6/status`: the server's time in milliseconds, without credentials and without quota."""
    return write(request, "status", {"timestamp": int(world_of(request).now() * 1000)})


async def account_groups(request: Request) -> Response:
    """`GET /v6/account-groups`: all of the caller's, in one page."""
    organization, current = organization_of(request), group_of(request, "v6")
    groups = [
        {
            "accountGroupName": group.name,
            "aid": group.aid,
            "current": int(group.aid == current.aid),
            "default": int(group.aid == organization.default_group.aid),
            "organizationName": organization.name,
        }
        for group in organization.groups.values()
    ]
    return write(request, "accountGroupsResponse", {"accountGroups": groups})


async def user_sessions(request: Request) -> Response:
    """`GET` and `POST /v6/endpoint-data/user-sessions`."""
    return await answer(request, _SESSIONS)


async def web(request: Request) -> Response:
    """`GET` and `POST /v6/endpoint-data/user-sessions/web`."""
    return await answer(request, _WEB)


async def network(request: Request) -> Response:
    """`GET` and `POST /v6/endpoint-data/user-sessions/network`."""
    return await answer(request, _NETWORK)


async def user_session(request: Request) -> Response:
    """`GET /v6/endpoint-data/user-sessions/{sessionId}`."""
    group = group_of(request, "v6")
    found = find_session(world_of(request), group, request.path_params["session_id"])
    return write(request, _SESSIONS.root, {"userSessions": [session_detail(group, found.rows, found.changed)]})


async def page(request: Request) -> Response:
    """`GET /v6/endpoint-data/user-sessions/{sessionId}/page/{pageId}`."""
    group = group_of(request, "v6")
    found = find_session(world_of(request), group, request.path_params["session_id"])
    row, visited = find_page(found, request.path_params["page_id"])
    return write(request, "pageResponse", {"har": har(group, row, visited)})


_DATA = "/v6/endpoint-data"
_GET, _GET_POST = ["GET"], ["GET", "POST"]

ROUTES = [
    *with_suffixes("/v6/status", status, _GET),
    *with_suffixes("/v6/account-groups", account_groups, _GET),
    *with_suffixes(f"{_DATA}/user-sessions", user_sessions, _GET_POST),
    *with_suffixes(f"{_DATA}/user-sessions/web", web, _GET_POST),
    *with_suffixes(f"{_DATA}/user-sessions/network", network, _GET_POST),
    *with_suffixes(f"{_DATA}/user-sessions/{{session_id}}/page/{{page_id}}", page, _GET),
    *with_suffixes(f"{_DATA}/user-sessions/{{session_id}}", user_session, _GET),
    *with_suffixes(f"{_DATA}/network-topology", topology_v6.probes, _GET_POST),
    *with_suffixes(f"{_DATA}/network-topology/{{probe_id}}", topology_v6.probe, _GET),
    *with_suffixes(f"{_DATA}/networks", scheduled_v6.networks, _GET),
    *with_suffixes(f"{_DATA}/tests/net/metrics/{{test_id}}", scheduled_v6.net_metrics, _GET),
    *with_suffixes(f"{_DATA}/tests/net/path-vis/{{test_id}}", scheduled_v6.path_vis, _GET),
    *with_suffixes(f"{_DATA}/tests/net/path-vis/{{test_id}}/{{agent_id}}/{{round_id}}", scheduled_v6.path_vis, _GET),
    *with_suffixes(f"{_DATA}/tests/web/http-server/{{test_id}}", scheduled_v6.http_server, _GET),
    *with_suffixes("/v6/endpoint-tests", scheduled_v6.tests, _GET),
]
