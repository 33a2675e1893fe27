"""`deploy/grafana/dashboard.json`: it asks for what there is, and every panel says what it shows."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tests.telemetry.test_alerts import DEPLOY, OF_THE_TARGET, named, registered

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
COLUMNS = 24
"""Of Grafana's grid."""


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    """Metrics of the collector, by labels that they have; a legend names what the result is by."""
    known = registered()
    assert panel["description"].endswith(".")
    assert panel["targets"]
    for target in panel["targets"]:
        expression = target["expr"]
        by = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", expression))))
        chosen = set(re.findall(r"(\w+)=~", expression))
        metrics = named(expression)
        assert metrics
        for name in metrics:
            labels = known[name][0] | OF_THE_TARGET | ({"le"} if f"{name}_bucket" in expression else set())
            assert by <= labels, name
            assert chosen <= labels, name
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= by
        assert target["datasource"]["uid"] == "${datasource}"


def test_what_is_chosen_above_exists() -> None:
    """The lists of organizations and account groups come from metrics that have these labels."""
    known = registered()
    lists = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(lists) == ["datasource", "organization", "aid"]
    for label in ("organization", "aid"):
        (metric,) = named(lists[label]["definition"])
        assert label in known[metric][0]
    used = set(re.findall(r"\$(\w+)", json.dumps([panel["targets"] for panel in PANELS])))
    assert used <= {*lists, "__rate_interval"}


def test_panels_do_not_lie_on_each_other() -> None:
    """Each has its own number and its own place."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
