"""One organization's API as its quota, its paging and its troubles look from outside.

Rule: every switch is a plain attribute that the plan of faults turns; with all of them off it is a quick and correct
API. It keeps its own books about what it refused, because it alone knows why.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from operator import attrgetter
from random import Random
from typing import Any, NamedTuple

import anyio
import orjson

from collector.core.model import (
    NO_ANSWER,
    AccountGroup,
    AccountGroupList,
    Answer,
    EpochS,
    Page,
    PageRequest,
    Quota,
    RowForm,
)
from collector.errors import ApiRejected, PageMalformed, Rejection
from collector.ports import Admit, at_once
from collector.sources.thousandeyes.row_form import V6_ROW_FORM
from tests.core.pages import EPOCH
from tests.core.quota_server import WINDOW_S, QuotaServer
from tests.simulation.arrivals import Archive, Session
from tests.simulation.process import Process
from tests.simulation.trace import Trace, clock

ROW_BYTES = 10_000
"""Of one row in an answer: many times a real one's, because pages are as many times smaller."""

REQUEST_TIMEOUT_S = 30.0
"""When a request without an answer is given up by the real source."""

LIES_LAST_S = 1_000.0
"""How long a wrong Reset or Date may still be believed: `budget.HOLD_MAX_S` and a window."""


class Order(StrEnum):
    """In which order rows come."""

    OLDEST_FIRST = "oldest first"
    NEWEST_FIRST = "newest first"
    SHUFFLED = "shuffled"
    COMMITTED = "as they were committed"  # in date order to the eye, and the late ones at the end
    NONE = "in no order"  # another one in each walk


class Paging(StrEnum):
    """What a continuation stands for."""

    KEY = "behind a row"
    OFFSET = "a number of rows to skip"  # rows that appear in front shift what follows


class Outage(StrEnum):
    """How an API is away."""

    UNAVAILABLE = "503"
    SILENT = "no answer"
    UNAUTHORIZED = "401"
    GONE = "404"


_REJECTIONS = {
    Outage.UNAVAILABLE: (503, Rejection.UNAVAILABLE),
    Outage.UNAUTHORIZED: (401, Rejection.UNAUTHORIZED),
    Outage.GONE: (404, Rejection.VERSION_GONE),
}


def server_time() -> float:
    """The truth about time, seconds since 1970."""
    return EPOCH + anyio.current_time()


class _Cursor(NamedTuple):
    order: Order
    paging: Paging
    place: Any
    made: float
    walk: int


@dataclass(slots=True)
class Switches:
    """What goes wrong now. Shares are per request."""

    outage: Outage | None = None
    unavailable_share: float = 0.0
    lost_share: float = 0.0  # counted, but no answer arrives
    malformed_share: float = 0.0
    stray_share: float = 0.0  # one 404 from a broken node
    refused_cursor_share: float = 0.0
    circle_share: float = 0.0
    wrong_group_share: float = 0.0
    cursor_life_s: float = math.inf
    order: Order = Order.OLDEST_FIRST
    paging: Paging = Paging.KEY
    latency_s: tuple[float, float] = (0.05, 0.4)
    forbidden: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    empty_list: bool = False
    others_share: float = 0.0  # of the limit, spent evenly over each quota window
    others_burst: float = 0.0  # of the limit, spent at the window's first moment
    reset_off_s: float = 0.0
    date_off_s: float = 0.0
    wild_date_share: float = 0.0

    @property
    def lies(self) -> bool:
        """Whether quota or time are told wrongly."""
        return bool(self.reset_off_s or self.date_off_s or self.wild_date_share)


@dataclass(slots=True)
class _Asker:
    """What a process may be excused for."""

    knows_since: float = math.inf  # when it was answered first
    window: float = -math.inf
    spent: int = 0
    refused: int = 0
    told_at: float = math.inf  # when it heard of its first refusal in this quota window


class SimulatedApi:
    """The API of one organization, shared by all processes that believe to own it.

    Args:
        name: of the organization.
        aids: account groups, in the order of the list.
        sessions: everything that will ever be shown.
        rng: decides latencies and shares.
        trace: is told of everything.
        limit: requests a quota window allows.
        quota_share: what the collector may use, to judge refusals.
        page_rows: rows a page holds at most.
        by_round: whether ranges select on the round instead of on the date.
        anchored: whether a quota window begins with its first request.
        retention_s: how long after their date sessions are shown.
    """

    def __init__(
        self,
        name: str,
        aids: list[str],
        sessions: list[Session],
        *,
        rng: Random,
        trace: Trace,
        limit: int = 240,
        quota_share: float = 0.8,
        page_rows: int = 25,
        by_round: bool = False,
        anchored: bool = False,
        form: RowForm = V6_ROW_FORM,
        retention_s: float = math.inf,
    ) -> None:
        self.name, self.aids, self.page_rows, self.retention_s = name, aids, page_rows, retention_s
        self.archives = {aid: Archive(by_round, [s for s in sessions if s.aid == aid], retention_s) for aid in aids}
        self.switches = Switches()
        self.quota = QuotaServer(limit, anchored=anchored)
        self.usual_limit = limit
        self.request_timeout_s = REQUEST_TIMEOUT_S
        self.fingerprint = "first"
        # What it saw, for the comparison at the end.
        self.requests = self.pages = self.refused = 0
        self.pages_by_order: Counter[Order] = Counter()
        self.asked_before: list[
            tuple[str, float, int, int]
        ] = []  # backfills: job, when asked for, first and last second
        self.first_windows: dict[str, tuple[float, int]] = {}  # aid -> when first asked for, and from where on
        self.finished: dict[str, float] = {}  # aid -> when a last page was served
        self.unexplained: list[str] = []
        self._rng, self._trace, self._form = rng, trace, form
        self._quota_share = quota_share
        self._sources = 0
        self._cursors: dict[str, _Cursor] = {}
        self._made = 0
        self._askers: dict[str, _Asker] = {}
        self._walks: Counter[tuple[str, str]] = Counter()
        self._lied_until = self._limit_changed = -math.inf

    def source(self, process: Process) -> FakeSource:
        """A view of this API for one process, which knows nothing of the quota yet."""
        self._sources += 1
        return FakeSource(self, process, f"{process.name}/{self._sources}")

    # --- switches that need more than an assignment -----------------------------------------------------------------

    def change_limit(self, limit: int) -> None:
        """Another quota from now on; what was spent stays spent."""
        self.quota.limit = limit
        self._limit_changed = server_time()

    def switch(self, name: str, value: object) -> None:
        """Turn one switch."""
        before = self.switches.lies
        setattr(self.switches, name, value)
        if before and not self.switches.lies:
            self._lied_until = server_time() + LIES_LAST_S

    def calm(self) -> None:
        """Everything off."""
        if self.switches.lies:
            self._lied_until = server_time() + LIES_LAST_S
        self.switches = Switches(order=self.switches.order, paging=self.switches.paging)
        if self.quota.limit != self.usual_limit:
            self.change_limit(self.usual_limit)

    # --- what a source asks for -------------------------------------------------------------------------------------

    async def account_groups(self, source: FakeSource) -> AccountGroupList:
        """The list of account groups."""
        answer = await self._answer(source, None)
        off = self.switches
        aids = [] if off.empty_list else [aid for aid in self.aids if aid not in off.absent]
        return AccountGroupList(tuple(AccountGroup(aid, f"group {aid}") for aid in aids), answer)

    async def fetch(self, source: FakeSource, request: PageRequest, admit: Admit) -> Page:
        """One page."""
        walk = (source.process.name, request.aid)
        self._walks[walk] += 1
        assert self._walks[walk] <= 2, f"{source.name}: three walks of account group {request.aid} at once"
        try:
            answer = await self._answer(source, request)
        finally:
            self._walks[walk] -= 1
        first, start = self.first_windows.get(request.aid, (server_time(), request.window.start))
        if not self.asked_before:  # later a window may be older than what was promised by itself
            start = min(start, request.window.start)
        self.first_windows[request.aid] = (first, start)
        page = self._page(request, answer)
        await admit(answer, len(page.rows) * ROW_BYTES)
        return page

    # --- answers ----------------------------------------------------------------------------------------------------

    async def _answer(self, source: FakeSource, request: PageRequest | None) -> Answer:
        process = source.process
        process.check()
        off, rng = self.switches, self._rng
        asker = self._askers.setdefault(source.name, _Asker())
        left = server_time()
        what = "list" if request is None else f"{request.aid} {_told(request)}"
        self._trace.add(f"{self.name}: {process.name} asks {what}")
        latency_s = rng.uniform(*off.latency_s)
        await process.pause(latency_s / 2)
        now = server_time()
        self.requests += 1
        if off.outage is Outage.SILENT:
            await process.pause(self.request_timeout_s)
            raise ApiRejected(Rejection.UNREACHABLE, "no answer", NO_ANSWER)
        if off.outage is not None:
            status, kind = _REJECTIONS[off.outage]
            await process.pause(latency_s / 2)
            raise ApiRejected(kind, str(status), Answer(status, None, EpochS(float(int(now)))))
        status, quota, date = self._count(asker, source.name, now, left)
        window = asker.window
        lot = rng.random()
        await process.pause(latency_s / 2)
        if status == 200 and lot < off.lost_share:
            await process.pause(self.request_timeout_s)
            raise ApiRejected(Rejection.UNREACHABLE, "the answer was lost", NO_ANSWER)
        asker.knows_since = min(asker.knows_since, server_time())
        if status == 429 and asker.window == window:
            asker.told_at = min(asker.told_at, server_time())
        answer = Answer(status, *self._as_told(quota, date))
        self._trouble(request, answer)
        return answer

    def _count(self, asker: _Asker, name: str, now: float, left: float) -> tuple[int, Quota, EpochS]:
        """Spend what others spent by now, then one request of ours; judge a refusal."""
        off, quota = self.switches, self.quota
        elapsed = min(1.0, max(0.0, (now - quota.window_start) / WINDOW_S))
        spent_by_others = quota.others_in_window(now)
        if elapsed >= 1.0:  # a new window began
            elapsed = 0.0 if quota.anchored else (now - quota.window_start) / WINDOW_S
        due = int(quota.limit * (off.others_burst + off.others_share * elapsed))
        for _ in range(min(due, quota.limit) - spent_by_others):
            quota.request(now, ours=False)
        status, told, date = quota.request(now)
        if asker.window != quota.window_start:
            asker.window, asker.spent, asker.refused, asker.told_at = quota.window_start, 0, 0, math.inf
        if status == 429:
            self._refuse(asker, name, now, left)
        else:
            asker.spent += 1
            self._judge_share(asker, name, now)
        return status, told, date

    def _judge_share(self, asker: _Asker, name: str, now: float) -> None:
        """Who is alone and knows the quota keeps to its share in every window."""
        quota = self.quota
        share = max(1, quota.limit - self._reserve())
        alone = quota.ours[quota.window_start] == asker.spent
        steady = now - max(self._limit_changed, self._lied_until, asker.knows_since) > LIES_LAST_S
        if asker.spent > share and alone and steady and not self.switches.lies:
            self.unexplained.append(
                f"{clock(now - EPOCH)} {self.name}: {name} spent {asker.spent} in a quota window, its share is {share}"
            )

    def _reserve(self) -> int:
        """What is left to others."""
        return math.ceil(self.quota.limit * (1.0 - self._quota_share) - 1e-9)

    def _refuse(self, asker: _Asker, name: str, now: float, left: float) -> None:
        self.refused += 1
        quota, off = self.quota, self.switches
        asker.refused += left >= asker.told_at  # what left before could not know
        others = quota.spent - asker.spent
        lied = off.lies or now < self._lied_until
        explained = (
            asker.knows_since > now
            or others > self._reserve()
            or quota.limit == 0
            or now - self._limit_changed < 2 * WINDOW_S + REQUEST_TIMEOUT_S
            or lied
        )
        spent = f"{asker.spent} of {quota.limit} spent by it, {others} by others"
        said = f"{clock(now - EPOCH)} {self.name}: 429 for {name}, {spent}"
        self._trace.add(f"{self.name}: 429 for {name}")
        if not explained:
            self.unexplained.append(f"{said}: no cause")
        if asker.refused > (3 if lied else 0):
            self.unexplained.append(f"{said}: asked {asker.refused} times after a refusal in one quota window")

    def _as_told(self, quota: Quota, date: EpochS) -> tuple[Quota, EpochS]:
        off = self.switches
        if off.lies:
            reset = None if quota.reset_at is None else EpochS(quota.reset_at + off.reset_off_s)
            quota = Quota(quota.limit, quota.remaining, reset)
            date = EpochS(date + off.date_off_s)
            if self._rng.random() < off.wild_date_share:
                date = EpochS(date + self._rng.choice([-1.0, 1.0]) * self._rng.uniform(200.0, 1e6))
        return quota, date

    def _trouble(self, request: PageRequest | None, answer: Answer) -> None:
        """Raise what the answer is instead of a page or list."""
        off, rng = self.switches, self._rng
        if answer.status == 429:
            raise ApiRejected(Rejection.RATE_LIMITED, "429", answer)
        lot = rng.random()
        if (lot := lot - off.unavailable_share) < 0:
            raise ApiRejected(Rejection.UNAVAILABLE, "503", Answer(503, None, answer.date))
        if (lot := lot - off.stray_share) < 0:
            raise ApiRejected(Rejection.VERSION_GONE, "404", Answer(404, answer.quota, answer.date))
        if (lot := lot - off.malformed_share) < 0:
            raise PageMalformed("broken off", answer)
        if request is None:
            return
        if request.aid in off.forbidden:
            raise ApiRejected(Rejection.FORBIDDEN, "403", Answer(403, answer.quota, answer.date))
        if request.continuation is not None:
            cursor = self._cursors.get(request.continuation)
            expired = cursor is None or server_time() - cursor.made > off.cursor_life_s
            if expired or rng.random() < off.refused_cursor_share:
                raise ApiRejected(Rejection.BAD_REQUEST, "400: no such cursor", Answer(400, answer.quota, answer.date))

    # --- pages ------------------------------------------------------------------------------------------------------

    def _page(self, request: PageRequest, answer: Answer) -> Page:
        now, off = server_time(), self.switches
        aid = request.aid
        if self._rng.random() < off.wrong_group_share:
            aid = next((other for other in self.aids if other != aid), aid)
        if request.continuation is None:
            cursor = _Cursor(off.order, off.paging, None, now, self.pages)
        else:
            cursor = self._cursors[request.continuation]
        rows = self.archives[aid].visible(request.window.start, request.window.end, now)
        if aid != request.aid:  # only ids that name their account group can give it away
            rows = [s for s in rows if s.identifier[0].isdigit() and not s.versions[0].broken]
        if len(rows) > 1:
            rows.sort(key=_sort_key(cursor))
        begin = _begin(rows, cursor)
        here = rows[begin : begin + self.page_rows]
        continuation = None
        if begin + len(here) < len(rows):
            continuation = self._continue(cursor, here[-1], begin + len(here), request.continuation)
        else:
            self.finished[request.aid] = anyio.current_time()
        self.pages += 1
        self.pages_by_order[cursor.order] += 1
        versions = [session.row_at(now) for session in here]
        self._trace.add(f"{self.name}: {aid} gets {len(here)} of {len(rows)} rows from {begin}")
        return Page(
            [dict(version.row) if isinstance(version.row, dict) else version.row for version in versions],
            continuation,
            answer,
            self._form,
            lambda index: source_bytes(versions[index].row),
        )

    def _continue(self, cursor: _Cursor, last: Session, offset: int, before: str | None) -> str:
        if before is not None and self._rng.random() < self.switches.circle_share:
            return before
        self._made += 1
        continuation = f"cursor-{self._made}"
        place = offset if cursor.paging is Paging.OFFSET else _sort_key(cursor)(last)
        self._cursors[continuation] = cursor._replace(place=place, made=server_time())
        if len(self._cursors) > 1_000:
            for old in list(self._cursors)[:500]:
                del self._cursors[old]
        return continuation


def source_bytes(row: Any) -> bytes:
    """The bytes of a row on the wire."""
    return orjson.dumps(row)


def _begin(rows: list[Session], cursor: _Cursor) -> int:
    if cursor.place is None:
        return 0
    if cursor.paging is Paging.OFFSET:
        return min(int(cursor.place), len(rows))
    return bisect_right(rows, cursor.place, key=_sort_key(cursor))


_SORT_KEYS: dict[Order, Callable[[Session], Any]] = {
    Order.OLDEST_FIRST: attrgetter("oldest"),
    Order.NEWEST_FIRST: attrgetter("newest"),
    Order.SHUFFLED: attrgetter("shuffled"),
    Order.COMMITTED: attrgetter("by_commit"),
}


def _sort_key(cursor: _Cursor) -> Callable[[Session], Any]:
    if cursor.order is Order.NONE:
        salt = cursor.walk.to_bytes(8, "big")
        return lambda session: blake2b(session.identifier.encode(), digest_size=8, salt=salt).digest()
    return _SORT_KEYS[cursor.order]


def _told(request: PageRequest) -> str:
    window, page = request.window, request.continuation or "from its begin"
    return f"[{window.start - EPOCH}, {window.end - EPOCH}] {page}"


class FakeSource:
    """The port of one process to one organization's API; see `SimulatedApi.source`."""

    def __init__(self, api: SimulatedApi, process: Process, name: str) -> None:
        self.name, self.process = name, process
        self._api = api

    async def account_groups(self) -> AccountGroupList:
        """See the port."""
        return await self._api.account_groups(self)

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        """See the port."""
        return await self._api.fetch(self, request, admit)

    async def aclose(self) -> None:
        """Nothing to close."""
