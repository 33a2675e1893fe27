"""``make mutants``: seeds every mistake, one after the other, and prints which test caught it.

    python -m tests.mutants [WORD ...]     only mistakes whose name contains one of the words
"""

import sys
import tempfile
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafkaSettings, local_kafka
from tests.mutants.mistakes import MISTAKES
from tests.mutants.runner import Verdict, try_mistake


def main(words: list[str]) -> int:
    """Try the mistakes; returns 0 when every one of them was caught."""
    chosen = [m for m in MISTAKES if not words or any(word.lower() in m.name.lower() for word in words)]
    with tempfile.TemporaryDirectory(prefix="te-collector-mutants-") as folder:
        workspace = Path(folder)
        settings = LocalKafkaSettings(data_dir=workspace / "kafka", properties=FAST_TEST_PROPERTIES)
        with (
            start_blocking_portal("asyncio", name="kafka") as portal,
            portal.wrap_async_context_manager(local_kafka(settings)) as cluster,
        ):
            environment = {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers}
            verdicts = [_try(number, len(chosen), m, workspace, environment) for number, m in enumerate(chosen, 1)]
    missed = [verdict for verdict in verdicts if not verdict.caught]
    for verdict in missed:
        print(f"NOT CAUGHT: {verdict.mistake.name} ({verdict.mistake.file}): {verdict.detail}")
    print(f"{len(verdicts) - len(missed)} passed, {len(missed)} failed")
    return 1 if missed or not verdicts else 0


def _try(number: int, total: int, mistake, workspace: Path, environment: dict[str, str]) -> Verdict:  # type: ignore[no-untyped-def]
    verdict = try_mistake(mistake, workspace, environment)
    word = "caught" if verdict.caught else "NOT CAUGHT"
    print(f"[{number:2}/{total}] {word:10} {verdict.duration_s:5.1f} s  {mistake.name}: {verdict.detail}", flush=True)
    return verdict


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
