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

from collector.admin import admin_app, serve_admin
from collector.core.backfill import BackfillJob, BackfillRequest, Counts, JobState
from collector.core.ledger_entries import Gap, Why
from collector.core.model import MonoS
from collector.core.polling_plan import Outlook
from collector.telemetry.account_group import AccountGroupStatus
from collector.telemetry.status import OrganizationStatus, ShardStatus, StatusBoard

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


async def _dom(app: Starlette, profile: Path) -> str:
    """What the browser has made of the page after five of its seconds."""
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
    body = dom[dom.index("<body") : dom.index("<script")]
    assert "<img" not in body
    assert "<title>te-collector</title>" in dom
    assert "&lt;img src=x onerror=" in body
    for wrong in ("[object", "undefined", "NaN", "null"):
        assert wrong not in body
    for part in (
        "is stopped", "is parked", "is being restored", "collecting, not ready", "5,000", "no_identity: 3", "late: 1",
        "3.3 s / 3.3 s", "40 of 240 requests spent", "150 left to use", "50 kept for others", "resets in 30 s",
        "1 gap, 1 h 0 min: missed", "lost: 1 h 0 min", "catching up: 1 h 0 min left, done in 1 min 40 s",
        "late p99.9 64 s", "overlap 15 min 0 s", "expects 90/min", "expects 1.8/h", "15 min 0 s",
        "2027-01-14 04:13 to 2027-01-15 04:13", "25 %, done in 3 min 0 s", "60/min", "known before: 3", "0 of 2 walked",
        "failed: &lt;img", "running", "waiting",
        "no answer: 1", "200: 1,234", "other page: 17", "not walked yet", "restoring", "this process alone",
    ):  # fmt: skip
        assert part in body, part


def _crowd(count: int) -> StatusBoard:
    """An organization with many account groups: one is parked, one was left behind, the last one is the busiest."""
    board = StatusBoard("1.2.3", lambda: 1_800_000_000.0, lambda: MonoS(1000.0))
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
    body = dom[dom.index("<body") : dom.index("<script")]
    shown = re.findall(r"Branch (\d+)<small>", body)
    assert shown == ["007", "008", *(f"{number:03}" for number in range(399, 376, -1))]
    assert "Account groups: 2 need a look and come first, then the busiest" in body
    assert "show all 400" in body


async def test_a_few_account_groups_stay_as_they_are(tmp_path: Path) -> None:
    """Whoever has a few knows where each of them stands."""
    dom = await _dom(admin_app(_crowd(25).snapshot, CollectorRegistry()), tmp_path)
    body = dom[dom.index("<body") : dom.index("<script")]
    assert re.findall(r"Branch (\d+)<small>", body) == [f"{number:03}" for number in range(25)]
    assert "show all" not in body


async def test_a_lost_connection_is_shown(tmp_path: Path) -> None:
    """A collector that gives no status is not shown as a healthy one."""
    app = admin_app(_unreadable, CollectorRegistry())
    dom = await _dom(app, tmp_path)
    body = dom[dom.index("<body") : dom.index("<script")]
    assert "No connection to the collector (status 500); no answer yet. Trying again." in body
    assert '<div id="lost" role="alert">' in body
    assert "no connection" in body
