"""What is run: the product as it is, and broken on purpose, with what must come of it.

One rule: a control that passes although it is broken fails the suite: it is how we know that the suite can see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from tests.chaos import aims
from tests.chaos.plan import Kind, PlanSettings


class Expectation(Enum):
    """What must come of a run."""

    CLEAN = "every session once"
    DUPLICATES = "duplicates"
    LOSSES = "losses"


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to run the workers.

    Args:
        name: as `tests.chaos.worker` takes it.
        expectation: what must come of it.
        workers: of a control.
        alone_at_the_end: one fresh worker finishes, because those that never let go take the work from each other.
    """

    name: str
    expectation: Expectation
    workers: int = 2
    alone_at_the_end: bool = False


GOOD = Mode("good", Expectation.CLEAN)
FENCING_ALONE = Mode("norevoke", Expectation.CLEAN, alone_at_the_end=True)
NO_FENCING = Mode("nofence-norevoke", Expectation.DUPLICATES, alone_at_the_end=True)
NO_RESTORE = Mode("nostate", Expectation.DUPLICATES, workers=1)
STATE_FIRST = Mode("statefirst", Expectation.LOSSES, workers=1)

_FENCING_FAULTS: Mapping[Kind, float] = {Kind.FREEZE: 2.0, Kind.KILL: 1.0, Kind.AIMED_FREEZE: 2.0}


def control_plan(mode: Mode, session_timeout_s: float) -> PlanSettings:
    """The faults that show what is broken, each once: the same ones for the pair with and without fencing."""
    if mode is STATE_FIRST:
        kinds, points = {Kind.AIMED_KILL: 1.0}, (aims.BETWEEN,)
    elif mode is NO_RESTORE:
        kinds, points = {Kind.AIMED_KILL: 1.0}, (aims.AFTER_COMMIT,)
    else:
        kinds, points = dict(_FENCING_FAULTS), (aims.BEFORE_COMMIT, aims.AFTER_COMMIT)
    return PlanSettings(0.0, session_timeout_s, pause_max_s=3.0, kinds=kinds, points=points)
