"""The promise under faults, and the proof that these tests would see it broken."""

from pathlib import Path

import pytest

from tests.chaos import aims
from tests.chaos.api import Load
from tests.chaos.modes import GOOD, NO_RESTORE, STATE_FIRST, Mode, control_plan
from tests.chaos.plan import Kind, PlanSettings, make_plan
from tests.chaos.report import details
from tests.chaos.run import SESSION_TIMEOUT_S, Run, execute
from tests.kafka_fixtures import KafkaCluster, PrivateKafka

SEED = 20261125

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

KINDS = (
    Kind.KILL,
    Kind.FREEZE,
    Kind.STOP,
    Kind.AIMED_KILL,
    Kind.BROKER_KILL,
    Kind.BROKER_FREEZE,
    Kind.ERRORS,
    Kind.GARBAGE,
    Kind.CLOCK,
)
POINTS = (aims.BARRIER, aims.RESTORE, aims.BEFORE_COMMIT, aims.IN_COMMIT, aims.AFTER_COMMIT)


@pytest.mark.anyio
async def test_every_session_is_there_once_whatever_happens(private_kafka: PrivateKafka, tmp_path: Path) -> None:
    """Two workers, a broker and an API in trouble: nothing lost, nothing twice, nothing invented, no worker dies."""
    settings = PlanSettings(0.0, SESSION_TIMEOUT_S, pause_max_s=1.0, kinds=dict.fromkeys(KINDS, 1.0), points=POINTS)
    async with private_kafka(brokers=1) as cluster:
        run = Run(GOOD, make_plan(SEED, settings), 2, Load(), SEED, "chaos", tmp_path / "run", print)
        run.folder.mkdir()
        outcome = await execute(run, cluster.bootstrap_servers, cluster)
    assert not outcome.problems, details(outcome)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", [NO_RESTORE, STATE_FIRST], ids=lambda mode: mode.name)
async def test_a_broken_collector_is_seen(
    mode: Mode, kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """Without the restore there are duplicates; with the state committed before its events there are losses."""
    plan = make_plan(SEED, control_plan(mode, SESSION_TIMEOUT_S))
    run = Run(mode, plan, mode.workers, Load(), SEED, kafka_topic_prefix, tmp_path, print)
    outcome = await execute(run, kafka_cluster.bootstrap_servers)
    assert not outcome.problems, details(outcome)
