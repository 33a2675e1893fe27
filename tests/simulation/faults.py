"""The plan of faults: what goes wrong when, all of it drawn from the seed before anything runs.

Rule: a plan is a list of moments with a sentence each, so that a failure can print it. Trouble lasts for hours; then
everything works for a while, and what was promised must be there: a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.simulation.api import Order, Outage, Paging, SimulatedApi
from tests.simulation.arrivals import DAY_S
from tests.simulation.cluster import Fate, Step
from tests.simulation.stage import Stage
from tests.simulation.trace import clock

HOUR_S = 3_600.0
CALM_S = 2.5 * HOUR_S
"""Long enough for the longest wait that is promised to end: an hour for a probe behind a 401, then catching up."""

FIRST_CALM_S = 9_000.0
"""At first nothing but kills: where coverage begins follows from the first request of an account group."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens at a time (virtual seconds)."""

    at: float
    text: str
    happen: Callable[[Stage], None]

    def __str__(self) -> str:
        return f"{clock(self.at)} {self.text}"


@dataclass(frozen=True, slots=True)
class Phase:
    """Hours of trouble until ``calm_from``, then a checkpoint at ``end``."""

    faults: list[Fault]
    calm_from: float
    end: float


ABSENCE_DAYS_MIN = 10.0
"""Runs of so many days have a phase with nobody there for longer than the API keeps sessions, or for days."""

BACKFILL_DAYS_MIN = 2.0
"""In shorter runs nobody asks for a backfill."""


def make_plan(days: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> list[Phase]:
    """Phases that fill the days."""
    phases: list[Phase] = []
    wishes = Random(rng.random()) if days >= BACKFILL_DAYS_MIN else None
    absent_at = rng.uniform(0.2, 0.7) * days * DAY_S if days >= ABSENCE_DAYS_MIN else None
    start, end = FIRST_CALM_S, days * DAY_S
    phases.append(Phase(make_start(shards, rng), FIRST_CALM_S - 900.0, FIRST_CALM_S))
    while end - start > CALM_S + HOUR_S:
        calm_from = min(start + rng.uniform(2.0, 14.0) * HOUR_S, end - CALM_S)
        if end - (calm_from + CALM_S) < CALM_S + HOUR_S:
            calm_from = end - CALM_S
        absent_s = 0.0
        if absent_at is not None and start >= absent_at:
            absent_at, absent_s = None, _absence_s(apis, rng)
        faults = sorted(_trouble(start, calm_from, workers, shards, apis, rng), key=lambda fault: fault.at)
        if wishes is not None:
            faults = sorted([*faults, *_wishes(start, calm_from, apis, wishes)], key=lambda fault: fault.at)
        if absent_s:
            faults.extend(_downtime(calm_from, absent_s, rng))
            faults.extend(_hard_morning(calm_from + absent_s - 1.0, shards, apis, rng))
            faults.sort(key=lambda fault: fault.at)
            calm_from += absent_s + HOUR_S
        phases.append(Phase(faults, calm_from, calm_from + CALM_S))
        start = calm_from + CALM_S
    return phases


def make_start(shards: list[int], rng: Random) -> list[Fault]:
    """The first minutes: processes that die around the first requests of a shard, and stay down for a while."""
    faults = []
    for shard in shards:
        if rng.random() < 0.5:
            step, count, down_s = rng.choice(list(Step)), rng.randint(0, 8), rng.choice([0.1, 20.0, 3_000.0, 7_000.0])
            text = (
                f"whoever has shard {shard} is killed after {count} times '{step}', and stays down for {down_s:.0f} s"
            )
            faults.append(Fault(0.0, text, partial(_trap, shard=shard, step=step, skip=count, down_s=down_s)))
    return faults


def _trouble(
    start: float, end: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random
) -> Iterator[Fault]:
    """Faults of one phase: a few kinds at a time, some of them often."""
    kinds = [_kafka, _aimed, _aimed, _life, _life, _group, _answers, _answers, _outages, _quota, _order, _groups]
    chosen = rng.sample(kinds, rng.randint(3, 8))
    now = start
    while (now := now + rng.expovariate(1 / rng.choice([300.0, 900.0, 2_400.0]))) < end:
        yield from rng.choice(chosen)(now, workers, shards, apis, rng)
    if rng.random() < 0.5:
        longest_h = rng.choice([2.0, 4.0, 4.0, 12.0, 60.0])
        down_s = rng.uniform(0.5, longest_h) * HOUR_S
        at = rng.uniform(start, end)
        yield from _downtime(at, down_s, rng)
        yield from _hard_morning(min(at + down_s, end) - 1.0, shards, apis, rng)


def _absence_s(apis: list[SimulatedApi], rng: Random) -> float:
    """Longer than the API keeps sessions, where that is days."""
    kept_s = min(api.retention_s for api in apis)
    return (kept_s if kept_s <= 4 * DAY_S else 2 * DAY_S) + rng.uniform(2.0, 12.0) * HOUR_S


def _wishes(start: float, end: float, apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    """Operators ask for ranges: what was collected just now, long ago, or never."""
    if rng.random() < 0.4:
        api, at = rng.choice(apis), rng.uniform(start, end)
        begin = at - rng.choice([2.0, 8.0, 40.0, 100.0]) * HOUR_S * rng.uniform(0.5, 1.5)
        last = min(at - 60.0, begin + rng.uniform(0.5, 8.0) * HOUR_S)
        job, share = f"job-{int(at)}", rng.choice([0.2, 0.5])
        text = f"{api.name}: a backfill of {clock(begin)} to {clock(last)} is asked for, {job}"
        yield Fault(at, text, lambda stage: stage.ask(api, job, begin, last, share))


def _kafka(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    if rng.random() < 0.3:
        away_s = rng.choice([3.0, 12.0, 40.0, 600.0, 3_600.0]) * rng.uniform(0.5, 1.5)
        yield Fault(at, f"Kafka is away for {away_s:.0f} s", lambda stage: stage.kafka_away(away_s))
        return
    share, span_s = rng.choice([0.02, 0.1, 0.4]), rng.uniform(60.0, 3_600.0)
    yield Fault(at, f"{share:.0%} of all transactions fail", lambda stage: stage.rough(share))
    yield Fault(at + span_s, "transactions work again", lambda stage: stage.rough(0.0))


def _aimed(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    shard, count = rng.choice(shards), rng.choice([1, 1, 2, 5])
    if rng.random() < 0.4:
        fates = [rng.choice(list(Fate)) for _ in range(count)]
        text = f"the next transactions of shard {shard}: {', '.join(fates)}"
        yield Fault(at, text, lambda stage: stage.aim(shard, fates))
        return
    step, down_s = rng.choice(list(Step)), rng.choice([0.1, 1.0, 20.0, 300.0, 4_000.0]) * rng.uniform(0.5, 1.5)
    often = f"{count} times " if count > 1 else ""
    text = f"whoever has shard {shard} is killed {often}at '{step}', and stays down for {down_s:.1f} s"
    yield Fault(at, text, lambda stage: stage.trap(shard, step, count, down_s))


def _life(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    worker, down_s = rng.randrange(workers), rng.choice([0.1, 2.0, 30.0, 900.0, 9_000.0]) * rng.uniform(0.5, 1.5)
    kind = rng.random()
    if kind < 0.5:
        text = f"worker {worker} is killed, and stays down for {down_s:.1f} s"
        yield Fault(at, text, lambda stage: stage.kill(worker, down_s))
    elif kind < 0.8:
        text = f"worker {worker} is stopped, and stays down for {down_s:.1f} s"
        yield Fault(at, text, lambda stage: stage.stop(worker, down_s))
    else:
        frozen_s = rng.uniform(5.0, 120.0)
        yield Fault(at, f"worker {worker} is frozen for {frozen_s:.0f} s", lambda stage: stage.freeze(worker, frozen_s))


def _group(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    stale_s = rng.choice([0.0, 0.0, 5.0, 60.0, 400.0])
    heard = f"; who loses one hears of it {stale_s:.0f} s later" if stale_s else ""
    yield Fault(at, f"shards move to other workers{heard}", lambda stage: stage.move_shards(stale_s))


def _downtime(at: float, down_s: float, rng: Random) -> Iterator[Fault]:
    killed = rng.random() < 0.5
    how = "killed" if killed else "stopped"
    text = f"all workers are {how}, and stay down for {down_s / HOUR_S:.1f} h"
    yield Fault(at, text, lambda stage: stage.all_down(down_s, killed=killed))


def _hard_morning(at: float, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    """Long walks have to be walked now: in any order of rows, and they break in the middle."""
    for api in apis:
        yield from _order(at, 0, shards, [api], rng)
        if rng.random() < 0.3:
            share = rng.choice([0.2, 0.5])
            yield from _switch(api, at, 1_200.0, f"refused_cursor_share is {share}", "refused_cursor_share", share, 0.0)
    for shard in shards:
        step, count, down_s = rng.choice([Step.SENDING, Step.COMMITTED]), rng.randint(2, 12), rng.choice([1.0, 9_000.0])
        text = f"whoever has shard {shard} is killed at the {count}th '{step}', and stays down for {down_s:.0f} s"
        yield Fault(at, text, partial(_trap, shard=shard, step=step, skip=count, down_s=down_s))


def _trap(stage: Stage, *, shard: int, step: Step, skip: int, down_s: float) -> None:
    stage.trap(shard, step, 1, down_s, skip=skip)


def _outages(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    api, outage = rng.choice(apis), rng.choice(list(Outage))
    span_s = rng.choice([5.0, 60.0, 900.0, 7_200.0]) * rng.uniform(0.5, 1.5)
    yield from _switch(api, at, span_s, f"API answers {outage}", "outage", outage, None)
    if outage is Outage.UNAUTHORIZED and rng.random() < 0.5:
        yield Fault(at + span_s, f"{api.name}: a new token", lambda stage: stage.new_token(api.name))


def _answers(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    api = rng.choice(apis)
    span_s = rng.uniform(60.0, 5_400.0)
    name, share = rng.choice(
        [
            ("unavailable_share", rng.choice([0.05, 0.3])),
            ("lost_share", rng.choice([0.03, 0.2])),
            ("malformed_share", rng.choice([0.05, 0.4])),
            ("stray_share", 0.05),
            ("refused_cursor_share", rng.choice([0.1, 0.6])),
            ("circle_share", rng.choice([0.1, 0.6])),
            ("wrong_group_share", 0.1),
            ("cursor_life_s", rng.choice([0.3, 2.0])),
            ("latency_s", (1.0, 20.0)),
        ]
    )
    usual = {"cursor_life_s": float("inf"), "latency_s": (0.05, 0.4)}.get(name, 0.0)
    yield from _switch(api, at, span_s, f"{name} is {share}", name, share, usual)


def _quota(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    api = rng.choice(apis)
    span_s = rng.choice([90.0, 600.0, 5_000.0]) * rng.uniform(0.5, 1.5)
    kind = rng.randrange(6)
    if kind == 0:
        limit = rng.choice([0, 0, 3, 2 * api.usual_limit])
        yield Fault(at, f"{api.name}: the quota is {limit}", lambda stage: api.change_limit(limit))
        yield Fault(at + span_s, f"{api.name}: the quota is as usual", lambda stage: api.change_limit(api.usual_limit))
    elif kind == 1:
        share = rng.choice([0.15, 0.2, 0.6, 1.0])
        yield from _switch(api, at, span_s, f"others spend {share:.0%} of the quota", "others_share", share, 0.0)
    elif kind == 2:
        share = rng.choice([0.2, 0.9, 1.0])
        yield from _switch(api, at, span_s, f"others spend {share:.0%} at once", "others_burst", share, 0.0)
    elif kind == 3:
        off_s = rng.choice([-300.0, -30.0, 20.0, 400.0, 1e6])
        yield from _switch(api, at, span_s, f"Reset is wrong by {off_s:.0f} s", "reset_off_s", off_s, 0.0)
    elif kind == 4:
        off_s = rng.uniform(-90.0, 90.0)
        yield from _switch(api, at, span_s, f"Date is wrong by {off_s:.0f} s", "date_off_s", off_s, 0.0)
    else:
        yield from _switch(api, at, span_s, "some Dates are wild", "wild_date_share", rng.choice([0.02, 0.1]), 0.0)


def _order(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    api, order, paging = rng.choice(apis), rng.choice(list(Order)), rng.choice(list(Paging))
    text = f"{api.name}: rows come {order}, a continuation is {paging}"
    yield Fault(at, text, lambda stage: stage.reorder(api, order, paging))


def _groups(at: float, workers: int, shards: list[int], apis: list[SimulatedApi], rng: Random) -> Iterator[Fault]:
    api, span_s = rng.choice(apis), rng.uniform(60.0, 7_200.0)
    if rng.random() < 0.2:
        yield from _switch(api, at, span_s, "the list of account groups is empty", "empty_list", True, False)
        return
    aid, name = rng.choice(api.aids), rng.choice(["forbidden", "absent"])
    yield from _switch(api, at, span_s, f"account group {aid} is {name}", name, {aid}, set())


def _switch(
    api: SimulatedApi, at: float, span_s: float, text: str, name: str, value: object, usual: object
) -> Iterator[Fault]:
    yield Fault(at, f"{api.name}: {text}, for {span_s:.0f} s", lambda stage: stage.switch(api, name, value))
    yield Fault(at + span_s, f"{api.name}: {name} is as usual", lambda stage: stage.switch(api, name, usual))
