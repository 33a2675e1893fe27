"""What an operator sees of coverage: watermark, gaps, catching up, lateness, and what is lost."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from collector.core.collect import Collected
from collector.core.ledger import Ledger
from collector.core.ledger_entries import Lost, Why
from collector.core.model import AccountGroup, EpochS, Lane, MonoS, Window
from collector.core.progress import Progress, ProgressSettings
from collector.core.seen import Marks
from collector.core.walk import UNTOLD, Walk
from collector.telemetry.catch_up import CatchUpPace
from collector.telemetry.logs import configure_logs
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.status import StatusBoard
from tests.core.pages import EPOCH

pytestmark = pytest.mark.usefixtures("logging_as_before")

SETTINGS = ProgressSettings(3_600, 600, 86_400, 3_600)


class Telemetry:
    """An organization's telemetry at a time of the test's choice; local and server time agree."""

    def __init__(self) -> None:
        self.now = float(EPOCH)
        self.metrics = Metrics(CollectorRegistry())
        self.board = StatusBoard("1", lambda: self.now, lambda: MonoS(self.now))
        self.observer = OrganizationTelemetry("acme", self.metrics, self.board)

    def published(self, progress: Progress, lane: Lane, events: int = 0) -> None:
        """A page became durable."""
        walk = Walk("1", Window(EPOCH - 60, EPOCH), lane=lane, started_at=EpochS(EPOCH))
        collected = Collected(
            records=[],
            marks=Marks(),
            events=events,
            revisions=0,
            sample=(),
            rounds=(),
            commits=UNTOLD,
            seen=0,
            dead_letters={},
            notices={},
            examples={},
            lateness=(),
            belongs_elsewhere=False,
        )
        self.observer.published(walk, collected, progress, 0)
        self.observer.walk_finished(walk, progress, 0.1)

    def group(self) -> dict[str, object]:
        """What the status says of the account group."""
        (group,) = self.board.snapshot()["organizations"][0]["account_groups"]
        return group

    def metric(self, name: str) -> float:
        """The value of a metric of the account group."""
        value = self.metrics.registry.get_sample_value(f"collector_{name}", {"organization": "acme", "aid": "1"})
        assert value is not None, generate_latest(self.metrics.registry).decode()
        return value


def behind(left_s: int) -> Progress:
    """Fresh, with a gap of ``left_s`` that ends an hour ago, and an hour lost two days ago."""
    end = EPOCH - 3_600
    ledger = Ledger(
        EPOCH - 200_000,
        EPOCH - 150_000,
        600,
        walked=((EPOCH - 150_000, end - left_s), (end, EPOCH - 10)),
        settled=((EPOCH - 150_000, end - left_s), (end, EPOCH - 610)),
        hot_from=EPOCH - 610,
        lost=(Lost(EPOCH - 200_000, EPOCH - 196_400, Why.RETENTION, "", EPOCH),),
    )
    return Progress("progress/acme/1", SETTINGS, ledger)


def test_status_and_metrics_show_coverage(capsys: pytest.CaptureFixture[str]) -> None:
    """Watermark, gaps with reasons, what is left and for how long, the overlap: as JSON and as metrics."""
    configure_logs("info", "json")
    telemetry = Telemetry()
    telemetry.published(behind(7_200), Lane.CATCH_UP)
    telemetry.now += 60.0
    telemetry.published(behind(3_600), Lane.CATCH_UP)
    group = telemetry.group()
    assert group["covered_until"] == EPOCH - 7_200
    assert group["behind_s"] == 70.0
    assert (group["gap_s"], group["lost_s"]) == (3_600, 3_600)
    assert [gap["why"] for gap in group["gaps"]] == ["retention", "missed"]  # type: ignore[attr-defined]
    assert group["catch_up"] == {"left_s": 3_600, "time_left_s": 60.0}
    assert group["overlap_s"] == 600
    assert telemetry.metric("covered_until_timestamp_seconds") == EPOCH - 7_200
    assert telemetry.metric("walked_until_timestamp_seconds") == EPOCH - 10
    assert telemetry.metric("catch_up_left_seconds") == 3_600
    assert telemetry.metric("lost_seconds") == 3_600
    assert telemetry.metric("overlap_seconds") == 600
    telemetry.published(behind(0), Lane.CATCH_UP)
    assert telemetry.group()["catch_up"] is None
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(line["event"], line.get("left_s"), line.get("time_left_s")) for line in lines]
    assert told == [("catching up", 7_200, None), ("catching up", 3_600, 60), ("caught up", None, None)]


def test_what_is_restored_is_shown_and_its_account_groups_are_news_when_they_are_listed() -> None:
    """Coverage at once, from the durable state; the line about account groups comes with their list, as ever."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        telemetry.observer.progressed("1", behind(7_200))
        assert lines == []
        assert (telemetry.group()["covered_until"], telemetry.group()["lost_s"]) == (EPOCH - 10_800, 3_600)
        assert telemetry.metric("lost_seconds") == 3_600
        telemetry.observer.account_groups([AccountGroup("1", "Branch")])
        telemetry.observer.account_groups([AccountGroup("1", "Branch")])
    assert [(line["event"], line["added"]) for line in lines] == [("account groups", ["1"])]
    assert (telemetry.group()["name"], telemetry.group()["lost_s"]) == ("Branch", 3_600)
    telemetry.observer.account_groups([])
    assert telemetry.board.snapshot()["organizations"][0]["account_groups"] == []


def test_before_the_first_answer_the_local_clock_tells_what_is_missing() -> None:
    """A monotonic clock begins anywhere: what was restored is measured on the wall clock until then."""
    board = StatusBoard("1", lambda: float(EPOCH), lambda: MonoS(100.0))
    OrganizationTelemetry("acme", Metrics(CollectorRegistry()), board).progressed("1", behind(7_200))
    (group,) = board.snapshot()["organizations"][0]["account_groups"]
    assert (group["behind_s"], group["gap_s"], group["catch_up"]["left_s"]) == (10.0, 7_200, 7_200)


def test_what_only_sweeps_find_is_counted() -> None:
    """Late sessions show as a metric, so that an operator can tell whether the overlap is too short."""
    telemetry = Telemetry()
    telemetry.published(behind(0), Lane.SWEEP, events=3)
    telemetry.published(behind(0), Lane.HOT, events=5)
    assert telemetry.metric("found_by_sweeps_total") == 3


def test_what_is_lost_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """An error with the range, why, and where to look."""
    configure_logs("info", "json")
    Telemetry().observer.ranges_lost("1", [Lost(EPOCH, EPOCH + 3_600, Why.RETENTION, "", EPOCH)])
    (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert (line["level"], line["event"], line["why"]) == ("error", "sessions are lost", "retention")
    assert line["start"] == "2023-11-14T23:00:00.000Z"
    assert "te-collector gaps" in line["hint"]


def test_an_estimate_begins_anew_when_more_is_missing() -> None:
    """No guess before something was done; a new gap is a new estimate; the end is the end."""
    pace = CatchUpPace()
    pace.observe(1_000, MonoS(0.0))
    assert pace.time_left_s(MonoS(0.0)) is None
    pace.observe(500, MonoS(10.0))
    assert pace.time_left_s(MonoS(10.0)) == 10.0
    assert pace.time_left_s(MonoS(16.0)) == 4.0
    pace.observe(5_000, MonoS(20.0))
    assert pace.time_left_s(MonoS(20.0)) is None
    pace.observe(0, MonoS(30.0))
    assert (pace.left_s, pace.time_left_s(MonoS(30.0))) == (0, None)
