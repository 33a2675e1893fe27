"""Runs one simulation from a seed, and tells what came of it.

Rule: everything random comes from the seed, the clock jumps, the scheduler is pinned: the same seed is the same run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

import anyio
from structlog.testing import capture_logs

from collector import shard
from collector.core import watchdog
from collector.core.ledger_record import decode
from collector.core.model import Lane
from collector.core.progress import ProgressSettings
from collector.core.windows import Sweep
from collector.organization import gate, loop
from collector.service.assembly import shard_of
from tests.core.pages import EPOCH, make_collector
from tests.organization.world import run as run_on_virtual_time
from tests.simulation import worker
from tests.simulation.api import Order, SimulatedApi
from tests.simulation.arrivals import DAY_S, Climate, Session, make_sessions
from tests.simulation.cluster import FakeCluster
from tests.simulation.faults import ABSENCE_DAYS_MIN, CALM_S, Phase, make_plan
from tests.simulation.stage import Stage
from tests.simulation.trace import Trace, clock
from tests.simulation.truth import (
    SETTLED_S,
    SWEEP_EVERY_S,
    PromiseBroken,
    Reader,
    require_quota_kept,
    require_state_bounded,
    require_visited,
)
from tests.simulation.worker import OrganizationPlan, Parts

SHARDS = 4
NAMES = ("acme", "globex", "initech", "umbrella")
WORKERS_MAX = 4
POLLS_FIRST_DAY, POLLS_A_DAY, POLLS_A_DAY_OF_A_MONTH = 400, 600, 250
POLL_INTERVAL_MIN_S, POLL_INTERVAL_MAX_S = 60.0, 1_200.0
"""How often account groups are polled: so that a day takes seconds and a month a minute or two."""

LONG_DAYS = 7.0
"""From so many days on a day has fewer polls, pages and sessions."""

PLAN_LINES_SHOWN = 40
TRACE_LINES_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to simulate.

    Args:
        seed: decides everything else.
        days: of virtual time.
        workers: processes at the same time, at most; None: 1 to ``WORKERS_MAX``, by the seed.
    """

    seed: int
    days: float
    workers: int | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a simulation; ``broken`` says which promise did not hold, with seed, plan and the last things."""

    scenario: Scenario
    broken: str | None = None
    figures: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    duration_s: float = 0.0

    def line(self) -> str:
        """One line for people."""
        figures = " ".join(f"{name}={value}" for name, value in self.figures.items())
        verdict = "broken" if self.broken else "kept"
        return f"seed={self.scenario.seed} {verdict} {figures} digest={self.digest} in {self.duration_s:.1f} s"


def simulate(scenario: Scenario) -> Outcome:
    """Run a simulation to its end, or to the first broken promise."""
    began = time.monotonic()
    simulation = _Simulation(scenario)
    outcome = Outcome(scenario)
    try:
        # Logs tell people what the trace tells too.
        with capture_logs(), _looks_rarely() if scenario.days >= LONG_DAYS else nullcontext():
            run_on_virtual_time(simulation.main, scenario.seed)
    except (Exception, BaseExceptionGroup, PromiseBroken) as error:
        outcome.broken = simulation.report(_first(error))
    outcome.figures, outcome.digest = simulation.figures(), simulation.trace.digest()
    outcome.duration_s = time.monotonic() - began
    return outcome


@contextmanager
def _looks_rarely() -> Iterator[None]:
    """Nobody looks again whether something was missed but rarely: that is most of the work of a month.

    What needs such a look to go on hangs for longer than without: nothing gets easier.
    """
    with (
        patch.object(gate, "LOOK_AGAIN_S", 600.0),
        patch.object(loop, "LOOK_AGAIN_S", 600.0),
        patch.object(loop, "LIST_EVERY_S", 900.0),
        patch.object(shard, "LOOK_EVERY_S", 60.0),
        patch.object(watchdog, "LOOK_EVERY_S", 60.0),
        patch.object(worker, "LOOK_EVERY_S", 600.0),
    ):
        yield


class _Simulation:
    """Everything of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.trace = Trace()
        rng, more = Random(f"scene {scenario.seed}"), Random(f"more of scene {scenario.seed}")
        days = scenario.days
        # In short runs nobody is away for long enough.
        self._retention_s = int(more.choice([2.0, 3.0, 30.0]) * DAY_S) if days >= ABSENCE_DAYS_MIN else 30 * DAY_S
        self._progress = ProgressSettings(
            initial_lookback_s=rng.choice([3_600, 7_200]),
            overlap_s=rng.choice([600, 1_800, 3_600]),
            late_horizon_s=rng.choice([6, 24]) * 3_600,
            overlap_max_s=3_600,
            sweeps=(Sweep(3_600, 900 if days < LONG_DAYS else 1_800), Sweep(None, SWEEP_EVERY_S)),
            api_retention_s=int(self._retention_s),
        )
        groups = [
            [str(100 * number + group) for group in range(rng.randint(1, 5 if days < LONG_DAYS else 3))]
            for number in range(1, 1 + rng.randint(2, len(NAMES)))
        ]
        # Requests cost most of a run's time: a month is polled less often than a day.
        polls = (POLLS_FIRST_DAY + (POLLS_A_DAY if days < LONG_DAYS else POLLS_A_DAY_OF_A_MONTH) * days) / days
        poll_interval_s = min(max(POLL_INTERVAL_MIN_S, DAY_S * sum(map(len, groups)) / polls), POLL_INTERVAL_MAX_S)
        self._apis: list[SimulatedApi] = []
        plans, everything = [], []
        for name, aids in zip(NAMES, groups, strict=False):
            share = rng.choice([0.5, 0.8, 0.9])
            pace = 60.0 * len(aids) / poll_interval_s
            api, sessions = self._organization(name, aids, share, pace, Random(f"{name} {scenario.seed}"))
            everything.extend(sessions)
            self._apis.append(api)
            plans.append(
                OrganizationPlan(api, shard_of(name, SHARDS), rng.randint(1, 3), poll_interval_s, share, self._progress)
            )
        self.workers = scenario.workers or rng.randint(1, WORKERS_MAX)
        self._cluster = FakeCluster(Random(f"cluster {scenario.seed}"), self.trace)
        self._reader = Reader(self._apis, everything, self.trace, self._progress.overlap_s)
        self._cluster.readers.append(self._reader.read)
        self._parts = Parts(
            self._cluster,
            plans,
            make_collector(),
            self.trace,
            Random(f"workers {scenario.seed}"),
            SHARDS,
            self._reader.published,
        )
        self._befell: Counter[str] = Counter()
        self._plan: list[Phase] = []
        self._now = 0.0
        self._checkpoints = 0
        self._state_keys = self._state_bytes = 0

    def _organization(
        self, name: str, aids: list[str], share: float, pace: float, rng: Random
    ) -> tuple[SimulatedApi, list[Session]]:
        climate = Climate(
            sessions_per_day=rng.choice([200.0, 600.0, 1_500.0]) * (0.5 if self._scenario.days >= LONG_DAYS else 2.0),
            late_share=rng.choice([0.05, 0.3]),
            overlap_s=self._progress.overlap_s,
            late_horizon_s=self._progress.late_horizon_s,
        )
        # Some hours of it are never promised: backfills may ask for them.
        history_s = float(self._progress.initial_lookback_s) + (12 * 3_600.0 if self._scenario.days >= 2 else 0.0)
        a_minute = climate.sessions_per_day / DAY_S * 60.0
        page_rows = int(a_minute * climate.overlap_s / 60.0 * rng.choice([0.3, 1.0, 3.0]))
        page_rows = max(5 if self._scenario.days < LONG_DAYS else 25, page_rows)
        # Pages a minute: polls, what their overlap shows, and walks of the last hour and of the whole horizon now and
        # then. A quota that is never enough proves nothing.
        again = a_minute * (60.0 / 15.0 + climate.late_horizon_s / 3_600.0)
        pages = 2.0 * pace + (pace / len(aids) * a_minute * 3_600.0 / 60.0 + again) / page_rows
        sessions = make_sessions(aids, self._scenario.days, history_s, climate, rng)
        api = SimulatedApi(
            name,
            aids,
            sessions,
            rng=rng,
            trace=self.trace,
            limit=max(6, int(pages / share * rng.choice([2.0, 5.0, 40.0]))),
            quota_share=share,
            page_rows=page_rows,
            by_round=rng.random() < 0.5,
            anchored=rng.random() < 0.5,
            retention_s=self._retention_s,
        )
        more = Random(f"order of {name} {self._scenario.seed}")
        api.switches.order = more.choice([Order.OLDEST_FIRST, Order.OLDEST_FIRST, *Order])
        return api, sessions

    async def main(self) -> None:
        """Phase after phase; ends at the last checkpoint."""
        seed = self._scenario.seed
        stage = Stage(self._parts, self.workers, Random(f"fates {seed}"))
        self._befell = stage.done
        shards = sorted({plan.shard for plan in self._parts.organizations})
        self._plan = make_plan(self._scenario.days, self.workers, shards, self._apis, Random(f"plan {seed}"))
        async with anyio.create_task_group() as tasks:
            stage.run(tasks)
            for phase in self._plan:
                for fault in phase.faults:
                    await self._sleep_until(min(fault.at, phase.calm_from))
                    if fault.at < phase.calm_from:
                        self.trace.add(f"fault: {fault.text}")
                        fault.happen(stage)
                await self._sleep_until(phase.calm_from)
                self.trace.add("calm")
                stage.calm()
                await self._sleep_until(phase.end)
                self._check(stage)
            tasks.cancel_scope.cancel()

    async def _sleep_until(self, time_s: float) -> None:
        await anyio.sleep(max(0.0, time_s - anyio.current_time()))
        self._now = anyio.current_time()

    def _check(self, stage: Stage) -> None:
        """A checkpoint: what was promised is there."""
        now = self._now
        self.trace.add("checkpoint")
        self._checkpoints += 1
        for api in self._apis:
            require_visited(api, now - SETTLED_S)
            lead_s = stage.leads_s.get(api.name, 0.0)
            self._reader.require_nothing_missing(api, self._progress, lead_s, now - SETTLED_S)
            state = self._cluster.state_of(shard_of(api.name, SHARDS))
            self._reader.require_loss_told(api, state)
            self._reader.require_backfilled(api, state, EPOCH + now - CALM_S)
            require_quota_kept(api)
        for number in stage.group.shards:
            state = self._cluster.state_of(number)
            on_it = [plan.api for plan in self._parts.organizations if plan.shard == number]
            require_state_bounded(state, on_it, self._progress)
            self._state_keys = max(self._state_keys, len(state))
            self._state_bytes = max(self._state_bytes, sum(map(len, state.values())))
        self._reader.passed()

    def figures(self) -> dict[str, int]:
        """What a run came to."""
        apis, cluster, walks = self._apis, self._cluster, self._parts.walks
        orders = Counter[Order]()
        for api in apis:
            orders += api.pages_by_order
        return {
            "checkpoints": self._checkpoints,
            "workers": self.workers,
            "sessions": len(self._reader.sessions),
            "events": self._reader.events.total(),
            "late": self._reader.late,
            "dead_letters": self._reader.letters.total(),
            **{lane.replace("-", "_"): walks[lane] for lane in Lane},
            **{f"pages_{order.name.lower()}": orders[order] for order in Order},
            "backfills_done": len(self._reader.jobs_done),
            "lost_ranges": self._lost_ranges(),
            "requests": sum(api.requests for api in apis),
            "429": sum(api.refused for api in apis),
            "transactions": cluster.transactions,
            "failed": cluster.failures,
            "fenced": cluster.fencings,
            "starts": self._parts.starts,
            **{kind: self._befell[kind] for kind in ("kills", "stops", "freezes", "downtimes")},
            "take_overs": cluster.take_overs,
            "restores": cluster.restored,
            "tombstones": cluster.tombstones,
            "faults": sum(len(phase.faults) for phase in self._plan),
            "state_keys": self._state_keys,
            "state_bytes": self._state_bytes,
            "lines": self.trace.count,
        }

    def _lost_ranges(self) -> int:
        states = [self._cluster.state_of(number) for number in range(SHARDS)]
        return sum(len(decode(v).lost) for state in states for k, v in state.items() if k.startswith("progress/"))

    def report(self, error: BaseException) -> str:
        """Everything that is needed to understand a failure, and to see it again."""
        scenario = self._scenario
        now = float(self.trace.last_time())
        happened = [str(fault) for phase in self._plan for fault in phase.faults if fault.at <= now]
        again = f"make simulate-days DAYS={scenario.days:g} SEED={scenario.seed}"
        if scenario.workers is not None:
            again += f" WORKERS={scenario.workers}"
        return "\n".join(
            [
                f"{type(error).__name__}: {error}",
                f"at {clock(now)}; again: {again}",
                f"settings: {self._progress}, {self.workers} workers",
                *(
                    f"  {plan.api.name}: shard {plan.shard}, account groups {', '.join(plan.api.aids)}, "
                    f"every {plan.poll_interval_s:.0f} s, {plan.concurrency} walks at once, "
                    f"quota {plan.api.usual_limit}, share {plan.quota_share}, pages of {plan.api.page_rows}"
                    for plan in self._parts.organizations
                ),
                f"plan of faults until then, the last {PLAN_LINES_SHOWN} of {len(happened)}:",
                *(f"  {line}" for line in happened[-PLAN_LINES_SHOWN:]),
                "the last things that happened:",
                *(f"  {line}" for line in self.trace.last(TRACE_LINES_SHOWN)),
            ]
        )


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
