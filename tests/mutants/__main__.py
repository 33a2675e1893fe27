"""``make mutants``: seeds every mistake, one after the other, and prints which test caught it.

``python -m tests.mutants [WORD ...]``: only mistakes whose name or file contains one of the words.
``python -m tests.mutants --named``: without the many small ones of lines.json.
"""

import sys
import tempfile
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafkaSettings, local_kafka
from tests.mutants.mistakes import LINES, MISTAKES
from tests.mutants.runner import Mistake, Verdict, try_mistake


def main(words: list[str]) -> int:
    """Try the mistakes; returns 0 when every one of them was caught."""
    known = [m for m in MISTAKES if m not in LINES] if "--named" in words else MISTAKES
    wanted = [word.lower() for word in words if word != "--named"]
    chosen = [m for m in known if not wanted or any(word in m.name.lower() or word in m.file for word in wanted)]
    with tempfile.TemporaryDirectory(prefix="te-collector-mutants-") as folder:
        workspace = Path(folder)
        settings = LocalKafkaSettings(data_dir=workspace / "kafka", properties=FAST_TEST_PROPERTIES)
        with (
            start_blocking_portal("asyncio", name="kafka") as portal,
            portal.wrap_async_context_manager(local_kafka(settings)) as cluster,
        ):
            environment = {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers, "HYPOTHESIS_PROFILE": "mistakes"}
            verdicts = [_try(number, len(chosen), m, workspace, environment) for number, m in enumerate(chosen, 1)]
    missed = [verdict for verdict in verdicts if not verdict.caught]
    for verdict in missed:
        print(f"NOT CAUGHT: {verdict.mistake.name} ({verdict.mistake.file}): {verdict.detail}")
    print(f"{len(verdicts) - len(missed)} passed, {len(missed)} failed")
    return 1 if missed or not verdicts else 0


def _try(number: int, total: int, mistake: Mistake, workspace: Path, environment: dict[str, str]) -> Verdict:
    verdict = try_mistake(mistake, workspace, environment)
    word = "caught" if verdict.caught else "NOT CAUGHT"
    print(f"[{number:2}/{total}] {word:10} {verdict.duration_s:5.1f} s  {mistake.name}: {verdict.detail}", flush=True)
    return verdict


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
