"""``make simulate-days``: simulations of days and months, seed after seed.

python -m tests.simulation --days 30 --seed 1 --seeds 20 [--workers 3] [--jobs 2]

Ends with 1 when a promise was broken; says with which seed, and everything that is needed to see it again.
"""

import argparse
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation.run import Scenario, simulate

SEED_MAX = 1_000_000


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
    broken = []
    with ProcessPoolExecutor(min(options.jobs, len(scenarios))) as pool:
        for future in as_completed([pool.submit(simulate, scenario) for scenario in scenarios]):
            outcome = future.result()
            print(outcome.line(), flush=True)
            if outcome.broken is not None:
                broken.append(outcome.scenario.seed)
                print(outcome.broken, flush=True)
    print(f"{len(scenarios) - len(broken)} of {len(scenarios)} seeds kept every promise, {options.days:g} days each")
    if broken:
        print(f"broken: {', '.join(map(str, sorted(broken)))}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
