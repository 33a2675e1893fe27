"""The metrics as a whole: what is not collected any more leaves none behind, and documents name those there are."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry, Gauge, Metric

from collector.core.budget import RequestBudget
from collector.core.model import Answer, MonoS, Quota
from collector.core.server_clock import ServerClock
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.ownership import OwnershipTelemetry
from collector.telemetry.shard import ShardTelemetry
from collector.telemetry.status import StatusBoard

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in (*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md"), *(PROJECT / "deploy").rglob("*"))
    if path.is_file()
)


def set_every_gauge(metrics: Metrics) -> None:
    """Each gauge of the process that has labels, for two organizations of two account groups, or for two shards."""
    values = {
        "organization": ("acme", "other"),
        "aid": ("1", "2"),
        "state": ("running", "waiting"),
        "shard": ("3", "4"),
    }
    for gauge in vars(metrics).values():
        if isinstance(gauge, Gauge) and gauge._labelnames:
            for labels in product(*(values[name] for name in gauge._labelnames)):
                gauge.labels(*labels).set(1)


def series(metrics: Metrics, **labels: str) -> list[str]:
    """Names of all gauges of the registry that say anything of these."""
    families: list[Metric] = list(metrics.registry.collect())
    return [
        family.name
        for family in families
        if family.type == "gauge"
        for sample in family.samples
        if labels.items() <= sample.labels.items()
    ]


def test_nothing_of_a_forgotten_organization_stays() -> None:
    """Every gauge with the label is gone, of this organization only."""
    metrics = Metrics(CollectorRegistry())
    set_every_gauge(metrics)
    assert len(series(metrics, organization="acme")) == len(series(metrics, organization="other")) >= 25
    metrics.forget(["acme"])
    assert series(metrics, organization="acme") == []
    assert len(series(metrics, organization="other")) >= 25
    assert series(metrics, shard="3")


def test_nothing_of_a_forgotten_account_group_stays() -> None:
    """Every gauge with the label is gone, of this account group of this organization only."""
    metrics = Metrics(CollectorRegistry())
    set_every_gauge(metrics)
    metrics.forget_groups("acme", ["1"])
    assert series(metrics, organization="acme", aid="1") == []
    for labels in ({"organization": "acme", "aid": "2"}, {"organization": "other", "aid": "1"}):
        assert len(series(metrics, **labels)) >= 10
    assert "collector_organization_up" in series(metrics, organization="acme")


def test_a_shard_that_is_not_shown_any_more_leaves_no_gauge() -> None:
    """Its last organization was taken off and it has come to its end: it is not assigned for ever."""
    metrics = Metrics(CollectorRegistry())
    board = StatusBoard("1", lambda: 0.0, lambda: MonoS(0.0))
    ownership, shards = OwnershipTelemetry(metrics, board), ShardTelemetry(metrics, board)
    ownership.placed({3: ["acme"], 4: ["other"]})
    ownership.assigned(frozenset({3, 4}))
    shards.restored(3, 0, 0.1)
    ownership.refused(4, RuntimeError("put the state back"), 120.0)
    ownership.placed({})
    assert (list(board.shards), series(metrics, shard="4")) == ([3], [])  # 4 was not owned
    assert len(series(metrics, shard="3")) == 2
    ownership.released(4, ["other"], is_lost=True)
    ownership.released(3, ["acme"], is_lost=True)
    assert (list(board.shards), series(metrics, shard="3"), series(metrics, shard="4")) == ([], [], [])
    assert metrics.registry.get_sample_value("collector_restores_total", {"shard": "3"}) == 1


def test_answers_429_are_counted_once() -> None:
    """The status has one number for them, whoever asks."""
    metrics = Metrics(CollectorRegistry())
    board = StatusBoard("1", lambda: 0.0, lambda: MonoS(0.0))
    observer = OrganizationTelemetry("acme", metrics, board)
    budget, clock = RequestBudget(0.8, Random(0)), ServerClock(0.0, MonoS(0.0))
    for status in (200, 429, 429):
        observer.answered(Answer(status, Quota(240, 0, None)), budget, clock, MonoS(0.0))
    (organization,) = board.snapshot()["organizations"]
    assert organization["rate_limited"] == organization["requests"]["429"] == 2
    assert metrics.registry.get_sample_value("collector_rate_limited_total", {"organization": "acme"}) == 2


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_metric_that_a_document_names_exists(document: Path) -> None:
    """Whoever makes an alert from a document gets one that can fire."""
    families: list[Metric] = list(Metrics(CollectorRegistry()).registry.collect())
    known = {
        name
        for family in families
        for suffix in {"counter": ("_total",), "histogram": ("", "_bucket", "_sum", "_count")}.get(family.type, ("",))
        for name in [family.name + suffix]
    }
    named = re.findall(r"\bcollector_[a-z0-9_]+\b", document.read_text("utf-8"))
    assert sorted(set(named) - known) == []
