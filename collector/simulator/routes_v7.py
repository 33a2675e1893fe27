"""v7: account groups and real user test results.

One rule: a route reads the request, asks the truth and writes the answer; what rows look like is in `rows_v7.py` and
`details_v7.py`, errors in `answers.py`.
"""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.simulator.answers import HAL
from collector.simulator.details import har
from collector.simulator.details_v7 import encode_network, encode_pages, session_detail
from collector.simulator.lookup import find_page, find_session
from collector.simulator.requests import group_of, link, organization_of, world_of
from collector.simulator.rows_v7 import encode_session
from collector.simulator.walk_v7 import ListResource, answer

_TESTS = ListResource(encode_session, everything_by_default=True)
_PAGES = ListResource(encode_pages, everything_by_default=False, bare_filter=True)
_NETWORKS = ListResource(encode_network, everything_by_default=False)


async def account_groups(request: Request) -> Response:
    """`GET /v7/account-groups`: all of the caller's, in one page."""
    organization, current = organization_of(request), group_of(request, "v7")
    groups = [
        {
            "aid": str(group.aid),
            "accountGroupName": group.name,
            "isCurrentAccountGroup": group.aid == current.aid,
            "isDefaultAccountGroup": group.aid == organization.default_group.aid,
            "organizationName": organization.name,
            "orgId": organization.org_id,
        }
        for group in organization.groups.values()
    ]
    return hal(request, {"accountGroups": groups})


async def tests(request: Request) -> Response:
    """`POST /v7/endpoint/test-results/real-user-tests/filter`."""
    return await answer(request, _TESTS)


async def pages(request: Request) -> Response:
    """`POST .../real-user-tests/pages/filter`: its schema has the filter bare, its examples wrapped; both are
    accepted."""
    return await answer(request, _PAGES)


async def networks(request: Request) -> Response:
    """`POST .../real-user-tests/networks/filter`."""
    return await answer(request, _NETWORKS)


async def detail(request: Request) -> Response:
    """`GET .../real-user-tests/{id}`."""
    group = group_of(request, "v7")
    found = find_session(world_of(request), group, request.path_params["id"])
    return hal(request, {"results": [session_detail(group, found.rows, found.changed)]})


async def page_detail(request: Request) -> Response:
    """`GET .../real-user-tests/{id}/pages/{pageId}`: a HAR log."""
    group = group_of(request, "v7")
    found = find_session(world_of(request), group, request.path_params["id"])
    row, page = find_page(found, request.path_params["page_id"])
    return hal(request, {"har": har(group, row, page)})


def hal(request: Request, fields: dict[str, object]) -> Response:
    """Writes an answer to GET: the fields and a link to itself."""
    itself = link(request, request.url.path, request.query_params.multi_items())
    return Response(orjson.dumps(fields | {"_links": {"self": {"href": itself}}}), media_type=HAL)


_RESULTS = "/v7/endpoint/test-results/real-user-tests"

ROUTES = [
    Route("/v7/account-groups", account_groups, methods=["GET"]),
    Route(f"{_RESULTS}/filter", tests, methods=["POST"]),
    Route(f"{_RESULTS}/pages/filter", pages, methods=["POST"]),
    Route(f"{_RESULTS}/networks/filter", networks, methods=["POST"]),
    Route(f"{_RESULTS}/{{id}}", detail, methods=["GET"]),
    Route(f"{_RESULTS}/{{id}}/pages/{{page_id}}", page_detail, methods=["GET"]),
]
