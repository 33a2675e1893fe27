"""An API server for endpoint user sessions, v7 and v6, that judges its client.

One rule: what a client may not do is written down in ``violations``, and never tolerated silently.
"""

import base64
import json
import random
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from tests.independent.paging import Cut, Position, by_offset
from tests.independent.quota import Quota
from tests.independent.sessions import Encoding, Row
from tests.independent.wire import Answer, Request

V7_LIST = "/v7/endpoint/test-results/real-user-tests/filter"
V6_LISTS = {f"/v6/endpoint-data/user-sessions{end}" for end in ("", ".json", ".xml")}
V7_RANGE, V6_RANGE = ("startDate", "endDate"), ("from", "to")


@dataclass(slots=True)
class Walk:
    """A list that a client began: its pages must be asked for in the same way."""

    aid: str
    begin: float
    end: float
    began_at: float
    method: str
    body: bytes
    position: Position = field(default_factory=Position)


@dataclass
class Api:
    """The server's state and behaviour; ``handle`` answers a request.

    Args:
        skew_s: server clock minus this machine's.
        rows: everything that is, was or will be visible.
        groups: account group to the server time at which it exists.
        forbidden: account groups that answer 403.
        order: rearranges the visible rows of a range, which come oldest first.
        next_form: "absolute", "path" (without the host) or "query" (relative to the page).
        last_links: what stands in place of a next link: "missing", "empty", "null" or "next-null".
        fault: called for each list request; returns an answer instead of the page, or None.
    """

    quota: Quota
    skew_s: float = 0.0
    rows: Sequence[Row] = ()
    groups: dict[str, float] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    token: str = "correct-token"
    accepted: set[str] = field(default_factory=set)
    encoding: Encoding = field(default_factory=Encoding)
    order: Callable[[list[Row]], list[Row]] = lambda rows: rows
    cut: Cut = by_offset
    page_size: int = 1000
    next_form: str = "absolute"
    next_host: str | None = None
    last_links: str = "missing"
    fault: Callable[[Request], Answer | None] = lambda request: None
    page_delay_s: float = 0.0
    headers_on_errors: bool = True
    hidden_headers: tuple[str, ...] = ()
    user: str | None = None

    violations: list[str] = field(default_factory=list)
    requests: list[tuple[float, str, int]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    complete_since: dict[str, list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))
    first_shown: dict[int, float] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    _walks: dict[str, Walk] = field(default_factory=dict)

    def now(self) -> float:
        """The server's clock, epoch seconds."""
        return time.time() + self.skew_s

    def handle(self, request: Request) -> Answer:
        """Judge and answer."""
        with self.lock:
            answer = self._decide(request)
            self.requests.append((request.at, f"{request.method} {request.target}", answer.status))
            self.statuses[answer.status] += 1
            return answer

    def blame(self, request: Request, what: str) -> None:
        """Write a violation down."""
        self.violations.append(f"{what}: {request.method} {request.target} {request.body!r}")

    def covered(self, row: Row) -> bool:
        """Whether a client that came to the end of a walk must know the row.

        Either that walk began after the row became visible and included its date; or an earlier walk showed the row.
        That one may have broken off: a client may go on behind what it showed, if it has made sure of that.
        """
        walks = self.complete_since[row.aid]
        if any(began >= row.visible_at and begin <= row.date <= end for began, begin, end in walks):
            return True
        shown = self.first_shown.get(id(row))
        return shown is not None and any(began > shown for began, _, _ in walks)

    # -- requests

    def _decide(self, request: Request) -> Answer:
        if (refusal := self._authorize(request)) is not None:
            return refusal
        is_list = request.path == V7_LIST or request.path in V6_LISTS
        if is_list and (fault := self.fault(request)) is not None:
            return fault
        granted, headers = self.quota.spend()
        if self.hidden_headers:
            headers = {k: v for k, v in headers.items() if not k.endswith(self.hidden_headers)}
        if not granted:
            problem = {"type": "about:blank", "title": "Too Many Requests", "status": 429}
            return self._error(429, json.dumps(problem).encode(), headers)
        if request.path == "/v7/account-groups" or request.path in {"/v6/account-groups", "/v6/account-groups.json"}:
            answer = self._account_groups(request)
        elif is_list:
            answer = self._list(request)
        else:
            self.blame(request, "unknown path")
            answer = self._error(404, b"", {})
        answer.headers.update(headers if answer.status < 400 or self.headers_on_errors else {})
        return answer

    def _error(
        self, status: int, body: bytes, headers: dict[str, str], content_type: str = "application/problem+json"
    ) -> Answer:
        return Answer(status, body, headers if self.headers_on_errors else {}, content_type)

    def _authorize(self, request: Request) -> Answer | None:
        given = request.all("authorization")
        if len(given) != 1:
            self.blame(request, f"{len(given)} Authorization headers")
        wanted = {f"Bearer {token}" for token in self.accepted or {self.token}}
        if self.user is not None:
            wanted = {
                "Basic " + base64.b64encode(f"{self.user}:{t}".encode()).decode() for t in self.accepted or {self.token}
            }
        if len(given) == 1 and given[0] in wanted:
            return None
        body = {"error": "invalid_token", "error_description": "Invalid access token"}
        return self._error(401, json.dumps(body).encode(), {})

    def _account_groups(self, request: Request) -> Answer:
        existing = [aid for aid, since in self.groups.items() if since <= self.now()]
        if request.path.startswith("/v7"):
            groups = [
                {"aid": aid, "accountGroupName": f"G {aid}", "isDefaultAccountGroup": i == 0}
                for i, aid in enumerate(existing)
            ]
        else:
            groups = [
                {"aid": int(aid), "accountGroupName": f"G {aid}", "default": int(i == 0)}
                for i, aid in enumerate(existing)
            ]
        return Answer(
            200, json.dumps({"accountGroups": groups}).encode(), content_type="application/hal+json;charset=UTF-8"
        )

    def _list(self, request: Request) -> Answer:
        query = request.query
        names = Counter(name for name, _ in query)
        values = dict(query)
        if names["aid"] != 1:
            self.blame(request, "aid is not there exactly once")
        for name, count in names.items():
            if count > 1:
                self.blame(request, f"{name} is there {count} times")
        if "window" in names or "page" in names:
            self.blame(request, "not a closed range")
        v7 = request.path == V7_LIST
        if v7 and request.method != "POST":
            self.blame(request, "not POST")
            return self._error(405, b"", {})
        aid = values.get("aid", "")
        if aid in self.forbidden or self.groups.get(aid, float("inf")) > self.now():
            return self._error(403, b'{"type":"about:blank","title":"Forbidden","status":403}', {})
        cursor = values.get("cursor" if v7 else "lastRoundId")
        walk = self._continued(request, cursor, aid) if cursor is not None else self._begun(request, values, aid, v7)
        if walk is None:
            return self._error(400, b'{"type":"about:blank","title":"Failed to deserialize","status":400}', {})
        return self._page(request, walk, v7)

    def _begun(self, request: Request, values: dict[str, str], aid: str, v7: bool) -> Walk | None:
        try:
            begin, end = (moment(values[name]) for name in (V7_RANGE if v7 else V6_RANGE))
        except (KeyError, ValueError):
            self.blame(request, "no explicit closed range")
            return None
        if end < begin:
            self.blame(request, "the range ends before it begins")
            return None
        return Walk(aid, begin, end, self.now(), request.method, request.body)

    def _continued(self, request: Request, cursor: str, aid: str) -> Walk | None:
        walk = self._walks.get(cursor)
        if walk is None:
            self.blame(request, "a cursor that was never given")
            return None
        if (walk.aid, walk.method, walk.body) != (aid, request.method, request.body):
            self.blame(request, f"another aid, method or body than the walk's ({walk.aid} {walk.method} {walk.body!r})")
        return walk

    # -- answers

    def _page(self, request: Request, walk: Walk, v7: bool) -> Answer:
        def look() -> list[Row]:
            now = self.now()
            chosen = [
                row
                for row in self.rows
                if row.aid == walk.aid and row.visible_at <= now and walk.begin <= row.date <= walk.end
            ]
            return self.order(sorted(chosen, key=lambda row: row.date))

        rows, following = self.cut(look, walk.position, self.page_size)
        for row in rows:
            self.first_shown.setdefault(id(row), self.now())
        link = None
        if following is None:
            self.complete_since[walk.aid].append((walk.began_at, walk.begin, walk.end))
        else:
            link = self._link(request, walk, following, v7)
        as_xml = not v7 and (request.path.endswith(".xml") or "xml" in ",".join(request.all("accept")))
        if as_xml and not request.path.endswith(".json"):
            inside = b"".join(self.encoding.xml_row(row) for row in rows)
            pages = f"<pages><current>1</current>{f'<next>{escape(link)}</next>' if link else ''}</pages>"
            return Answer(
                200,
                b"<response>" + inside + pages.encode() + b"</response>",
                content_type="text/xml",
                delay_s=self.page_delay_s,
            )
        body = b"[" + b" ,".join(self.encoding.json_row(row) for row in rows) + b"]"
        links = json.dumps(self._links(link, v7)).encode()
        name = b"results" if v7 else b"userSessions"
        body = b'{"' + name + b'":' + body + (b"," + links[1:] if links != b"{}" else b"}")
        return Answer(200, body, delay_s=self.page_delay_s)

    def _links(self, link: str | None, v7: bool) -> dict[str, object]:
        if v7:
            if link is not None:
                return {"_links": {"next": {"href": link}, "self": {"href": "https://elsewhere.example/"}}}
            v7_ends: dict[str, dict[str, object]] = {
                "missing": {},
                "empty": {"_links": {}},
                "null": {"_links": None},
                "next-null": {"_links": {"next": None}},
            }
            return v7_ends[self.last_links]
        if link is not None:
            return {"pages": {"current": 1, "next": link}}
        v6_ends: dict[str, dict[str, object]] = {
            "missing": {},
            "empty": {"pages": {"current": 1}},
            "null": {"pages": None},
            "next-null": {"pages": {"current": 1, "next": None}},
        }
        return v6_ends[self.last_links]

    def _link(self, request: Request, walk: Walk, position: Position, v7: bool) -> str:
        cursor = secrets.token_urlsafe(24) + "=="
        self._walks[cursor] = Walk(walk.aid, walk.begin, walk.end, walk.began_at, walk.method, walk.body, position)
        kept = [(k, v) for k, v in request.query if k not in {"cursor", "lastRoundId"}]
        query = urlencode([("cursor" if v7 else "lastRoundId", cursor), *kept])
        if self.next_form == "query":
            return f"?{query}"
        if self.next_form == "path":
            return f"{request.path}?{query}"
        return f"http://{self.next_host or request.all('host')[0]}{request.path}?{query}"


def moment(text: str) -> float:
    """A dateTime of a query, in the forms of both versions."""
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
