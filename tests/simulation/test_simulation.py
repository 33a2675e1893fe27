"""Days of collecting in seconds: whatever fails, what was promised is there, once; and a seed is a run.

Many more seeds and longer: ``make simulate-days DAYS=30 SEEDS=20``.
"""

from __future__ import annotations

import pytest

from tests.simulation.run import Scenario, simulate

pytestmark = pytest.mark.timeout(600)  # seconds of work, on machines that are shared


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_day_of_faults(seed: int) -> None:
    """Crashes, fencing, unknown outcomes, outages, quotas, late sessions: nothing is lost, twice or invented."""
    outcome = simulate(Scenario(seed, days=1))
    assert outcome.broken is None, outcome.broken
    assert outcome.figures["checkpoints"] >= 2
    assert outcome.figures["faults"] > 20


def test_the_same_seed_is_the_same_run() -> None:
    """Two runs of one seed do the same things at the same moments; another seed does others."""
    first, second, other = (simulate(Scenario(seed, days=0.25, workers=3)) for seed in (5, 5, 6))
    assert (first.digest, first.figures) == (second.digest, second.figures)
    assert first.figures["lines"] > 500
    assert first.digest != other.digest
