"""Backfill jobs and what the schedule intends: as status, as metrics, as log lines."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry

from collector.core.backfill import BackfillJob, BackfillRequest, Counts, JobState
from collector.core.model import AccountGroup, MonoS
from collector.core.polling_plan import Outlook
from collector.telemetry.backfill import ENDED_MAX, ENDED_SHOWN_S, UNFINISHED_MAX
from collector.telemetry.logs import configure_logs
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.status import StatusBoard

pytestmark = pytest.mark.usefixtures("logging_as_before")

NOW = 1_790_000_000.0
DAY_S = 86_400


def job(name: str, aids: tuple[str, ...] = ("11", "22"), requested_at: float = NOW) -> BackfillJob:
    """A day that was asked for."""
    request = BackfillRequest(name, "acme", int(NOW) - DAY_S, int(NOW), aids, 0.2, requested_at)
    return BackfillJob(request, NOW, NOW)


def running(name: str, pages: int = 0, until: int = 0) -> BackfillJob:
    """The same, begun, its first account group walked for so long."""
    return job(name).begun(("11", "22"), NOW).walked("11", int(NOW) - DAY_S + until, Counts(pages, 3, 2, 1), NOW)


class Told:
    """An organization's telemetry, on a clock that is set; server time is `NOW` and what has passed since."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics(CollectorRegistry())
        self.board = StatusBoard("1", lambda: NOW + self.now, lambda: MonoS(self.now))
        self.telemetry = OrganizationTelemetry("acme", self.metrics, self.board)
        self.board.organizations["acme"].server_offset_s = NOW

    def status(self) -> dict:
        """What the status says of the organization."""
        return self.board.snapshot()["organizations"][0]

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of a metric of the organization."""
        return self.metrics.registry.get_sample_value(f"collector_{name}", {"organization": "acme", **labels})


def test_the_job_that_runs_is_shown_with_its_pace() -> None:
    """How far, how fast, how long still, of which account groups; the one that waits comes behind it."""
    told = Told()
    told.telemetry.backfills([running("one", 10), job("two", ())])
    told.now = 60.0
    told.telemetry.backfills([running("one", 70, DAY_S), job("two", ())])
    first, second = told.status()["backfills"]
    assert (first["job"], first["state"], first["share_done"]) == ("one", "running", 0.5)
    assert (first["pages"], first["pages_per_min"], first["time_left_s"]) == (70, 60.0, 60)
    assert (first["events"], first["seen_again"], first["dead_letters"], first["unreadable"]) == (3, 2, 1, 0)
    assert (first["start"], first["end"], first["quota_share"]) == (int(NOW) - DAY_S, int(NOW), 0.2)
    assert (first["account_groups"], first["account_groups_total"], first["account_groups_walked"]) == (
        ["11", "22"],
        2,
        1,
    )
    assert (second["job"], second["state"], second["account_groups_total"]) == ("two", "waiting", 0)
    assert (second["pages_per_min"], second["time_left_s"]) == (None, None)
    assert told.metric("backfill_jobs", state="running") == 1
    assert told.metric("backfill_jobs", state="waiting") == 1
    assert told.metric("backfill_share_done") == 0.5


def test_what_is_over_is_shown_for_a_day_and_counted() -> None:
    """The newest first, with the reason; nothing runs any more, and the metrics say so."""
    told = Told()
    over = [job(f"n{n}", requested_at=NOW + n).ended(JobState.FAILED, NOW + n, "why") for n in range(5)]
    told.telemetry.backfills([running("one")])
    told.telemetry.backfills(over)
    told.now = 60.0
    shown = told.status()["backfills"]
    assert [one["job"] for one in shown] == ["n4", "n3", "n2"][:ENDED_MAX]
    assert {(one["state"], one["reason"]) for one in shown} == {("failed", "why")}
    assert (told.metric("backfill_jobs", state="running"), told.metric("backfill_share_done")) == (0, 0)
    told.now = ENDED_SHOWN_S + 10.0
    assert told.status()["backfills"] == []


def test_hundreds_of_jobs_and_account_groups_stay_small() -> None:
    """What the status says is bounded, whatever operators ask for."""
    told = Told()
    many = tuple(str(n) for n in range(1_000))
    told.telemetry.backfills([job(f"n{n}", many, NOW + n) for n in range(200)])
    shown = told.status()["backfills"]
    assert len(shown) == UNFINISHED_MAX
    assert shown[0]["account_groups_total"] == 1_000
    assert len(shown[0]["account_groups"]) == 20
    assert told.metric("backfill_jobs", state="waiting") == 200


def test_a_job_is_logged_when_it_changes_and_counted_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each; how many ended, and how, is a counter to alert on."""
    configure_logs("info", "json")
    told = Told()
    for one in (job("one"), running("one"), running("one").ended(JobState.DONE, NOW)):
        told.telemetry.backfill_changed(one)
    told.telemetry.backfill_changed(running("two").ended(JobState.FAILED, NOW, "why"))
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "backfill waiting", "backfill running", "backfill done", "backfill failed",
    ]  # fmt: skip
    assert (
        told.metric("backfill_jobs_ended_total", state="done"),
        told.metric("backfill_jobs_ended_total", state="failed"),
    ) == (1, 1)


def test_how_often_each_account_group_is_polled_is_told() -> None:
    """Interval and expected rate of each; one that is collected no more leaves no number behind."""
    told = Told()
    told.telemetry.account_groups([AccountGroup("11", "Branch"), AccountGroup("22")])
    first, second = told.status()["account_groups"]
    assert first["outlook"] is None
    told.telemetry.planned({"11": Outlook(42.04, 1 / 3, 1.234, False), "22": Outlook(900.0, 0.0001, 1.0, True)})
    first, second = told.status()["account_groups"]
    assert first["outlook"] == {"poll_interval_s": 42.0, "arrivals_per_s": 0.333333, "pages": 1.23, "day_learnt": False}
    assert second["outlook"]["day_learnt"] is True
    assert told.metric("poll_interval_seconds", aid="11") == 42.04
    assert told.metric("expected_sessions_per_second", aid="22") == 0.0001
    told.telemetry.account_groups([AccountGroup("11", "Branch")])
    assert told.metric("poll_interval_seconds", aid="22") is None
    assert told.metric("expected_sessions_per_second", aid="22") is None
    assert told.metric("poll_interval_seconds", aid="11") == 42.04
    told.metrics.forget(["acme"])
    assert told.metric("poll_interval_seconds", aid="11") is None
