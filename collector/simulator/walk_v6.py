"""One page of a v6 list: filter, range, `lastRoundId`, rows and the next link.

One rule: the list resources differ in the name of their array and in their rows, in nothing else.
Sources: the v6 pages on pagination (a `window` is frozen into `from` and `to`; `next` carries `lastRoundId`) and
endpoint data filtering. Whether `lastRoundId` is exclusive is a switch; `page=` has no effect, `pages.current` is
always 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from collector.simulator.answers import JSON_UTF8, ApiError
from collector.simulator.filters import TRAITS, FilterRejected, predicate, read_v6
from collector.simulator.format_v6 import wanted_format, xml_answer
from collector.simulator.paging import Page, Position, RowPredicate, Visible, take_exact, take_whole_rounds
from collector.simulator.ranges import Range, RangeRejected, last_round, parse_v6
from collector.simulator.requests import group_of, json_body, link, world_of
from collector.simulator.sessions import AccountGroup, RowEncoder, SessionRow
from collector.simulator.times import spaced
from collector.simulator.world import World

_KEPT = ("aid", "format")


@dataclass(frozen=True, slots=True)
class ListResource:
    """What is particular about one list."""

    array: str
    root: str
    """Name of the XML root element."""
    encode: RowEncoder
    show: Callable[[AccountGroup, SessionRow, bool], Sequence[object]]
    """A session's rows as plain values, for XML."""


async def answer(request: Request, resource: ListResource) -> Response:
    """Answers one request for a page; GET is unfiltered, POST may filter.

    Raises:
        ApiError: anything about the request is wrong.
    """
    format_ = wanted_format(request)
    world, group = world_of(request), group_of(request, "v6")
    match = await _match(request, world, group)
    now = world.now()
    try:
        range_ = parse_v6(request.query_params, now)
    except RangeRejected as error:
        raise ApiError(400, error.message) from error
    if range_ is None:
        range_ = last_round(now, world.settings.inferred.round_s, world.settings.inferred.last_round)
    visible = world.visible(range_, match)
    page, next_round = _take(request, world, group, visible)
    rest = _rest(request, world, range_, page, next_round)
    if format_ == "xml":
        shown = [
            each
            for chunk in page.chunks
            for row in chunk.rows()
            for each in resource.show(group, row, 0 < row.changed_at <= visible.horizon)
        ]
        return xml_answer(resource.root, {resource.array: shown} | rest)
    encoded = b",".join([row for chunk in page.chunks for row in chunk.encoded(resource.encode, visible.horizon)])
    tail = orjson.dumps(rest)
    if not encoded and world.faults.in_force.results_key_missing_when_empty:
        return Response(tail, media_type=JSON_UTF8)
    body = b"".join((b'{"', resource.array.encode(), b'":[', encoded, b"],", tail[1:]))
    return Response(body, media_type=JSON_UTF8)


async def _match(request: Request, world: World, group: AccountGroup) -> RowPredicate | None:
    if request.method != "POST":
        return None
    inferred = world.settings.inferred
    body = await json_body(request, malformed_status=inferred.v6_malformed_json_status)
    try:
        return predicate(read_v6(body), group, TRAITS["v6"], unknown=inferred.unknown_filter_key)
    except FilterRejected as error:
        raise ApiError(400, error.message) from error


def _take(request: Request, world: World, group: AccountGroup, visible: Visible) -> tuple[Page, int | None]:
    """The page, and the lastRoundId of its next link."""
    text, truth, size = request.query_params.get("lastRoundId"), world.truth, world.settings.page_size
    if text is not None and not (text.isdecimal() and len(text) < 12):
        raise ApiError(400, "lastRoundId must be a number")
    if text is not None and world.faults.happens(world.faults.in_force.bad_cursor):
        raise ApiError(400, "lastRoundId is not valid")
    if world.settings.inferred.v6_paging == "whole-rounds":
        first = 0 if text is None else int(text) + truth.round_s
        page = take_whole_rounds(truth, group, visible, first, size)
        return page, None if page.next is None else page.next.round_id
    page = take_exact(truth, group, visible, Position(int(text or 0), 0), size)
    if page.next is None:
        return page, None
    if len(page.chunks) > 1:
        return page, page.next.round_id
    # A round that is larger than a page would come again for ever: it is shown whole, and the walk goes on behind it.
    page = take_whole_rounds(truth, group, visible, page.next.round_id, 1)
    return page, None if page.next is None else page.next.round_id + truth.round_s


def _rest(request: Request, world: World, range_: Range, page: Page, next_round: int | None) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if range_.explicit:
        rest |= {"from": spaced(range_.start), "to": spaced(range_.end)}
    next_round = _spoil_next(world, page, next_round)
    pages: dict[str, Any] = {"current": 1}
    rest["pages"] = pages
    if next_round is not None:
        query = [("lastRoundId", str(next_round)), ("from", spaced(range_.start)), ("to", spaced(range_.end))]
        if world.settings.inferred.v6_next_keeps_query:
            query += [(name, value) for name, value in request.query_params.multi_items() if name in _KEPT]
        pages["next"] = link(request, request.url.path, query)
    return rest


def _spoil_next(world: World, page: Page, next_round: int | None) -> int | None:
    """The lastRoundId of the next link after the faults of paging."""
    faults, settings = world.faults.in_force, world.settings
    # A lastRoundId names the last round shown, or the first one to show.
    step = world.truth.round_s if settings.inferred.v6_paging == "inclusive" else 0
    if next_round is not None:
        if faults.next_missing_on_full_page and page.size == settings.page_size:
            return None
        if world.faults.happens(faults.cursor_loop):
            return page.chunks[0].round.round_id - world.truth.round_s + step
        return next_round
    if page.chunks and world.faults.happens(faults.empty_last_page):
        return page.chunks[-1].round.round_id + step
    return None
