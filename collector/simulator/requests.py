"""What handlers ask of a request: the world, the caller's organization, the account group, the body, the next link's
base.

One rule: a request that asks for something it may not have, or cannot be understood, ends here as an `ApiError`.
"""

from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request

from collector.simulator.answers import ApiError, FieldError, Version
from collector.simulator.sessions import AccountGroup
from collector.simulator.world import Organization, World


def world_of(request: Request) -> World:
    """The world behind the application."""
    world: World = request.app.state.world
    return world


def organization_of(request: Request) -> Organization:
    """Whose credentials the request carries; the gate has seen to it that there are some."""
    organization: Organization = request.scope["simulator.organization"]
    return organization


def group_of(request: Request, version: Version) -> AccountGroup:
    """The account group that a request names with `aid`; without it silently the default one.

    Raises:
        ApiError: the caller is not assigned to it (400 or 403 or 404, a switch), or it is set to answer 403.
    """
    organization, world = organization_of(request), world_of(request)
    text = request.query_params.get("aid")
    if text is None or text == "":
        group = organization.default_group
    else:
        found = organization.groups.get(int(text)) if text.isdecimal() and len(text) < 12 else None
        if found is None:
            inferred = world.settings.inferred
            status = inferred.v6_foreign_aid_status if version == "v6" else inferred.v7_foreign_aid_status
            raise ApiError(status, f"Account group {text[:20]} does not exist or is not assigned to the user")
        group = found
    if group.aid in world.faults.in_force.forbidden_aids:
        raise ApiError(403, "Access is denied", detail="The user has no permission to view endpoint data")
    return group


async def json_body(request: Request, *, malformed_status: int = 400) -> Any:
    """The decoded body; an empty one is an empty object.

    Raises:
        ApiError: 415 for a content type that is not JSON, `malformed_status` for a body that is not.
    """
    body = await request.body()
    if not body.strip():
        return {}
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise ApiError(415, "Unsupported Media Type")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(malformed_status, "Failed to read request") from error


def invalid(field: str, message: str) -> ApiError:
    """The error for a parameter or a body that is wrong."""
    return ApiError(400, "Bad Request", detail=message, errors=(FieldError("INVALID_VALUE", field, message),))


def link(request: Request, path: str, query: list[tuple[str, str]]) -> str:
    """An absolute URL on this server: spaces become `+`, colons `%3A`, as in the published samples."""
    base = world_of(request).settings.link_base_url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{base}{path}?{urlencode(query)}" if query else f"{base}{path}"
