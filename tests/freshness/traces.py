"""Sessions as many account groups make them: Zipf rates, days that begin at different hours, bursts.

Rule: the true rate is constant within a minute, so that whoever is told it knows all that can be known.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from random import Random

MINUTE_S = 60
DAY_S = 86_400

BURSTS_A_DAY = 2.0
BURST_MINUTES = (5, 20)
"""Each account group has two bursts a day on average, of 5 to 20 minutes."""

NIGHT, NOON = 0.2, 1.8
"""The quietest and the busiest hour of a day, compared with its average."""

TIME_ZONES_H = (0, 6, 9, 14)
"""Days begin at these hours: an organization with offices around the world."""

COMMIT_DELAY_S = (1.0, 3.0)
"""From a session's date to when the API shows it (published samples: 1 to 3 s)."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What happens in one organization.

    Args:
        duration_s: its length.
        rates_per_s: for each account group the true rate of every minute, sessions a second.
        committed: for each account group when its sessions became visible, seconds since the trace's start, ascending.
        dates: for each of them when it took place.
    """

    duration_s: int
    rates_per_s: list[array[float]]
    committed: list[array[float]]
    dates: list[array[float]]

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return sum(len(each) for each in self.committed)


def make_trace(
    account_groups: int,
    duration_s: int,
    busiest_per_s: float,
    *,
    days: bool = True,
    bursts: tuple[float, float] | None = (5.0, 20.0),
    seed: int = 1,
) -> Trace:
    """Make a trace.

    Args:
        account_groups: how many; the one of rank r has ``busiest_per_s`` / r sessions a second on average.
        duration_s: its length.
        busiest_per_s: of the busiest account group.
        days: whether rates follow the hours of the day.
        bursts: how many times as many sessions a burst brings, at least and at most; None: there are none.
        seed: of everything.
    """
    rng = Random(seed)
    minutes = duration_s // MINUTE_S
    rates, committed, dates = [], [], []
    for rank in range(1, account_groups + 1):
        zone_h = rng.choice(TIME_ZONES_H)
        average = busiest_per_s / rank
        rate = array("d", (average * (_of_day(minute, zone_h) if days else 1.0) for minute in range(minutes)))
        if bursts is not None:
            _add_bursts(rate, bursts, rng)
        rates.append(rate)
        of_group = _sessions(rate, rng)
        committed.append(array("d", (at for at, _ in of_group)))
        dates.append(array("d", (date for _, date in of_group)))
    return Trace(duration_s, rates, committed, dates)


def _of_day(minute: int, zone_h: int) -> float:
    hour = minute / 60.0 - zone_h
    return (NIGHT + NOON) / 2 - (NOON - NIGHT) / 2 * math.cos(2 * math.pi * hour / 24.0)


def _add_bursts(rate: array[float], bursts: tuple[float, float], rng: Random) -> None:
    at_minute = rng.expovariate(BURSTS_A_DAY / (DAY_S / MINUTE_S))
    while at_minute < len(rate):
        times = rng.uniform(*bursts)
        end = min(len(rate), int(at_minute) + rng.randint(*BURST_MINUTES))
        for minute in range(int(at_minute), end):
            rate[minute] *= times
        at_minute = end + rng.expovariate(BURSTS_A_DAY / (DAY_S / MINUTE_S))


def _sessions(rate: array[float], rng: Random) -> list[tuple[float, float]]:
    """(committed, date) of each session, by the first."""
    sessions = []
    for minute, per_s in enumerate(rate):
        at, end = minute * MINUTE_S + rng.expovariate(per_s), (minute + 1) * MINUTE_S
        while at < end:
            sessions.append((at, at - rng.uniform(*COMMIT_DELAY_S)))
            at += rng.expovariate(per_s)
    return sessions
