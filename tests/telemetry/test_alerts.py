"""The alert rules and the tables of `deploy/README.md`: they name what there is, and tell the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from ruamel.yaml import YAML

from collector.telemetry.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES: list[dict[str, Any]] = [
    rule
    for group in YAML(typ="safe", pure=True).load(DEPLOY / "prometheus" / "alerts.yml")["groups"]
    for rule in group["rules"]
]
OF_THE_TARGET = {"instance", "job"}
"""Labels that Prometheus adds to whatever it scrapes."""


def registered() -> dict[str, tuple[set[str], str]]:
    """Every metric by the name that is asked for: its labels, and what it says."""
    made = [one for one in vars(Metrics(CollectorRegistry())).values() if isinstance(one, Counter | Gauge | Histogram)]
    return {
        f"{one._name}_total" if isinstance(one, Counter) else one._name: (set(one._labelnames), one._documentation)
        for one in made
    }


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the README."""
    text = (DEPLOY / "README.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines[2:]]


def named(text: str) -> list[str]:
    """The metrics that a text names; of a histogram, the metric of its buckets."""
    return [name.removesuffix("_bucket") for name in re.findall(r"\bcollector_\w+", text)]


def test_every_metric_is_explained() -> None:
    """In the order of the code, with its labels and what it says: a new one is missed at once."""
    told = [
        (name.strip("`"), set(filter(None, labels.split(", "))), says) for name, labels, says in rows("Every metric")
    ]
    assert told == [(name, labels, says) for name, (labels, says) in registered().items()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_can_fire(rule: dict[str, Any]) -> None:
    """It asks for metrics that there are, by labels that they have, and tells labels that its result has."""
    known = registered()
    by = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))))
    metrics = named(rule["expr"])
    assert metrics
    for name in metrics:
        labels = known[name][0] | ({"le"} if f"{name}_bucket" in rule["expr"] else set())
        assert by <= labels, name
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= (by or OF_THE_TARGET)
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_table_tells_the_alerts_that_there_are() -> None:
    """Each with the metric and the time of its rule."""
    units = {"min": "m", "h": "h"}
    told = {
        name.strip("`"): (
            named(when)[0],
            [number + units[unit] for number, unit in re.findall(r"for (\d+) (\w+)$", when)],
        )
        for name, when, _means, _do in rows("What to watch")
    }
    assert told == {rule["alert"]: (named(rule["expr"])[0], [rule["for"]] if "for" in rule else []) for rule in RULES}
