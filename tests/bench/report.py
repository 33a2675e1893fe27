"""Writes the results, for people and as JSON. The one rule: medians, and nothing that was not measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from collector.local_kafka import KAFKA_VERSION
from tests.bench.contest import Results, Run, Runner
from tests.bench.layout import PAGE_ROWS

_LIBRARIES = ("aiokafka", "anyio", "cramjam", "httpx", "jsonschema-rs", "orjson")
_MILLION = 1_000_000


class Figures(NamedTuple):
    """One runner's medians.

    Args:
        cpu_s: CPU seconds a million rows, without what a start costs.
        cpu_s_all: the same of each round.
        start_cpu_s: CPU seconds of a process that finds no session: loading, connecting, ending.
        records_per_s: by the clock, from the first connection to the last acknowledgement.
        loaded_mib: resident memory when everything is loaded.
        peak_mib: highest resident memory, the largest of all rounds.
        broker_cpu_s: the broker's CPU seconds a million rows, its own compiling included.
    """

    cpu_s: float
    cpu_s_all: tuple[float, ...]
    start_cpu_s: float
    records_per_s: float
    loaded_mib: float
    peak_mib: float
    broker_cpu_s: float


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "system": f"{platform.system()} {platform.machine()}, {_processors()}",
        "Python": platform.python_version(),
        "Kafka": KAFKA_VERSION,
        **{name: version(name) for name in _LIBRARIES},
    }


def figures(runner: Runner, results: Results) -> Figures:
    """The medians of one runner."""
    runs = results.runs[runner.name]
    start = results.starts[runner.name]
    scale = _MILLION / results.rows
    cpu_s = tuple((run.used["cpu_s"] - start.used["cpu_s"]) * scale for run in runs)
    return Figures(
        cpu_s=median(cpu_s),
        cpu_s_all=cpu_s,
        start_cpu_s=start.used["cpu_s"],
        records_per_s=median(results.rows / run.used["wall_s"] for run in runs),
        loaded_mib=median(run.used["loaded_mib"] for run in runs),
        peak_mib=max(run.used["peak_mib"] for run in runs),
        broker_cpu_s=median(run.broker_cpu_s * scale for run in runs),
    )


def table(runners: Sequence[Runner], results: Results) -> str:
    """Every runner on a line, held against the first."""
    by_name = {runner.name: figures(runner, results) for runner in runners}
    first = by_name[runners[0].name]
    width = max(len(name) for name in by_name)
    head = f"{'':{width}}  CPU-s/million  ratio  records/s  pages/s  start CPU-s  loaded MiB  peak MiB"
    lines = [head]
    for name, its in by_name.items():
        lines.append(
            f"{name:{width}}  {its.cpu_s:13.1f}  {its.cpu_s / first.cpu_s:5.2f}  {its.records_per_s:9,.0f}  "
            f"{its.records_per_s / PAGE_ROWS:7.1f}  {its.start_cpu_s:11.2f}  {its.loaded_mib:10.1f}  "
            f"{its.peak_mib:8.1f}"
        )
    lines.append("")
    lines.extend(f"{runner.name:{width}}  {runner.promises}" for runner in runners)
    return "\n".join(lines)


def stage_table(stages: Mapping[str, float]) -> str:
    """Every stage on a line: CPU a page and a record, and the speed of the stage alone."""
    total_s = sum(stages.values())
    lines = [f"{'stage':14}  CPU ms/page  us/record  share  records/s alone"]
    for name, cpu_s in [*stages.items(), ("all", total_s)]:
        lines.append(
            f"{name:14}  {cpu_s * 1e3:11.2f}  {cpu_s * 1e6 / PAGE_ROWS:9.2f}  {cpu_s / total_s:5.0%}  "
            f"{PAGE_ROWS / cpu_s if cpu_s > 0 else float('inf'):15,.0f}"
        )
    return "\n".join(lines)


def document(runners: Sequence[Runner], results: Results, stages: Mapping[str, float]) -> dict[str, Any]:
    """Everything as plain data, each run included."""
    return {
        "machine": machine(),
        "rows": results.rows,
        "runners": {
            runner.name: {
                "promises": runner.promises,
                **figures(runner, results)._asdict(),
                "runs": [_plain(run) for run in results.runs[runner.name]],
            }
            for runner in runners
        },
        "starts": {name: _plain(run) for name, run in results.starts.items()},
        "stage_cpu_s_a_page": dict(stages),
    }


def _plain(run: Run) -> dict[str, Any]:
    return {**run.used, "broker_cpu_s": run.broker_cpu_s}


def _processors() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "processor unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else "processor unknown"
