"""Which fault happens to which request.

One rule: faults are drawn from a source of their own, seeded, so that they neither depend on the truth nor change it.
Owned here: the faults in force, those that were ordered for the next requests, and the source's state.
"""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

from collector.simulator.switches import FaultKind, Faults

_Choice = TypeVar("_Choice")

ORDERED_MAX = 10_000
"""Faults that can be ordered ahead: more than a test needs, few enough to hold."""


class FaultSource:
    """Draws faults.

    Args:
        faults: in force at the start, and again after `restore`.
        seed: of the draws.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self._at_start = faults
        self.in_force = faults
        self._random = random.Random(f"faults {seed}")
        self._ordered: deque[FaultKind] = deque()

    def change(self, faults: Faults) -> None:
        """Puts other faults in force."""
        self.in_force = faults

    def restore(self) -> None:
        """Puts the faults of the start in force and forgets ordered ones."""
        self.in_force = self._at_start
        self._ordered.clear()

    def order(self, kinds: Iterable[FaultKind]) -> None:
        """Orders faults for the next requests, one each, before anything is drawn.

        Raises:
            ValueError: more than ORDERED_MAX would be waiting.
        """
        wanted = list(kinds)
        if len(self._ordered) + len(wanted) > ORDERED_MAX:
            raise ValueError(f"at most {ORDERED_MAX} faults can be ordered ahead")
        self._ordered.extend(wanted)

    @property
    def ordered(self) -> int:
        """How many ordered faults are still to come."""
        return len(self._ordered)

    def spoil(self) -> FaultKind | None:
        """The fault that spoils the answer to the next request, if any."""
        if self._ordered:
            return self._ordered.popleft()
        at = self._random.random()
        for kind, share in self.in_force.shares().items():
            if at < share:
                return kind
            at -= share
        return None

    def happens(self, share: float) -> bool:
        """Draws something that happens with a share of the requests."""
        return share > 0.0 and self._random.random() < share

    def choose(self, choices: Sequence[_Choice]) -> _Choice:
        """Draws one of several."""
        return self._random.choice(choices)
