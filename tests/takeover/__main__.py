"""``make takeover``: three workers share ten organizations, one is killed twenty times. How long is nobody there?

For each organization of the killed worker: the longest silence, which is from its last event to the first one that
another worker wrote, as a read_committed reader sees them. It depends on ``session_timeout`` above all, here 10 s.

    python -m tests.takeover [KILLS] [kill|stop]     stop: SIGTERM instead of kill -9
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from collector.local_kafka import LocalKafkaSettings, local_kafka
from tests.takeover.arrivals import Arrivals
from tests.workers.fleet import Fleet, Worker, fleet

KILLS = 20
WORKERS = 3
SEED = 20261125

WITHIN_S = 60.0
SESSIONS = ("--sessions-per-minute", "600")
"""Of each organization: with ten a second, silence is not for want of sessions."""

STEADY_S = 3.0
"""Organizations poll every second: so long each of them has been collected for."""


def main(arguments: list[str]) -> int:
    """Measure, and print each kill and the figures of all."""
    kills = int(arguments[0]) if arguments else KILLS
    planned = arguments[1:] == ["stop"]
    moments = random.Random(SEED)
    gaps: list[float] = []
    with tempfile.TemporaryDirectory(prefix="te-collector-takeover-") as folder:
        settings = LocalKafkaSettings(data_dir=Path(folder) / "kafka")
        with (
            start_blocking_portal("asyncio", name="kafka") as portal,
            portal.wrap_async_context_manager(local_kafka(settings)) as cluster,
            fleet(Path(folder), cluster.bootstrap_servers, "takeover", options=SESSIONS) as workers,
        ):
            everybody = [workers.worker() for _ in range(WORKERS)]
            workers.wait_until_shared(*everybody)
            with Arrivals(cluster.bootstrap_servers, "takeover.user-sessions") as arrivals:
                for number in range(1, kills + 1):
                    workers.wait_until_shared(*everybody)
                    time.sleep(STEADY_S + moments.random())  # the moment of death is what varies
                    gaps += _take_over(workers, moments.choice(everybody), arrivals, f"[{number}/{kills}]", planned)
            workers.wait_until_shared(*everybody)
            workers.check_every_session_once()
    word = "SIGTERM" if planned else "kill -9"
    print(
        f"{word} {kills} times, {len(gaps)} organizations taken over: from the last event of the old worker to the "
        f"first of the new one p50 {statistics.median(gaps):.1f} s, worst {max(gaps):.1f} s; every session once"
    )
    return 0


def _take_over(workers: Fleet, victim: Worker, arrivals: Arrivals, label: str, planned: bool) -> list[float]:
    """End a worker, wait until the others collect all its organizations, start it again."""
    names = sorted(victim.organizations())
    others = [worker for worker in workers.workers if worker is not victim]
    began_at = time.monotonic()
    if planned:
        victim.stop()
    else:
        victim.kill()
    workers.wait_for("the others", lambda: workers.is_shared(*others), WITHIN_S)
    shared_at = time.monotonic()
    workers.wait_for("their events", lambda: all(arrivals.first_after(name, shared_at) for name in names), WITHIN_S)
    gaps = [arrivals.longest_silence(name, began_at) for name in names]
    print(
        f"{label} {victim.name}, {len(names)} organizations: " + ", ".join(f"{gap:.1f} s" for gap in gaps), flush=True
    )
    victim.start()
    return gaps


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
