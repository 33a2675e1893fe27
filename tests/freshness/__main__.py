"""``make bench-freshness``: how long sessions wait, next to polling all alike and to the computed optimum.

In virtual time, over the collector's own budget, clock and schedule (see `tests.freshness.driver`); the same figures on
every machine. Exits with 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.freshness.report import picture
from tests.freshness.scenarios import SCENARIOS, Result, all_misses, run


def main() -> int:
    """Run what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-freshness", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--informed", action="store_true", help="also ours, told the true rates: the cost of measuring")
    parser.add_argument("--picture", type=Path, help="write the picture of the last scenario with 500 account groups")
    arguments = parser.parse_args()
    results = []
    for scenario in SCENARIOS:
        if arguments.only in scenario.name:
            began = time.monotonic()
            result = run(scenario, with_informed=arguments.informed)
            results.append(result)
            print(result.table(), flush=True)
            if scenario.constant:
                print(result.against_closed_form())
            print(
                f"  {result.ours.delays.sessions:,} sessions, {time.monotonic() - began:.0f} s of computing\n",
                flush=True,
            )
    if arguments.picture:
        arguments.picture.write_text(
            _picture([result for result in results if result.scenario.account_groups == 500][-1])
        )
    misses = all_misses(results)
    print("\n".join(misses) if misses else "every aim is met")
    return 1 if misses or not results else 0


def _picture(result: Result) -> str:
    heading = f"{result.scenario.name}, 240 requests a minute at a share of 0.8: how long a session waits"
    hourly = {
        "polling all alike": result.uniform.hourly_mean_s[1:],
        "te-collector": result.ours.hourly_mean_s[1:],
        "optimum": result.optimum_hourly_s,
    }
    return picture(heading, hourly, {"polling all alike": result.uniform.delays, "te-collector": result.ours.delays})


if __name__ == "__main__":
    raise SystemExit(main())
