"""``make chaos``: the product under faults on a real Kafka, and the controls that show that the suite can see.

    python -m tests.chaos [--seed N] [--minutes M] [--brokers 1|3] [--workers N] [--only MODE ...]

Ends with 1 when a promise was broken, when a planned fault did not happen, when a worker died by itself, or when a
control passed although it was broken. Files stay only then.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import anyio

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafkaSettings, local_kafka
from tests.chaos.api import Load
from tests.chaos.modes import FENCING_ALONE, GOOD, NO_FENCING, NO_RESTORE, STATE_FIRST, Mode, control_plan
from tests.chaos.plan import WEIGHTS, PlanSettings, make_plan
from tests.chaos.program import PROJECT
from tests.chaos.report import details, row, table
from tests.chaos.run import SESSION_TIMEOUT_S, Outcome, Run, execute

MODES = (GOOD, FENCING_ALONE, NO_FENCING, NO_RESTORE, STATE_FIRST)
MINUTES = 3.0
WORKERS = 3
SEED_MAX = 1_000_000
LONG_MINUTES = 1.0
PAUSE_MAX_S = 3.0
"""Between two faults of a long run: many of them last, so that there is hardly a quiet moment."""

LONG_LOAD_PER_MINUTE = 1_200
"""Sessions a minute of each organization in a long run."""


def main() -> int:
    """Run the modes one after the other; returns 0 when all of them are as they must be."""
    options = _options()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(SEED_MAX)
    print(f"seed={seed} minutes={options.minutes:g} brokers={options.brokers} code={_code_version()}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="te-collector-chaos-"))
    wanted = [mode for mode in MODES if not options.only or mode.name in options.only]
    try:
        outcomes = anyio.run(_run_all, wanted, seed, options, folder)
    except BaseException:
        print(f"broken off with seed {seed}; logs are in {folder}", flush=True)
        raise
    print(table(row(outcome) for outcome in outcomes))
    if code_changed := _code_version() != options.code:
        print("the code was changed during the run: it proves nothing")
    if code_changed or len(outcomes) < len(wanted) or any(outcome.problems for outcome in outcomes):
        print(f"FAILED with seed {seed}; logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run_all(modes: list[Mode], seed: int, options: argparse.Namespace, folder: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    settings = LocalKafkaSettings(
        data_dir=folder / "kafka",
        brokers=options.brokers,
        # Three brokers share two cores: one that is late with a heartbeat is not dead.
        properties=FAST_TEST_PROPERTIES if options.brokers == 1 else {"log.cleaner.backoff.ms": "300"},
        heap_mb=384,
        report=print,
    )
    async with local_kafka(settings) as cluster:
        for mode in modes:
            run = _run_of(mode, seed, options, folder / mode.name)
            print(f"\n{mode.name}: {mode.expectation.value} expected; {len(run.plan)} faults planned", flush=True)
            outcome = await execute(run, cluster.bootstrap_servers, cluster)
            outcomes.append(outcome)
            print(details(outcome), flush=True)
    return outcomes


def _run_of(mode: Mode, seed: int, options: argparse.Namespace, folder: Path) -> Run:
    folder.mkdir()
    if mode is GOOD:
        settings = PlanSettings(60 * options.minutes, SESSION_TIMEOUT_S, PAUSE_MAX_S, WEIGHTS)
        load = Load(organizations=6, sessions_per_minute=options.load, history_s=600, page_size=200, quota=3000)
        workers = options.workers
    else:
        settings, load, workers = control_plan(mode, SESSION_TIMEOUT_S), Load(), mode.workers
    return Run(
        mode=mode,
        plan=make_plan(seed, settings),
        workers=workers,
        load=load,
        seed=seed,
        prefix=f"chaos-{mode.name}",
        folder=folder,
        say=lambda text: print(text, flush=True),
        is_long=mode is GOOD and options.minutes >= LONG_MINUTES,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the plan; without it a random one, printed")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="pauses of the good run, added up")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--load", type=int, default=LONG_LOAD_PER_MINUTE, help="sessions a minute and organization")
    parser.add_argument("--only", nargs="*", choices=[mode.name for mode in MODES], help="these modes only")
    options = parser.parse_args()
    options.code = _code_version()
    return options


def _code_version() -> str:
    """Commit, and a digest of what differs from it."""
    commit = _git("rev-parse", "--short", "HEAD").strip() or "unknown"
    changes = _git("diff", "HEAD", "--", "collector", "tests/chaos")
    return f"{commit}+{sha256(changes.encode()).hexdigest()[:8]}" if changes else commit


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


if __name__ == "__main__":
    sys.exit(main())
