"""``make bench``: the collector next to plain loops, on this machine.

Ends by itself: rounds stop when the time is over, and each process has a deadline.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from collector.local_kafka import LocalKafkaError, LocalKafkaSettings, local_kafka
from tests.bench import report
from tests.bench.contest import Results, RunFailed, Runner, api, arena, run_module
from tests.bench.layout import PAGE_ROWS, RECORDS_MAX, pages_a_group
from tests.bench.stages import PAGES_MAX

RECORDS = 200_000
ROUNDS = 3
TIME_LIMIT_S = 210.0
"""For the rounds; with start and stages less than five minutes. More records have more time."""

STAGES_TIMEOUT_S = 120.0

_PLAIN = "tests.bench.plain"
_PRODUCT = "tests.bench.product"
_NOTHING = "no dedupe, no validation, not restartable"
_EXACTLY_ONCE = "exactly once, validated, CloudEvents headers, restartable"

PLAIN_RUNNERS = (
    Runner("plain loop, send", _PLAIN, ("send", "lz4"), _NOTHING),
    Runner("plain loop, batch lz4", _PLAIN, ("send_batch", "lz4"), _NOTHING),
    Runner("plain loop, batch zstd", _PLAIN, ("send_batch", "zstd"), _NOTHING),
    Runner("plain loop, batch", _PLAIN, ("send_batch", "none"), f"{_NOTHING}; uncompressed"),
)
COLLECTORS = (
    Runner("collector", _PRODUCT, (), _EXACTLY_ONCE, own_topics=True),
    Runner(
        "collector, 90 % seen",
        _PRODUCT,
        (),
        "the same; nine rows in ten were published by an earlier process",
        own_topics=True,
        overlap=True,
    ),
)
RUNNERS = (*PLAIN_RUNNERS, *COLLECTORS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help=f"sessions a run (at most {RECORDS_MAX})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each runner runs")
    parser.add_argument("--gzip", action="store_true", help="the API compresses its pages")
    parser.add_argument("--only", default="", help="runners whose name begins so")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    if not 1 <= given.records <= RECORDS_MAX or given.rounds < 1:
        parser.error(f"--records is 1 to {RECORDS_MAX}, --rounds at least 1")
    return given


async def measure(
    runners: list[Runner], directory: Path, *, records: int, rounds: int, compressed: bool
) -> tuple[Results, dict[str, float]]:
    """Start API and broker, run everything.

    Returns:
        All runs, and CPU seconds a page by stage.
    """
    kafka = LocalKafkaSettings(data_dir=directory / "kafka", properties={"log.segment.delete.delay.ms": "1000"})
    async with api(directory / "pages", records, compressed=compressed) as origin, local_kafka(kafka) as cluster:
        place = arena(origin, cluster.bootstrap_servers, cluster.brokers[0].pid, records)
        deadline = time.monotonic() + TIME_LIMIT_S * max(1.0, records / RECORDS)
        results = await place.contest(runners, rounds=rounds, deadline=deadline)
        pages = min(PAGES_MAX, pages_a_group(records))
        command = [sys.executable, "-m", "tests.bench.stages", f"{origin}/all", cluster.bootstrap_servers]
        stages = json.loads(await run_module([*command, "bench-stages", str(pages)], STAGES_TIMEOUT_S))
    return results, stages


def main() -> int:
    """Measure and print."""
    given = _arguments()
    runners = [runner for runner in RUNNERS if runner.name.startswith(given.only)]
    print("  ".join(f"{name} {value}" for name, value in report.machine().items()), flush=True)
    with TemporaryDirectory(prefix="te-collector-bench-") as directory:
        try:
            results, stages = anyio.run(
                lambda: measure(
                    runners, Path(directory), records=given.records, rounds=given.rounds, compressed=given.gzip
                )
            )
        except (RunFailed, LocalKafkaError) as error:
            print(f"make bench: {error}", file=sys.stderr)
            return 1
    rounds = len(results.runs[runners[0].name])
    print(f"\n{results.rows:,} sessions, {PAGE_ROWS:,} a page, {rounds} rounds, medians\n")
    print(report.table(runners, results))
    print(f"\nThe collector's stages, one after the other\n\n{report.stage_table(stages)}")
    if given.json is not None:
        given.json.write_text(json.dumps(report.document(runners, results, stages), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
