"""One page of a v7 list: filter, range, cursor, rows and the next link.

One rule: the three filter resources differ in their rows, their default range and their body, in nothing else.
Source: the v7 reference, real user tests: pages are followed by POSTing the same body to `_links.next.href`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from collector.simulator.answers import ApiError
from collector.simulator.filters import TRAITS, FilterRejected, predicate, read_v7
from collector.simulator.paging import Cursor, CursorRejected, Page, Position, Visible, take_exact
from collector.simulator.ranges import Range, RangeRejected, last_round, parse_v7
from collector.simulator.requests import group_of, invalid, json_body, link, world_of
from collector.simulator.sessions import AccountGroup, RowEncoder
from collector.simulator.times import iso_z
from collector.simulator.world import World


@dataclass(frozen=True, slots=True)
class ListResource:
    """What is particular about one list."""

    encode: RowEncoder
    everything_by_default: bool
    """Whether a request without a range means everything (a switch) or the last round."""
    bare_filter: bool = False


async def answer(request: Request, resource: ListResource) -> Response:
    """Answers one request for a page.

    Raises:
        ApiError: anything about the request is wrong.
    """
    world, group = world_of(request), group_of(request, "v7")
    body = await json_body(request)
    try:
        wanted = read_v7(body, bare=resource.bare_filter)
        match = predicate(wanted, group, TRAITS["v7"], unknown=world.settings.inferred.unknown_filter_key)
    except FilterRejected as error:
        raise invalid(error.field, error.message) from error
    digest = _digest(group, body)
    range_, position, ended = _start(request, world, resource, digest)
    visible = world.visible(range_, match)
    page = Page([], None) if ended else take_exact(world.truth, group, visible, position, world.settings.page_size)
    return _write(request, resource, page, _Walk(range_, position, visible, digest, ended))


@dataclass(frozen=True, slots=True)
class _Walk:
    range: Range
    position: Position
    visible: Visible
    digest: str
    ended: bool

    def cursor(self, position: Position, now: float, *, ended: bool = False) -> str:
        return Cursor(position.round_id, position.offset, self.range, int(now), self.digest, ended).encode()


def _start(request: Request, world: World, resource: ListResource, digest: str) -> tuple[Range, Position, bool]:
    text, now, inferred = request.query_params.get("cursor"), world.now(), world.settings.inferred
    if text is None:
        try:
            range_ = parse_v7(request.query_params, now, window_with_start=inferred.v7_window_with_start)
        except RangeRejected as error:
            raise invalid(error.field, error.message) from error
        if range_ is None and resource.everything_by_default and inferred.v7_without_range == "all":
            range_ = Range(0, int(now), explicit=False)
        if range_ is None:
            range_ = last_round(now, inferred.round_s, inferred.last_round)
        return range_, Position(0, 0), False
    try:
        cursor = Cursor.decode(text)
    except CursorRejected as error:
        raise _bad_cursor() from error
    expired = inferred.cursor_lifetime_s is not None and now - cursor.issued > inferred.cursor_lifetime_s
    changed = cursor.request != digest and inferred.changed_body_in_walk == "reject"
    if expired or changed or world.faults.happens(world.faults.in_force.bad_cursor):
        raise _bad_cursor()
    return cursor.range, Position(cursor.last_round, cursor.offset), cursor.ended


def _bad_cursor() -> ApiError:
    # The live API puts the message into the title and sends no detail.
    return ApiError(400, "Failed to deserialize")


def _digest(group: AccountGroup, body: object) -> str:
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(b"%d\x1f%b" % (group.aid, canonical), digest_size=8).hexdigest()


def _write(request: Request, resource: ListResource, page: Page, walk: _Walk) -> Response:
    world = world_of(request)
    horizon = walk.visible.horizon
    rows = b",".join([row for chunk in page.chunks for row in chunk.encoded(resource.encode, horizon)])
    rest: dict[str, Any] = {}
    if walk.range.explicit:
        rest |= {"startDate": iso_z(walk.range.start), "endDate": iso_z(walk.range.end)}
    cursor = _next_cursor(world, page, walk)
    rest["_links"] = {}
    if cursor is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        rest["_links"]["next"] = {"href": link(request, request.url.path, [*query, ("cursor", cursor)])}
    tail = orjson.dumps(rest)
    if not rows and world.faults.in_force.results_key_missing_when_empty:
        body = tail
    else:
        body = b"".join((b'{"results":[', rows, b"],", tail[1:]))
    return Response(body, media_type=world.settings.inferred.filter_content_type)


def _next_cursor(world: World, page: Page, walk: _Walk) -> str | None:
    faults, now = world.faults.in_force, world.now()
    if page.next is not None:
        if faults.next_missing_on_full_page and page.size == world.settings.page_size:
            return None
        if world.faults.happens(faults.cursor_loop):
            return walk.cursor(walk.position, now)
        return walk.cursor(page.next, now)
    if page.chunks and world.faults.happens(faults.empty_last_page):
        last = page.chunks[-1]
        return walk.cursor(Position(last.round.round_id, len(last.round.rows)), now, ended=True)
    return None
