"""The gate every request to the API passes: who asks, is there quota, does a fault happen, which headers are sent.

One rule: a handler behind the gate sees only requests that are authenticated and paid for, and writes no common header.
Order: address block, credentials, quota, v6 switched off, fault, handler. The control endpoints pass by.
"""

from dataclasses import dataclass

import anyio
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.simulator.answers import ApiError, Version, documented_shape, error_answer, html_error, pick_shape
from collector.simulator.auth import Refusal, identify
from collector.simulator.quota import QuotaState
from collector.simulator.spoiled import SpoiledSend, close_connection
from collector.simulator.statistics import UNAUTHENTICATED
from collector.simulator.switches import FaultKind
from collector.simulator.times import http_date
from collector.simulator.world import Organization, World

CONTROL_PREFIX = "/_sim/"
_TYPE_VARIANTS = ("application/json", "application/hal+json", "application/json; charset=utf-8", "text/plain")


@dataclass(slots=True)
class Visit:
    """One request on its way through the gate."""

    request: Request
    version: Version
    organization: Organization | None = None
    quota: QuotaState | None = None
    fault: FaultKind | None = None
    counted: bool = False


class Gate:
    """ASGI middleware in front of the handlers; see the module's docstring."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app, self._world = app, world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        visit = Visit(Request(scope), version_of(scope["path"]))
        answer = self._admit(visit)
        headed = self._headed(visit, send)
        if answer is not None:
            await answer(scope, receive, headed)
            return
        scope["simulator.organization"] = visit.organization
        await self._handle(visit, receive, headed)

    async def _handle(self, visit: Visit, receive: Receive, send: Send) -> None:
        scope, fault = visit.request.scope, visit.fault
        if fault == "dropped":
            self._count(visit, "dropped")
            await close_connection(scope, receive, flush=False)
        elif fault in ("truncated", "malformed"):
            await SpoiledSend(self._app, fault).run(scope, receive, send)
        else:
            if fault == "slow":
                with anyio.move_on_after(self._world.faults.in_force.slow_s):
                    await self._world.stopping.wait()
                    # A slow answer does not keep the simulator from ending.
                    self._count(visit, "dropped")
                    await close_connection(scope, receive, flush=False)
                    return
            await self._app(scope, receive, send)

    def _admit(self, visit: Visit) -> Response | None:
        world, request, now = self._world, visit.request, self._world.now()
        if _is_status(request.url.path):
            return self._v6_gone(visit)
        address = request.client.host if request.client else ""
        if world.failed_logins.blocked(address, now):
            return self._error(visit, ApiError(429, "Too many failed authentication attempts from this address"))
        known = tuple(organization.settings for organization in world.organizations)
        identity = identify(request.headers.get("authorization"), visit.version, known)
        if isinstance(identity, Refusal) or world.faults.in_force.account_locked:
            world.failed_logins.failed(address, now)
            invalid = isinstance(identity, Refusal) and identity.reason == "invalid"
            return self._error(visit, ApiError(401, "Unauthorized"), token_invalid=invalid)
        visit.organization = organization = world.organizations[identity.organization]
        bucket = organization.quota if identity.bucket == "organization" else organization.oauth_quota
        visit.quota = bucket.take(now)
        if not visit.quota.allowed:
            return self._error(visit, too_many_requests())
        return self._v6_gone(visit) or self._faulty_answer(visit)

    def _v6_gone(self, visit: Visit) -> Response | None:
        status = self._world.faults.in_force.v6_gone
        if visit.version != "v6" or (status is None and self._world.settings.v6_enabled):
            return None
        if status == 301:
            # As an earlier version was: to the oldest supported one, whether the path exists there or not.
            return RedirectResponse(str(visit.request.url).replace("/v6/", "/v7/", 1), 301)
        return self._error(visit, ApiError(status or 404, "This version of the API is not available"))

    def _faulty_answer(self, visit: Visit) -> Response | None:
        visit.fault = self._world.faults.spoil()
        match visit.fault:
            case "429":
                assert visit.quota is not None
                visit.quota = QuotaState(visit.quota.limit, 0, visit.quota.reset, allowed=False)
                return self._error(visit, too_many_requests())
            case "500":
                return self._error(visit, ApiError(500, "Internal Server Error", detail="An unexpected error occurred"))
            case "502":
                visit.quota = None
                return html_error(502)
            case "503":
                visit.quota = None
                return Response(
                    "Service Unavailable: the platform is under maintenance\n", 503, media_type="text/plain"
                )
            case "error_in_200":
                return Response(b'{"errorMessage":"The request could not be processed"}', media_type="application/json")
            case _:
                return None

    def _error(self, visit: Visit, error: ApiError, *, token_invalid: bool = False) -> Response:
        return render_error(self._world, visit.request, error, token_invalid=token_invalid)

    def _headed(self, visit: Visit, send: Send) -> Send:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(visit, str(message["status"]))
                headers = MutableHeaders(scope=message)
                headers["Date"] = http_date(self._world.now())
                headers["Server"] = "nginx"
                headers["Cache-Control"] = "no-store"
                headers["X-Server-Name"] = self._world.settings.instance
                if visit.quota is not None:
                    headers.update(visit.quota.headers())
                if self._world.faults.happens(self._world.faults.in_force.content_type_variant):
                    headers["Content-Type"] = self._world.faults.choose(_TYPE_VARIANTS)
            await send(message)

        return headed

    def _count(self, visit: Visit, fate: str) -> None:
        if visit.counted:
            return
        visit.counted = True
        organization, request = visit.organization, visit.request
        aid = request.query_params.get("aid", "")
        known = organization is not None and aid.isdecimal() and int(aid) in organization.groups
        self._world.statistics.count(
            organization.name if organization else UNAUTHENTICATED,
            method=request.method,
            path=request.url.path,
            aid=aid if known else "",
            fate=fate,
            fault=visit.fault or "",
            now=self._world.now(),
        )


def version_of(path: str) -> Version:
    """The API version that a path belongs to; everything that is not v6 is answered as v7 would."""
    return "v6" if path.startswith("/v6/") or path == "/v6" else "v7"


def too_many_requests() -> ApiError:
    """The error of a spent quota."""
    return ApiError(429, "Too Many Requests", detail="The organization's request quota for this minute is spent")


def render_error(world: World, request: Request, error: ApiError, *, token_invalid: bool = False) -> Response:
    """Writes an error in the shape of its case, or in the shape that is switched on for all."""
    documented = documented_shape(version_of(request.url.path), error.status, token_invalid=token_invalid)
    shape = pick_shape(world.faults.in_force.error_shape, documented, world.faults.choose)
    return error_answer(error, shape, path=request.url.path, now=world.now())


def _is_status(path: str) -> bool:
    return path.rstrip("/") in ("/v6/status", "/v6/status.json", "/v6/status.xml")
