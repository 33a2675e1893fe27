"""Decides who has waited for longer than anything it waits for may take.

Rule: every wait says beforehand how long it may last, and where it stands. Nobody is judged by a number that is not
its own: a sleep by its length, a request by its timeout.

A pause of everybody (a frozen process, a blocked event loop) is nobody's stall: it is seen by the look that comes
late, and counts for no wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from collector.core.model import MonoS

LOOK_EVERY_S = 5.0
"""Between two looks; what is found is at least half a minute old, so more often would tell nothing sooner."""

GRACE_S = 30.0
"""On top of what a wait may last by its own deadlines: closing, reading a large answer, a busy machine."""


@dataclass(slots=True)
class _Wait:
    where: str
    may_last_s: float
    since: MonoS


@dataclass(frozen=True, slots=True)
class Stall:
    """A wait that does not end.

    Args:
        where: what is waited for, for people.
        waited_s: for how long.
        may_last_s: how long it may last by its own deadlines.
    """

    where: str
    waited_s: float
    may_last_s: float

    def __str__(self) -> str:
        return f"{self.where}: no progress for {self.waited_s:.0f} s, where {self.may_last_s:g} s is the most"


class Watchdog:
    """The waits of one organization.

    Mutable state: the waits that have begun and not ended, at most one a task; when it looked last.
    """

    def __init__(self) -> None:
        self._waits: dict[int, _Wait] = {}
        self._next = 0
        self._looked_at: MonoS | None = None

    @contextmanager
    def waiting(self, where: str, may_last_s: float, now: MonoS) -> Iterator[None]:
        """A wait that begins now and ends with the block, however that ends."""
        number, self._next = self._next, self._next + 1
        self._waits[number] = _Wait(where, may_last_s, now)
        try:
            yield
        finally:
            del self._waits[number]

    def look(self, now: MonoS) -> Stall | None:
        """The wait that is longest beyond what it may last and `GRACE_S`; to be asked every `LOOK_EVERY_S`."""
        late_s = 0.0 if self._looked_at is None else now - self._looked_at - LOOK_EVERY_S
        self._looked_at = now
        worst: Stall | None = None
        for wait in self._waits.values():
            if late_s > LOOK_EVERY_S:
                wait.since = MonoS(min(now, wait.since + late_s))
            stall = Stall(wait.where, now - wait.since, wait.may_last_s)
            beyond_s = stall.waited_s - stall.may_last_s
            if beyond_s > GRACE_S and (worst is None or beyond_s > worst.waited_s - worst.may_last_s):
                worst = stall
        return worst
