"""The benchmark itself: it measures runs that really delivered."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafkaSettings, local_kafka
from tests.bench import report
from tests.bench.__main__ import COLLECTORS, PLAIN_RUNNERS
from tests.bench.contest import RunFailed, Runner, api, arena

RECORDS = 4_000
"""A page for each account group."""

RUNNERS = [PLAIN_RUNNERS[0], PLAIN_RUNNERS[2], *COLLECTORS]
NEVER = float("inf")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.anyio
async def test_every_runner_delivers_each_session_once(tmp_path: Path) -> None:
    """Plain loops and collector bring every session to Kafka; a run that delivers something else does not count."""
    kafka = LocalKafkaSettings(data_dir=tmp_path / "kafka", properties=FAST_TEST_PROPERTIES)
    async with api(tmp_path / "pages", RECORDS, compressed=True) as origin, local_kafka(kafka) as cluster:
        place = arena(origin, cluster.bootstrap_servers, cluster.brokers[0].pid, RECORDS)
        results = await place.contest(RUNNERS, rounds=1, deadline=NEVER)
        expecting_more = arena(origin, cluster.bootstrap_servers, psutil.Process().pid, 2 * RECORDS)
        with pytest.raises(RunFailed, match="8000 sessions were to arrive once each"):
            await expecting_more.contest([_renamed(RUNNERS[1])], rounds=1, deadline=NEVER)
    assert results.rows == RECORDS
    assert {name: len(runs) for name, runs in results.runs.items()} == {runner.name: 1 for runner in RUNNERS}
    assert report.table(RUNNERS, results).count("exactly once") == 1


def _renamed(runner: Runner) -> Runner:
    return Runner("expecting more", runner.module, runner.arguments, runner.promises)
