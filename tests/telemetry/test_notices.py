"""What must not go by in silence: late and changed sessions are counted, shown, and said once an account group."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from collector.core.collect import Choices, PageCollector
from collector.core.event import EventForm
from collector.core.identity import Late, Revisions
from collector.core.model import EpochS, MonoS, Window
from collector.core.progress import Progress, ProgressSettings
from collector.core.seen import SeenSessions, hour_of
from collector.core.walk import Walk
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.status import StatusBoard
from tests.core.pages import AID, EPOCH, SCHEMA, VALUE_BYTES_MAX, make_page, make_provenance, regular_id, suffix, v6_row

NAME = "acme"


class Told:
    """An organization's telemetry, told of pages as the loop tells it, every event published that can be."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.board = StatusBoard("1", lambda: float(EPOCH), lambda: MonoS(0.0))
        self.telemetry = OrganizationTelemetry(NAME, Metrics(self.registry), self.board)
        choices = Choices(Revisions.PUBLISH, Late.PUBLISH)
        self.collector = PageCollector(SCHEMA, EventForm(SCHEMA.identifier), VALUE_BYTES_MAX, choices)
        self.seen = {aid: SeenSessions(f"seen/{aid}/", aid, hour_of(EPOCH)) for aid in (AID, "9")}

    def page(self, aid: str, *contents: int, date: int = EPOCH) -> None:
        seen, identifier = self.seen[aid], regular_id(date, suffix(1), aid)
        rows = [v6_row(identifier, date, numberOfPages=number) for number in contents]
        collected = self.collector.collect(make_page(rows), seen, make_provenance(aid=aid))
        seen.apply(seen.write(collected.marks))
        progress = Progress("progress", ProgressSettings(60, 60, 60))
        walk = Walk(aid, Window(EPOCH - 60, EPOCH), started_at=EpochS(EPOCH))
        self.telemetry.published(walk, collected, progress, len(seen))

    def metric(self, name: str, aid: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"collector_{name}_total", {"organization": NAME, "aid": aid, **labels})


def test_changes_are_counted_and_said_once_an_account_group() -> None:
    """Each content counts; the log has one line a kind and account group, with an example and what to do."""
    told = Told()
    with capture_logs() as lines:
        for aid in (AID, "9"):
            told.page(aid, 1)
            told.page(aid, 2, 3)
            told.page(aid, 4, 3)
    changed = [line for line in lines if "changed" in line["event"]]
    assert [(line["aid"], line["example"]) for line in changed] == [
        (AID, regular_id(EPOCH, suffix(1))),
        ("9", regular_id(EPOCH, suffix(1), "9")),
    ]
    assert all("events.revisions" in line["hint"] for line in changed)
    for aid in (AID, "9"):
        assert told.metric("sessions_changed", aid, kind="changed") == 3
        assert told.metric("revisions_published", aid) == 3
        assert told.metric("events_published", aid) == 4
        assert told.metric("sessions_late", aid) is None
    [organization] = told.board.snapshot()["organizations"]
    assert [(g["changed"], g["revisions"], g["late"]) for g in organization["account_groups"]] == [
        ({"changed": 3}, 3, 0),
        ({"changed": 3}, 3, 0),
    ]


def test_late_sessions_are_counted_and_say_nothing_about_freshness() -> None:
    """However old they are, the account group does not look slow."""
    told = Told()
    with capture_logs() as lines:
        told.page(AID, 1, date=EPOCH - 7_200)
        told.page(AID, 1, date=EPOCH - 7_200)
    assert [line["kind"] for line in lines] == ["late"]
    assert told.metric("sessions_late", AID) == 1
    [group] = told.board.snapshot()["organizations"][0]["account_groups"]
    assert (group["late"], group["events"], group["freshness_s"]) == (1, 1, None)
