"""The schedule against the optimum, in minutes of virtual time; ``make bench-freshness`` runs days."""

from __future__ import annotations

import pytest

from tests.freshness.driver import Driver
from tests.freshness.policies import closed_form, informed, ours
from tests.freshness.report import picture
from tests.freshness.scenarios import RATIO_MAX, Scenario, run

SHORT = Scenario("days and bursts, 50 account groups", 50, 2)


def test_sessions_wait_hardly_longer_than_they_must() -> None:
    """Two hours with bursts, one of them measured: within 1.10 of the computed optimum, without an answer 429, and far
    from what polling all alike gives."""
    result = run(SHORT)
    assert not result.misses
    assert result.ours.rejected == 0
    assert result.ours.delays.mean_s < 0.75 * result.uniform.delays.mean_s
    assert "(c) optimum" in result.table()


def test_constant_rates_gain_what_theory_says() -> None:
    """The computed optimum is (sum sqrt l)^2 / (n sum l) of the uniform delay, and the run comes close to it."""
    result = run(Scenario("constant rates, 50 account groups", 50, 2, days=False, bursts=None))
    assert not result.misses
    as_run = result.ours.delays.mean_s / result.uniform.delays.mean_s
    assert as_run == pytest.approx(closed_form(50), rel=0.06)
    assert "0.723 in theory" in result.against_closed_form()


def test_the_benchmark_can_miss() -> None:
    """A schedule that is far from the optimum is found out: told wrong rates, ours misses the aim."""
    trace = SHORT.trace()
    wrong = informed(trace)
    wrong._plan._true_rate = lambda aid, now: 5.0 * (1 + int(aid))  # type: ignore[attr-defined]  # the quiet for busy
    misled = Driver(trace, wrong, overlap_s=60.0, measured_from_s=3_600.0).run()
    result = run(SHORT)
    result.ours = misled
    result.judge()
    assert misled.delays.mean_s > RATIO_MAX * result.optimum_s
    assert len(result.misses) == 1


def test_every_session_is_counted_once() -> None:
    """The driver loses no session and counts none twice: what was visible a while before the end was read."""
    trace = Scenario("short", 20, 1).trace()
    outcome = Driver(trace, ours(), overlap_s=60.0, measured_from_s=0.0).run()
    assert outcome.delays.sessions <= trace.sessions
    late = sum(at > trace.duration_s - 120.0 for committed in trace.committed for at in committed)
    assert outcome.delays.sessions >= trace.sessions - late
    drawn = picture("x", {"te-collector": outcome.hourly_mean_s * 2}, {"te-collector": outcome.delays})
    assert drawn.startswith("<svg")
    assert drawn.count("<polyline") == 2
