"""``make simulate-days``: simulations of days and months, seed after seed.

python -m tests.simulation --days 30 --seed 1 --seeds 20 [--workers 3] [--jobs 2]

Ends with 1 when a promise was broken; says with which seed, and everything that is needed to see it again. It also does
when its runs, months in all, did not do some of what can go wrong at all: then they prove less than they seem to.
"""

import argparse
import gc
import os
import random
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation.api import Order
from tests.simulation.faults import ABSENCE_DAYS_MIN
from tests.simulation.run import Scenario, simulate

SEED_MAX = 1_000_000

DAYS_THAT_SHOW_ALL = 200.0
"""So many virtual days, in runs of ten days and more, meet everything that is planned; fewer may not, by chance."""

EXERCISED = (
    *("hot", "sweep", "catch_up", "backfill", "late", "dead_letters", "429", "failed", "fenced"),
    *(
        "kills",
        "stops",
        "freezes",
        "downtimes",
        "take_overs",
        "restores",
        "tombstones",
        "backfills_done",
        "lost_ranges",
    ),
    *(f"pages_{order.name.lower()}" for order in Order),
)
"""Figures that must not be 0 over all runs: each lane, kind of crash and order, restores, lateness, retention."""

NO_SUMS = ("workers", "state_keys", "state_bytes")


def main(arguments: list[str]) -> int:
    """Run the seeds; returns 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="simulate-days", description="deterministic simulation on virtual time")
    parser.add_argument("--days", type=float, default=30.0, help="virtual days a run")
    parser.add_argument("--seed", type=int, help="the first seed; without it a random one, printed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, counted up from the first")
    parser.add_argument("--workers", type=int, help="worker processes at the same time; without it the seed decides")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at the same time")
    options = parser.parse_args(arguments)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(SEED_MAX)
    scenarios = [Scenario(first + number, options.days, options.workers) for number in range(options.seeds)]
    broken, total = [], Counter[str]()
    with ProcessPoolExecutor(min(options.jobs, len(scenarios)), initializer=_collect_garbage_rarely) as pool:
        for future in as_completed([pool.submit(simulate, scenario) for scenario in scenarios]):
            outcome = future.result()
            print(outcome.line(), flush=True)
            total.update(outcome.figures)
            if outcome.broken is not None:
                broken.append(outcome.scenario.seed)
                print(outcome.broken, flush=True)
    print(f"{len(scenarios) - len(broken)} of {len(scenarios)} seeds kept every promise, {options.days:g} days each")
    print("in all: " + " ".join(f"{name}={value}" for name, value in total.items() if name not in NO_SUMS))
    if broken:
        print(f"broken: {', '.join(map(str, sorted(broken)))}")
    idle = [name for name in EXERCISED if not total[name]]
    shows_all = options.days >= ABSENCE_DAYS_MIN and options.days * len(scenarios) >= DAYS_THAT_SHOW_ALL
    if idle and shows_all:
        print(f"proves too little: never happened: {', '.join(idle)}")
    return 1 if broken or (idle and shows_all) else 0


def _collect_garbage_rarely() -> None:
    """A month's sessions are some hundred thousand objects that never go."""
    gc.set_threshold(50_000, 20, 100)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
