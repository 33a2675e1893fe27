"""The status page in a real browser, if there is one: a hostile status stays text, a lost connection is shown."""

import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.admin import admin_app, serve_admin
from collector.admin.page import PAGE
from collector.core.backfill import BackfillJob, BackfillRequest, Counts, JobState
from collector.core.ledger_entries import Gap, Why
from collector.core.model import MonoS
from collector.core.polling_plan import Outlook
from collector.telemetry.account_group import AccountGroupStatus
from collector.telemetry.status import GroupStatus, OrganizationStatus, ShardStatus, StatusBoard

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
TIMEOUT_S = 60.0
HOSTILE = '<img src=x onerror="document.title=1">&lt;b'

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


def _board() -> StatusBoard:
    """A collector in every kind of trouble, all its texts hostile."""
    board = StatusBoard("1.2.3", lambda: 1_800_000_000.0, lambda: MonoS(1000.0))
    board.phase = "collecting"
    organization = OrganizationStatus(HOSTILE, stopped=HOSTILE, quota_limit=240, quota_remaining=200, quota_usable=150)
    organization.quota_reset_at = MonoS(1030.0)
    organization.requests.update({0: 1, 200: 1234})
    organization.failures["unreachable"] = 1
    parked = AccountGroupStatus("1", HOSTILE, parked=HOSTILE)
    failing = AccountGroupStatus("2", HOSTILE, events=5000, covered_until=1_800_000_000, last_error=HOSTILE)
    failing.dead_letters.update({"no_identity": 3, "late": 1})
    failing.changed.update({"other_page": 17})
    failing.freshness_s.add(3.25, MonoS(999.0))
    behind = AccountGroupStatus("3", HOSTILE, newest=1_799_999_990, covered_until=1_799_990_000, overlap_s=900)
    behind.gaps = (
        Gap(1_797_000_000, 1_797_003_600, Why.RETENTION),
        Gap(1_799_990_000, 1_799_993_600, Why.MISSED, HOSTILE),
    )
    behind.lateness_p999_s = 64.0
    behind.catch_up.observe(7_200, MonoS(900.0))
    behind.catch_up.observe(3_600, MonoS(1_000.0))
    failing.outlook = Outlook(42.0, 1.5, 1.0, day_learnt=False)
    behind.outlook = Outlook(900.0, 0.0005, 1.0, day_learnt=True)
    organization.groups = {"1": parked, "2": failing, "3": behind}
    organization.backfills.show([_job("one", 10, 0), _job("two", 0, None)], MonoS(940.0))
    organization.backfills.show(
        [_job("one", 70, 43_200), _job("two", 0, None), _job("three", 5, 60).ended(JobState.FAILED, 1_000.0, HOSTILE)],
        MonoS(1_000.0),
    )
    board.organizations[HOSTILE] = organization
    board.shards[7] = ShardStatus(7, (HOSTILE,), last_error=HOSTILE)
    board.last_events.append({"aid": "2", "date": HOSTILE, "userSessionId": HOSTILE, "visitedSite": HOSTILE})
    return board


def _job(name: str, pages: int, until: int | None) -> BackfillJob:
    """A job over a day of two account groups, of which the first was walked for so long; None: it waits."""
    start = 1_799_900_000
    job = BackfillJob(BackfillRequest(name, HOSTILE, start, start + 86_400, (HOSTILE, "2"), 0.2, 1.0), 1.0, 1.0)
    if until is None:
        return job
    return job.begun((HOSTILE, "2"), 1.0).walked(HOSTILE, start + until, Counts(pages, pages * 100, 3, 1), 1.0)


def _unreadable() -> dict[str, Any]:
    raise RuntimeError


def _body(dom: str) -> str:
    """What is seen of a page."""
    return dom[dom.index("<body") : dom.index("<script")]


async def _dom(app: Starlette, profile: Path) -> str:
    """What the browser has made of the page after five of its seconds: drawn, and drawn again twice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert BROWSER is not None
    # As root, which containers are, Chromium starts without its sandbox only; it sees nothing but our own page.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [
        BROWSER, "--headless", "--disable-gpu", *sandbox, f"--user-data-dir={profile}", "--virtual-time-budget=5000",
        "--dump-dom", f"http://127.0.0.1:{port}/",
    ]  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_admin, app, "127.0.0.1", port)
        with anyio.fail_after(TIMEOUT_S):
            result = await anyio.run_process(command)
        tasks.cancel_scope.cancel()
    return result.stdout.decode()


async def test_everything_is_drawn_and_stays_text(tmp_path: Path) -> None:
    """Names, sites and errors appear as they are and never become markup; no value is lost on its way to the page."""
    dom = await _dom(admin_app(_board().snapshot, CollectorRegistry()), tmp_path)
    body = _body(dom)
    assert "<img" not in body
    assert "<title>te-collector</title>" in dom
    assert "&lt;img src=x onerror=" in body
    for wrong in ("[object", "undefined", "NaN", "null"):
        assert wrong not in body
    for part in (
        "is stopped", "is parked", "shard 7 being restored: &lt;img", "collecting, not ready", "5,000",
        "no_identity: 3", "late: 1",
        "3.3 s / 3.3 s", "40 of 240 requests spent", "150 left to use", "50 kept for others", "resets in 30 s",
        "1 gap, 1 h 0 min: missed", "lost: 1 h 0 min", "catching up: 1 h 0 min left, done in 1 min 40 s",
        "late p99.9 64 s", "overlap 15 min 0 s", "expects 90/min", "expects 1.8/h", "15 min 0 s",
        "2027-01-14 04:13 to 2027-01-15 04:13", "25 %, done in 3 min 0 s", "60/min", "known before: 3", "0 of 2 walked",
        "failed: &lt;img", "running", "waiting",
        "no answer: 1", "200: 1,234", "other page: 17", "not walked yet", "restoring", "this process alone",
    ):  # fmt: skip
        assert part in body, part


def _crowd(count: int, uptime_s: float = 86_400.0) -> StatusBoard:
    """An organization with many account groups: one is parked, one was left behind, the last one is the busiest."""
    wall = iter([1_800_000_000.0 - uptime_s])  # of the start, then of now
    board = StatusBoard("1.2.3", lambda: next(wall, 1_800_000_000.0), lambda: MonoS(1000.0))
    board.phase = "collecting"
    organization = OrganizationStatus("acme", server_offset_s=1_800_000_000.0 - 1000.0)
    for number in range(count):
        group = AccountGroupStatus(
            str(number), f"Branch {number:03}", newest=1_799_999_500, covered_until=1_799_999_500
        )
        group.outlook = Outlook(600.0, number / 1000, 1.0, day_learnt=False)
        organization.groups[group.aid] = group
    organization.groups["7"].parked = "forbidden"
    organization.groups["8"].newest = 1_799_990_000
    board.organizations["acme"] = organization
    return board


async def test_of_many_account_groups_those_in_trouble_and_the_busiest_are_shown(tmp_path: Path) -> None:
    """A page of 400 account groups is no wall: 25 of them, trouble first, and a button for the rest."""
    dom = await _dom(admin_app(_crowd(400).snapshot, CollectorRegistry()), tmp_path)
    body = _body(dom)
    shown = re.findall(r"Branch (\d+)<small>", body)
    assert shown == ["007", "008", *(f"{number:03}" for number in range(399, 376, -1))]
    assert "Account groups: 2 need a look and come first, then the busiest" in body
    assert "show all 400" in body


async def test_no_kind_of_trouble_hides_another(tmp_path: Path) -> None:
    """300 parked ones are three cards and a count; of each kind five come first, what is lost before what is late."""
    board = _crowd(400)
    groups = list(board.organizations["acme"].groups.values())
    for group in groups[:300]:
        group.parked = "forbidden"
    groups[8].newest = groups[9].newest
    groups[310].newest, groups[311].newest = 1_799_990_000, 1_799_980_000
    groups[320].gaps = (Gap(1_799_000_000, 1_799_003_600, Why.RETENTION),)
    groups[321].gaps = (Gap(1_799_000_000, 1_799_007_200, Why.MISSED),)
    groups[330].newest = groups[330].covered_until = groups[330].outlook = None
    groups[340].last_error = "answered 503"
    body = _body(await _dom(admin_app(board.snapshot, CollectorRegistry()), tmp_path))
    shown = re.findall(r"Branch (\d+)<small>", body)
    assert shown[:11] == [*(f"{number:03}" for number in range(299, 294, -1)), "320", "340", "321", "330", "311", "310"]
    assert shown[11:] == [f"{number:03}" for number in range(294, 280, -1)]
    assert "Account groups: 306 need a look" in body
    assert re.findall(r"acme / Branch (\d+) is parked", body) == ["000", "001", "002"]
    assert re.search(r"297 more account groups are parked</h2><div>acme: 297<", body)


async def test_whoever_was_not_walked_yet_just_after_a_start_is_no_trouble(tmp_path: Path) -> None:
    """Their turn comes; a minute later nobody needs a look."""
    board = _crowd(400, uptime_s=60.0)
    for group in board.organizations["acme"].groups.values():
        group.newest = group.covered_until = group.parked = None
    body = _body(await _dom(admin_app(board.snapshot, CollectorRegistry()), tmp_path))
    assert "Account groups, the busiest first" in body
    assert re.findall(r"Branch (\d+)<small>", body)[:2] == ["399", "398"]


KEEPS_HOLD = """<script>
const hold = setInterval(() => {
  const button = document.querySelector("#page button"), row = [...document.querySelectorAll("td span")];
  const cell = row.find(one => one.textContent === "session 3");
  if (!button || !cell) return;
  clearInterval(hold);
  button.focus();
  getSelection().setBaseAndExtent(cell.firstChild, 0, cell.firstChild, cell.textContent.length);
  const drawn = lastDrawn;
  setInterval(() => {
    const events = document.querySelector(".tile b").textContent;
    document.title = `${lastDrawn > drawn} ${events} ${document.activeElement === button} ${getSelection()}`;
  }, 50);
}, 20);
</script>"""
"""Whoever reads the page: focuses the button, selects a session's id, and says later what became of it."""


async def test_a_redraw_takes_neither_focus_nor_selection(tmp_path: Path) -> None:
    """Every two seconds numbers change and events come; whoever is at a button or copies a text goes on."""
    board = _crowd(400)
    busy = board.organizations["acme"].groups["399"]

    def snapshot() -> dict[str, Any]:
        busy.events += 1
        event = {"aid": "1", "date": "2027-01-15", "userSessionId": f"session {busy.events + 2}", "visitedSite": "x"}
        board.last_events.append(event)
        return board.snapshot()

    async def page(_request: Request) -> Response:
        return Response(PAGE.replace("</body>", KEEPS_HOLD + "</body>"), media_type="text/html")

    app = admin_app(snapshot, CollectorRegistry())
    app.router.routes.insert(0, Route("/", page))
    title = re.findall(r"<title>(.*?)</title>", await _dom(app, tmp_path))[0]
    drawn, events, is_focused, selected = title.split(" ", 3)
    assert (drawn, is_focused, selected) == ("true", "true", "session 3")
    assert int(events) > 1


async def test_what_the_page_cannot_draw_is_no_lost_connection(tmp_path: Path) -> None:
    """The collector answers: whoever looks is told that, and not to look for the network."""

    def strange() -> dict[str, Any]:
        return {**_crowd(25).snapshot(), "shards": None}

    body = _body(await _dom(admin_app(strange, CollectorRegistry()), tmp_path))
    assert "The collector answers, but this page cannot show what it tells" in body
    assert "nothing is shown yet. Reload the page" in body
    assert "connection" not in body


async def test_a_collector_that_waits_says_for_what(tmp_path: Path) -> None:
    """Kafka is away at the start: no table of dashes, but why."""
    board = StatusBoard("1.2.3", lambda: 1_800_000_000.0, lambda: MonoS(1000.0))
    board.held_up = f"Kafka does not answer (tries: 7): {HOSTILE}"
    body = _body(await _dom(admin_app(board.snapshot, CollectorRegistry()), tmp_path))
    assert "starting, not ready" in body
    assert "Kafka does not answer (tries: 7): &lt;img" in body
    assert "Nothing is collected here" in body
    for empty in ("<table", "\N{EN DASH}", "tile"):
        assert empty not in body, empty


async def test_a_standby_says_that_it_stands_by(tmp_path: Path) -> None:
    """Nothing is wrong with a worker that was given nothing."""
    board = StatusBoard("1.2.3", lambda: 1_800_000_000.0, lambda: MonoS(1000.0))
    board.phase = "collecting"
    board.group = GroupStatus("g", "one", lambda: True)
    board.shards[7] = ShardStatus(7, ("acme",), assigned=False)
    body = _body(await _dom(admin_app(board.snapshot, CollectorRegistry()), tmp_path))
    assert "This worker stands by" in body
    assert "not ready" not in body


async def test_a_few_account_groups_stay_as_they_are(tmp_path: Path) -> None:
    """Whoever has a few knows where each of them stands."""
    dom = await _dom(admin_app(_crowd(25).snapshot, CollectorRegistry()), tmp_path)
    body = _body(dom)
    assert re.findall(r"Branch (\d+)<small>", body) == [f"{number:03}" for number in range(25)]
    assert "show all" not in body


async def test_a_lost_connection_is_shown(tmp_path: Path) -> None:
    """A collector that gives no status is not shown as a healthy one."""
    app = admin_app(_unreadable, CollectorRegistry())
    dom = await _dom(app, tmp_path)
    body = _body(dom)
    assert "No connection to the collector (status 500); no answer yet. Trying again." in body
    assert '<div id="lost" role="alert">' in body
    assert "no connection" in body
