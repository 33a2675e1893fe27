"""Days of collecting in seconds: whatever fails, what was promised is there, once; and a seed is a run.

Many more seeds and longer: ``make simulate-days DAYS=30 SEEDS=20``.
"""

from __future__ import annotations

import anyio
import pytest

from tests.kafka.publications import publication
from tests.organization.world import run
from tests.simulation.cluster import FakeCluster, FakeSink, Step
from tests.simulation.process import Killed, Process
from tests.simulation.run import Scenario, simulate

pytestmark = pytest.mark.timeout(600)  # seconds of work, on machines that are shared


@pytest.mark.parametrize("seed", [2, 3])
def test_a_day_of_faults(seed: int) -> None:
    """Crashes, fencing, unknown outcomes, outages, quotas, late sessions: nothing is lost, twice or invented."""
    outcome = simulate(Scenario(seed, days=0.6))
    assert outcome.broken is None, outcome.broken
    assert outcome.figures["checkpoints"] >= 2
    assert outcome.figures["faults"] > 20


def test_the_same_seed_is_the_same_run() -> None:
    """Two runs of one seed do the same things at the same moments; another seed does others."""
    first, second, other = (simulate(Scenario(seed, days=0.25, workers=3)) for seed in (5, 5, 6))
    assert (first.digest, first.figures) == (second.digest, second.figures)
    assert first.figures["lines"] > 500
    assert first.digest != other.digest


@pytest.mark.parametrize("step", list(Step))
def test_what_a_killed_process_does_has_no_effect(step: Step) -> None:
    """Killed at a step, a shield and a ``finally`` block around it: of its calls from then on, none does anything."""
    at_death: list[dict[str, bytes]] = []

    async def live(cluster: FakeCluster, process: Process) -> None:
        sink = FakeSink(cluster, 0, process)
        try:
            with anyio.CancelScope(shield=True):
                await sink.open()
                await sink.publish(publication(["a"], {"n": b"1"}))
        finally:
            at_death.append(dict(cluster.state_of(0)))
            with pytest.raises(Killed):
                await FakeSink(cluster, 0, process).open()
            with pytest.raises(Killed):
                await sink.publish(publication(["b"], {"n": b"2"}))
            await sink.close()

    async def main() -> FakeCluster:
        cluster, process = FakeCluster(), Process()

        def reached(sink: FakeSink, at: Step) -> None:
            if at is step:
                process.kill()

        cluster.reached = reached
        with pytest.raises(Killed):
            await live(cluster, process)
        return cluster

    cluster = run(main)
    assert at_death == [cluster.state_of(0)]
    assert cluster.opened == (0 if step is Step.TAKING_OVER else 1)
