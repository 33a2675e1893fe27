"""Estimates how fast sessions arrive at one account group, from what each poll found.

Rule: the estimate is arrivals over time with a memory that fades: the last 20 arrivals or so, whatever time they took.
A factor of two in a rate costs a tenth of the freshness, so 20 are enough, and a short memory follows the day.

    up      a poll that found more than chance explains replaces the memory: a burst counts from its first poll on
    down    a poll that found less only fades it, over four polls or more: chance is often quiet
    new     an account group that was never polled is taken for an average one; that fades like everything else

Hours of the day are learnt beside: how much an hour's rate differs from the average. Once learnt, time counts by that
factor, so that the estimate need not wait for arrivals to know that the morning begins.

Invariants: a rate is over 0, and finite; without arrivals it falls with every poll.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from collector.core.model import EpochS

RATE_UNKNOWN_PER_S = 1.0 / 60.0
"""Taken for the rate of account groups while not one was polled yet: one session a minute."""

RATE_ASSUMED_MIN_PER_S = 1.0 / 3_600.0
"""A new account group is never taken for quieter than one session an hour: it must be looked at to be known."""

UNSEEN_ARRIVALS = 0.5
"""Half an arrival more than was seen: without any, the rate is what half an arrival in that time would be."""

MEMORY_ARRIVALS = 20.0
"""Arrivals that the estimate stands on: its error is then 1 / sqrt(20), which costs about 1 % of the freshness."""

MEMORY_POLLS = 4.0
"""The memory is never shorter than this many polls: one that found nothing lowers the rate by a fifth."""

MEMORY_MAX_S = 14_400.0
"""The memory is never longer than this: four hours without a session are as good as for ever."""

SURPRISE_DEVIATIONS = 3.0
SURPRISE_ARRIVALS = 3.0
"""More than expected + 3 x its square root + 3 is no chance (one poll in some thousands)."""

HOUR_S = 3_600
DAY_HOURS = 24
LEARNT_DAYS = 2.0
"""The day's pattern is used after two days: what one day shows may be a coincidence."""

LEARNT_ARRIVALS = 480.0
"""And after 20 arrivals an hour on average: fewer say nothing about an hour."""

PATTERN_MEMORY_DAYS = 7.0
"""A day fades from the pattern over a week."""

PATTERN_PRIOR_ARRIVALS = 10.0
"""An hour counts as average with this weight until it has shown otherwise."""

PATTERN_FACTOR_MAX = 20.0
"""No hour is taken to be more than this many times busier, or quieter, than the average."""


class DayPattern:
    """How busy each hour of the day (UTC) is, compared with the average."""

    __slots__ = ("_arrivals", "_factors", "_hour", "_seconds")

    def __init__(self) -> None:
        # All mutable state: faded arrivals and seconds of each hour, and the factors as they were at the last hour.
        self._arrivals = array("d", bytes(8 * DAY_HOURS))
        self._seconds = array("d", bytes(8 * DAY_HOURS))
        self._factors: array[float] | None = None
        self._hour = -1

    @property
    def learnt(self) -> bool:
        """Whether the pattern is used."""
        return self._factors is not None

    def observe(self, arrivals: float, start: EpochS, end: EpochS) -> None:
        """Take what arrived between two points in server time; the hour in their middle gets it."""
        hour = int((start + end) / 2 // HOUR_S) % DAY_HOURS
        self._arrivals[hour] += arrivals
        self._seconds[hour] += end - start
        if hour != self._hour:
            self._hour = hour
            self._next_hour(hour)

    def factor(self, at: EpochS) -> float:
        """How many times busier than the average the hour of ``at`` is; 1 until learnt."""
        return 1.0 if self._factors is None else self._factors[int(at // HOUR_S) % DAY_HOURS]

    def _next_hour(self, hour: int) -> None:
        """Fade what the hour that begins now showed on earlier days, and learn from all hours."""
        fade = math.exp(-1.0 / PATTERN_MEMORY_DAYS)
        self._arrivals[hour] *= fade
        self._seconds[hour] *= fade
        arrivals, seconds = sum(self._arrivals), sum(self._seconds)
        if arrivals < LEARNT_ARRIVALS or seconds < LEARNT_DAYS * DAY_HOURS * HOUR_S * fade or 0.0 in self._seconds:
            self._factors = None
            return
        average = arrivals / seconds
        prior = PATTERN_PRIOR_ARRIVALS
        self._factors = array(
            "d",
            (
                min(PATTERN_FACTOR_MAX, max(1.0 / PATTERN_FACTOR_MAX, (count + prior) / (average * time + prior)))
                for count, time in zip(self._arrivals, self._seconds, strict=True)
            ),
        )


class ArrivalRate:
    """The rate of one account group."""

    __slots__ = ("_assumed", "arrivals", "pattern", "seconds")

    def __init__(self) -> None:
        # All mutable state: faded arrivals, the faded time in which they came (in seconds of an average hour), and how
        # much of what was assumed at first still counts.
        self.arrivals = 0.0
        self.seconds = 0.0
        self._assumed = 1.0
        self.pattern = DayPattern()

    def per_s(self, assumed_per_s: float, at: EpochS | None = None) -> float:
        """The rate, sessions a second.

        Args:
            assumed_per_s: rate of an average account group, > 0; what one that was never observed is taken for.
            at: server time, for the hour's factor; None for the average of the day.
        """
        factor = 1.0 if at is None else self.pattern.factor(at)
        assumed_s = self._assumed * UNSEEN_ARRIVALS / assumed_per_s
        return factor * (self.arrivals + UNSEEN_ARRIVALS) / (self.seconds + assumed_s)

    def observe(self, arrivals: float, duration_s: float, assumed_per_s: float, end: EpochS | None = None) -> None:
        """Take what a poll found.

        Args:
            arrivals: sessions that were new.
            duration_s: time in which they became visible, seconds; 0 or less tells nothing.
            assumed_per_s: see `per_s`.
            end: server time of the poll; None teaches nothing about hours.
        """
        if duration_s <= 0.0:
            return
        seconds = duration_s
        if end is not None:
            start = EpochS(end - duration_s)
            if duration_s <= HOUR_S:
                before = self.pattern.factor(end)
                self.pattern.observe(arrivals, start, end)
                self.seconds *= self.pattern.factor(end) / before  # what is learnt leaves today's rate as it is
            seconds *= self.pattern.factor(EpochS((start + end) / 2))
        rate = self.per_s(assumed_per_s)
        expected = rate * seconds
        if arrivals > expected + SURPRISE_DEVIATIONS * math.sqrt(expected) + SURPRISE_ARRIVALS:
            self.arrivals, self.seconds, self._assumed = float(arrivals), seconds, 0.0
            return
        memory_s = max(min(MEMORY_ARRIVALS / rate, MEMORY_MAX_S), MEMORY_POLLS * seconds)
        kept = math.exp(-seconds / memory_s)
        self.arrivals = kept * self.arrivals + arrivals
        self.seconds = kept * self.seconds + seconds
        self._assumed *= kept


def average_rate(rates: Iterable[ArrivalRate]) -> float:
    """What an account group that was never observed is taken for: the average of what was seen of the others."""
    arrivals = seconds = 0.0
    for rate in rates:
        arrivals += rate.arrivals
        seconds += rate.seconds
    return max(RATE_ASSUMED_MIN_PER_S, arrivals / seconds) if seconds > 0.0 else RATE_UNKNOWN_PER_S
