"""Which faults, in which order, how far apart: all of it follows from the seed, and nothing else does.

One rule: pure. A seed is a plan, not a run: what a fault meets when it comes depends on the machine.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos import aims


class Kind(StrEnum):
    """A fault, in the words in which it is counted."""

    KILL = "kill -9"
    FREEZE = "freeze"
    STOP = "SIGTERM"
    SCALE = "more or fewer workers"
    AIMED_KILL = "aimed kill -9"
    AIMED_FREEZE = "aimed freeze"
    BROKER_KILL = "broker kill -9"
    BROKER_FREEZE = "broker freeze"
    OUTAGE = "API outage"
    ERRORS = "API errors"
    GARBAGE = "API garbage"
    CURSORS = "cursors refused"
    QUOTA = "quota spent by others"
    CLOCK = "API clock jump"


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Args:
        kind: what happens.
        after_s: pause before it, seconds.
        lasts_s: for how long, where that applies, seconds.
        choice: 0..1, chooses the victim among those there are.
        point: where an aimed one strikes.
        probability: 0..1, of striking at each pass of that point.
    """

    kind: Kind
    after_s: float
    lasts_s: float
    choice: float
    point: str = ""
    probability: float = 1.0

    @property
    def label(self) -> str:
        """What it is counted as."""
        return f"{self.kind}, {self.point}" if self.point else str(self.kind)


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """How much happens.

    Args:
        seconds: sum of all pauses, at least; 0: what is in ``kinds`` and ``points`` once each.
        session_timeout_s: of the workers; most freezes are longer.
        pause_max_s: between two faults; they are uniform from 0.
        kinds: to choose from, with weights; each happens at least once.
        points: of aimed faults, each at least once for each aimed kind there is.
    """

    seconds: float
    session_timeout_s: float
    pause_max_s: float
    kinds: dict[Kind, float]
    points: Sequence[str] = (*aims.OPENING, *aims.PUBLISHING)


WEIGHTS: dict[Kind, float] = {
    Kind.KILL: 5.0,
    Kind.FREEZE: 2.0,
    Kind.STOP: 1.5,
    Kind.SCALE: 1.0,
    Kind.AIMED_KILL: 7.0,
    Kind.AIMED_FREEZE: 2.0,
    Kind.BROKER_KILL: 0.7,
    Kind.BROKER_FREEZE: 0.7,
    Kind.OUTAGE: 0.3,
    Kind.ERRORS: 0.5,
    Kind.GARBAGE: 0.5,
    Kind.CURSORS: 0.5,
    Kind.QUOTA: 0.2,
    Kind.CLOCK: 0.4,
}
"""Of a long run: every second fault is the death of a worker."""

_AIMED = (Kind.AIMED_KILL, Kind.AIMED_FREEZE)
_SOMETIMES = (1.0, 1.0, 0.3, 0.1)
"""Probabilities of faults aimed at publications: at once, or after some. A take-over costs a death: always at once."""

# Seconds. Outages stay below the time in which a page is asked for again and again, and go beyond it.
_LASTS_S: dict[Kind, tuple[float, float]] = {
    Kind.BROKER_KILL: (0.2, 3.0),
    Kind.BROKER_FREEZE: (1.0, 6.0),
    Kind.OUTAGE: (1.0, 8.0),
    Kind.ERRORS: (2.0, 8.0),
    Kind.GARBAGE: (2.0, 8.0),
    Kind.CURSORS: (2.0, 8.0),
    Kind.CLOCK: (-90.0, 90.0),
}


def make_plan(seed: int, settings: PlanSettings) -> list[Step]:
    """The faults of a seed: everything once in random order, then by weight until the time is full."""
    rng = random.Random(seed)
    once = [(kind, point) for kind in settings.kinds for point in (settings.points if kind in _AIMED else ("",))]
    rng.shuffle(once)
    steps = [_step(rng, settings, kind, point) for kind, point in once]
    kinds, weights = zip(*settings.kinds.items(), strict=True)
    while sum(step.after_s for step in steps) < settings.seconds:
        (kind,) = rng.choices(kinds, weights)
        steps.append(_step(rng, settings, kind, rng.choice(settings.points) if kind in _AIMED else ""))
    return steps


def _step(rng: random.Random, settings: PlanSettings, kind: Kind, point: str) -> Step:
    low, high = _LASTS_S.get(kind, (0.0, 0.0))
    if kind in (Kind.FREEZE, Kind.AIMED_FREEZE):
        # Three in four are taken for dead by the group; the others wake up before that.
        beyond = rng.random() < 0.75
        low, high = (settings.session_timeout_s + 1.0, settings.session_timeout_s + 4.0) if beyond else (0.5, 3.0)
    return Step(
        kind,
        after_s=rng.uniform(0.0, settings.pause_max_s),
        lasts_s=rng.uniform(low, high),
        choice=rng.random(),
        point=point,
        probability=1.0 if point in aims.OPENING else rng.choice(_SOMETIMES),
    )
