"""Control endpoints, outside the API's paths: the truth, the counts, and what can be changed at run time.

One rule: they need no credentials, spend no quota and are never counted. They must not be reachable by strangers, which
is why the simulator listens on the loopback address unless told otherwise.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import anyio.lowlevel
import orjson
from pydantic import ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from collector.simulator.paging import Visible
from collector.simulator.quota import QuotaState
from collector.simulator.ranges import Range
from collector.simulator.requests import world_of
from collector.simulator.switches import FaultKind, Faults, FrozenSettings
from collector.simulator.truth_list import TruthQuery, truth_chunks

_Made = TypeVar("_Made")
_SECRET_FIELDS = ("token", "oauth_token", "v6_basic_token")
_MASK = "**********"
_FOREVER = 1 << 62
_AHEAD_MAX_S = 86_400
"""How far beyond now the truth lists sessions: they have no end, and nobody asks for more than the next day."""


class ControlRejected(Exception):
    """The request to a control endpoint is wrong; the text says how."""


class _FaultOrder(FrozenSettings):
    """Faults for the next requests, one each."""

    next: tuple[FaultKind, ...] = ()


class _ClockChange(FrozenSettings):
    """Where the server's clock goes: by so many seconds, or to an epoch second."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    advance_s: float = 0.0
    server_time: float | None = None


async def truth(request: Request) -> Response:
    """`GET /_sim/truth`: every session and bad row of a range of dates, see `truth_list.truth_chunks`.

    Query: `from` and `to` (epoch seconds or ISO 8601; the origin and now), `visible` (true: only what the API shows
    now; false: also what will be committed later), `committed_until` (only what was committed by then), `aid`
    (repeatable), `ids` (true: ids only).
    """
    world, query = world_of(request), request.query_params
    start = _time(query.get("from"), "from", world.origin)
    end = _time(query.get("to"), "to", world.now())
    visible = world.visible(Range(int(start), int(end), explicit=True))
    if not _flag(query.get("visible"), "visible", default=True):
        end = min(end, world.now() + _AHEAD_MAX_S)
        visible = Visible(Range(visible.range.start, int(end), explicit=True), _FOREVER, visible.by_round)
    committed_until = int(_time(query.get("committed_until"), "committed_until", visible.horizon))
    visible = Visible(visible.range, min(visible.horizon, committed_until), visible.by_round)
    aids = frozenset(int(aid) for aid in query.getlist("aid") if aid.isdecimal()) or None
    wanted = TruthQuery(visible, aids, ids_only=_flag(query.get("ids"), "ids", default=False))
    return StreamingResponse(_in_turn(truth_chunks(world, wanted)), media_type="application/json")


async def stats(request: Request) -> Response:
    """`GET /_sim/stats`: requests by status, path and account group, 429s, quota; per organization."""
    world = world_of(request)
    now = world.now()
    organizations = [
        {
            "name": organization.name,
            **world.statistics.of(organization.name),
            "quota": _quota(organization.quota.peek(now)),
            "oauthQuota": _quota(organization.oauth_quota.peek(now)),
            "spentByOthers": organization.quota.spent_by_others(now),
        }
        for organization in world.organizations
    ]
    return _json(
        {
            "serverTime": now,
            "frozenAt": world.frozen_at,
            "organizations": organizations,
            "unauthenticated": world.statistics.unauthenticated(),
        }
    )


async def faults(request: Request) -> Response:
    """`/_sim/faults`: GET shows the faults in force, POST changes some, DELETE restores those of the start.

    The body of POST holds fields of `Faults`, and `next`: kinds of faults for the next requests, one each.
    """
    world = world_of(request)
    if request.method == "DELETE":
        world.faults.restore()
    elif request.method == "POST":
        body = await _body(request)
        order = _checked(lambda: _FaultOrder.model_validate({"next": body.pop("next", [])}))
        current = world.faults.in_force.model_dump()
        changed = _checked(lambda: Faults.model_validate(current | body))
        _checked(lambda: world.faults.order(order.next))
        world.faults.change(changed)
    return _json({"faults": world.faults.in_force.model_dump(mode="json"), "ordered": world.faults.ordered})


async def freeze(request: Request) -> Response:
    """`POST /_sim/freeze`: nothing committed from now on is ever shown; the truth is final."""
    return _json({"frozenAt": world_of(request).freeze()})


async def clock(request: Request) -> Response:
    """`/_sim/clock`: GET shows the server's time; POST `{"advance_s": 60}` or `{"server_time": 1700000000}` moves
    it."""
    world = world_of(request)
    if request.method == "POST":
        body = await _body(request)
        change = _checked(lambda: _ClockChange.model_validate(body))
        base = 0.0 if change.server_time is None else change.server_time - world.now()
        world.jump(base + change.advance_s)
    return _json({"serverTime": world.now()})


async def settings(request: Request) -> Response:
    """`GET /_sim/settings`: every switch as the simulator was started, secrets masked."""
    world = world_of(request)
    shown = _masked(world.settings.model_dump(mode="json"))
    shown["organizations"] = [_masked(each.model_dump(mode="json")) for each in world.settings.all_organizations()]
    shown["origin_epoch_s"] = world.origin
    return _json(shown)


async def rejected(request: Request, error: Exception) -> Response:
    """The answer to a wrong request."""
    return _json({"error": str(error)}, status=400)


ROUTES = [
    Route("/_sim/truth", truth, methods=["GET"]),
    Route("/_sim/stats", stats, methods=["GET"]),
    Route("/_sim/faults", faults, methods=["GET", "POST", "DELETE"]),
    Route("/_sim/freeze", freeze, methods=["POST"]),
    Route("/_sim/clock", clock, methods=["GET", "POST"]),
    Route("/_sim/settings", settings, methods=["GET"]),
]


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _quota(state: QuotaState) -> dict[str, object]:
    return {"limit": state.limit, "remaining": state.remaining, "reset": state.reset}


def _masked(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _MASK if name in _SECRET_FIELDS else value for name, value in fields.items()}


async def _in_turn(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Lets other requests run between two pieces; in another thread they would share the truth's cache."""
    for chunk in chunks:
        yield chunk
        await anyio.lowlevel.checkpoint()


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise ControlRejected(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ControlRejected("the body must be a JSON object")
    return body


def _checked(make: Callable[[], _Made]) -> _Made:
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ControlRejected(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from error
    except ValueError as error:
        raise ControlRejected(str(error)) from error


def _time(text: str | None, name: str, default: float) -> float:
    if not text:
        return default
    try:
        return float(text) if text.replace(".", "", 1).isdecimal() else datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise ControlRejected(f"{name} must be epoch seconds or an ISO 8601 date-time") from error


def _flag(text: str | None, name: str, *, default: bool) -> bool:
    flags: dict[str | None, bool] = {None: default, "true": True, "1": True, "false": False, "0": False}
    if text not in flags:
        raise ControlRejected(f"{name} must be true or false")
    return flags[text]
