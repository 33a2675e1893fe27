"""``make downtime``: a collector on a real Kafka is killed, is away for half an hour, and comes back. On real time.

What must come of it: while it catches up, the newest sessions go on flowing; then ``te-collector gaps`` shows no gap,
and another library's read_committed reader finds every session once. Late commits and other tenants go on all the time.

    python -m tests.downtime [--before MINUTES] [--minutes MINUTES]
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from collector.local_kafka import LocalKafkaSettings, local_kafka
from tests.chaos.verify import Follower, judge, read_everything, truth_of, wait_until_settled
from tests.end_to_end.processes import Simulator, clean_environment, command, simulator
from tests.workers.fleet import Worker, free_port

PREFIX = "downtime"
LATE_MAX_S = 300
"""Latest commit after a session took place: half of the overlap, so that the end need not wait for sweeps."""

API = (
    *("--account-groups", "6", "--sessions-per-minute", "2000", "--history-s", "300", "--bad-share", "0.001"),
    *("--quota", "60", "--other-tenants-per-minute", "10", "--late-share", "0.02", "--late-max-s", str(LATE_MAX_S)),
)
"""A tight quota: 48 requests a minute for the newest sessions, with twenty pages of overlap a round, and for what was
missed, sixty pages."""

OVERDUE_S = 900.0
"""``poll_interval_max`` by default: after so long without a walk there is a gap."""

GAPS_SHOWN = 3
READY_S = 120.0
CAUGHT_UP_S = 3_600.0
COMPLETE_S = 1_800.0
LOOK_EVERY_S = 1.0
ASK_GAPS_EVERY_S = 10.0
TELL_EVERY_S = 60.0
COMMAND_S = 60.0


@dataclass
class Scene:
    """What runs.

    Args:
        api: the simulated API.
        worker: the collector.
        config: its configuration file.
        bootstrap_servers: of Kafka.
        began_at: when, by the monotonic clock.
    """

    api: Simulator
    worker: Worker
    config: Path
    bootstrap_servers: str
    began_at: float

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        passed = int(time.monotonic() - self.began_at)
        print(f"{passed // 60:3d}:{passed % 60:02d}  {text}", flush=True)

    def wait_for(self, what: str, condition: Callable[[], bool], deadline_s: float) -> float:
        """Wait for a condition; returns how long it took, seconds."""
        began = time.monotonic()
        while not condition():
            assert self.worker.is_running, f"the collector ended; its log:\n{self.worker.tail()}"
            waited = time.monotonic() - began
            assert waited < deadline_s, f"not within {deadline_s} s: {what}; the collector said:\n{self.worker.tail()}"
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    def gaps(self) -> list[str]:
        """What ``te-collector gaps`` lists, one text a gap."""
        done = subprocess.run(
            command("gaps", "--config", str(self.config), "--json"),
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        groups = json.loads(done.stdout)["account_groups"]
        return [f"{g['aid']} {x['start']} to {x['end']} {x['why']}" for g in groups for x in g["gaps"]]


def main(arguments: list[str]) -> int:
    """Run it; returns 0 when nothing is missing, nothing is there twice, and no gap is left."""
    parser = argparse.ArgumentParser(prog="make downtime")
    parser.add_argument("--before", type=float, default=4.0, help="minutes of collecting before it is killed")
    parser.add_argument("--minutes", type=float, default=30.0, help="minutes without a collector")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="te-collector-downtime-") as name, ExitStack() as stack:
        folder = Path(name)
        portal = stack.enter_context(start_blocking_portal("asyncio", name="kafka"))
        kafka = local_kafka(LocalKafkaSettings(data_dir=folder / "kafka"))
        cluster = stack.enter_context(portal.wrap_async_context_manager(kafka))
        api = stack.enter_context(simulator(*API, log=folder / "simulator.log"))
        config = folder / "collector.toml"
        config.write_text(
            f'initial_lookback = "10m"\n[kafka]\nbootstrap_servers = "{cluster.bootstrap_servers}"\n'
            f'topic_prefix = "{PREFIX}"\n[[organizations]]\nname = "acme"\nbase_url = "{api.base_url}"\n'
            f'token = "simulator-token"\npoll_interval_min = "5s"\n'
        )
        worker = Worker("collector", config, folder, free_port(), {})
        scene = Scene(api, worker, config, cluster.bootstrap_servers, time.monotonic())
        worker.start()
        stack.callback(lambda: worker.kill() if worker.is_running else None)
        return _run(scene, options.before * 60.0, options.minutes * 60.0)


def _run(scene: Scene, before_s: float, away_s: float) -> int:
    scene.wait_for("the collector to be ready", lambda: scene.worker.get("/readyz") is not None, READY_S)
    scene.say("the collector is ready")
    _let_pass(scene, before_s, "collecting")
    scene.wait_for("no gap before it is killed", lambda: not scene.gaps(), CAUGHT_UP_S)
    scene.worker.kill()
    scene.say(f"killed with -9, without a gap until here; away for {away_s / 60:g} minutes")
    _let_pass(scene, away_s, "away")
    gaps = scene.gaps()
    assert gaps or away_s <= OVERDUE_S, "away for longer than poll_interval_max, and no gap is told"
    scene.say(f"te-collector gaps: {len(gaps)}: {', '.join(gaps[:GAPS_SHOWN])}")
    fresh_s, caught_up_s = _come_back(scene)
    scene.api.control("freeze", {})
    truth = truth_of(scene.api.control("truth"))
    with closing(Follower(scene.bootstrap_servers, PREFIX)) as follower:

        def is_complete() -> bool:
            follower.read_on()
            return follower.has_all_of(truth)

        complete_s = scene.wait_for("every session", is_complete, COMPLETE_S)
    scene.say(f"every session is there, {complete_s:.0f} s after the last one was offered")
    scene.wait_for("no gap at the end", lambda: not scene.gaps(), CAUGHT_UP_S)
    rejected = scene.api.control("stats")["organizations"][0]["tooManyRequests"]
    scene.worker.stop()
    wait_until_settled(scene.bootstrap_servers, PREFIX)
    groups = {*truth.sessions.values(), *truth.bad_rows.values()}
    verdict = judge(truth, read_everything(scene.bootstrap_servers, PREFIX), groups)
    print(verdict.line())
    print(
        f"away {away_s / 60:g} minutes: a session of a round that began after the start came {fresh_s:.1f} s after it, "
        f"caught up after {caught_up_s:.0f} s, answers 429: {rejected}, gaps left: 0, "
        f"missing {verdict.expected - verdict.delivered}, twice {verdict.duplicates}"
    )
    return 0 if verdict.is_clean else 1


def _let_pass(scene: Scene, duration_s: float, word: str) -> None:
    """Time passes on the real clock: that is what this run is for."""
    end_at = time.monotonic() + duration_s
    while (left_s := end_at - time.monotonic()) > 0:
        scene.say(f"{word}, {left_s / 60:.1f} minutes left")
        time.sleep(min(left_s, TELL_EVERY_S))


def _come_back(scene: Scene) -> tuple[float, float]:
    """Start it again, and follow it until no gap is left.

    Returns how long after the start the first session came whose round began after it, and when no
    gap was left; seconds.
    """
    back, back_at = time.time(), time.monotonic()
    scene.worker.start()
    scene.say("started again")
    fresh_s: float | None = None
    with closing(Follower(scene.bootstrap_servers, PREFIX)) as follower:
        deadline = back_at + CAUGHT_UP_S
        asked_at = -math.inf
        while True:
            assert scene.worker.is_running, f"the collector ended; its log:\n{scene.worker.tail()}"
            assert time.monotonic() < deadline, f"not caught up within {CAUGHT_UP_S} s:\n{scene.worker.tail()}"
            follower.read_on()
            if fresh_s is None and any(_round_of(identifier) >= back for identifier in follower.events):
                fresh_s = time.monotonic() - back_at
                scene.say(f"the newest sessions flow again, {fresh_s:.1f} s after the start")
            if fresh_s is not None and time.monotonic() > asked_at + ASK_GAPS_EVERY_S:
                asked_at = time.monotonic()
                gaps = scene.gaps()
                scene.say(f"te-collector gaps: {len(gaps)}; {_catching_up(scene.worker)}")
                if not gaps:
                    return fresh_s, time.monotonic() - back_at
            time.sleep(LOOK_EVERY_S)


def _round_of(identifier: str) -> int:
    """When the round of a session began, seconds: the simulator writes it into the id."""
    return int(identifier.split(":")[1])


def _catching_up(worker: Worker) -> str:
    """How much is left, as the status page says."""
    status = worker.status()
    groups = [] if status is None else [g for o in status["organizations"] for g in o["account_groups"]]
    behind = [group["catch_up"] for group in groups if group["catch_up"] is not None]
    if not behind:
        return "nothing to catch up"
    guesses = [one["time_left_s"] for one in behind if one["time_left_s"] is not None]
    left = f"{sum(one['left_s'] for one in behind) / 60:.0f} minutes of sessions left in {len(behind)} account groups"
    return f"{left}, done in {max(guesses):.0f} s by the status page" if guesses else left


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
