"""Hours of one organization's requests in virtual time, without an event loop: the real `RequestBudget`, a quota
server that knows the truth, other tenants, and requests that take their time on the way there and back.

Rule: everything happens at its own moment. A request is counted when it reaches the server, not when it left.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

from collector.core.budget import RequestBudget
from collector.core.model import EpochS, MonoS, Quota
from collector.core.quota_window import SentRequest
from tests.core.pages import EPOCH
from tests.core.quota_server import QuotaServer

Spending = Callable[[Random, float], Iterator[tuple[float, int]]]
"""Others: the moments at which they ask, virtual seconds in order, and how many requests at once."""


def nobody(rng: Random, start: float) -> Iterator[tuple[float, int]]:
    """No other tenant."""
    return iter(())


def at_random(per_minute: float) -> Spending:
    """Single requests, independent of each other (Poisson)."""

    def spend(rng: Random, start: float) -> Iterator[tuple[float, int]]:
        now = start
        while True:
            now += rng.expovariate(per_minute / 60.0)
            yield now, 1

    return spend


def in_bursts(size: int, per_minute: float) -> Spending:
    """Bursts of 1 to ``size`` requests at once, at random moments, ``per_minute`` requests on average."""

    def spend(rng: Random, start: float) -> Iterator[tuple[float, int]]:
        now = start
        while True:
            now += rng.expovariate(per_minute / 60.0 / ((size + 1) / 2))
            yield now, rng.randint(1, size)

    return spend


def once_a_minute(size: int, second: float) -> Spending:
    """The same burst in every minute."""

    def spend(rng: Random, start: float) -> Iterator[tuple[float, int]]:
        minute = start // 60.0 * 60.0
        while True:
            yield max(start, minute + second), size
            minute += 60.0

    return spend


@dataclass(slots=True)
class Drive:
    """One run.

    Args:
        server: the truth.
        share: the budget's share.
        others: how other tenants spend.
        latency_s: shortest and longest time of a request, there and back.
        concurrency: requests on their way at once.
        lost_part: part of the answers that never arrive.
        work: whether there is something to ask, by virtual time.
        seed: of everything that is random.
    """

    server: QuotaServer
    share: float = 0.8
    others: Spending = nobody
    latency_s: tuple[float, float] = (0.2, 1.0)
    concurrency: int = 4
    lost_part: float = 0.0
    work: Callable[[float], bool] = lambda now: True
    seed: int = 0
    now: float = 23.4
    budget: RequestBudget = field(init=False)
    starts: int = 0
    waited: float = 0.0
    jumps: list[int] = field(default_factory=list)
    """For each 429: what others spent between the newest answer known when the request left and its arrival."""

    counted_from: float = -math.inf

    _rng: Random = field(init=False)
    _spending: Iterator[tuple[float, int]] = field(init=False)
    _number: Iterator[int] = field(default_factory=count)
    _heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _on_way: int = 0
    _known: tuple[float, float, int] = (-math.inf, -math.inf, 0)

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        self._spending = self.others(Random(self.seed + 1), self.now)
        self._let_others_spend()
        self.restart()

    def restart(self) -> None:
        """A new process takes over; what the old one had on its way reaches the server all the same."""
        self.starts += 1
        self._on_way = 0
        self.budget = RequestBudget(self.share, Random(self.seed + 100 * self.starts))

    def run(self, duration_s: float) -> Drive:
        """Let virtual time pass."""
        end = self.now + duration_s
        asked = self.now
        while True:
            ready = math.inf
            if self._on_way < self.concurrency and self.work(self.now):
                ready = self.budget.ready_at(MonoS(self.now))
            if ready <= self.now:
                self.waited, asked = max(self.waited, self.now - asked), self.now
                self._send()
                continue
            soon = min(ready, self._heap[0][0] if self._heap else math.inf)
            if not self.work(self.now):
                soon = min(soon, self.now + 0.5)
                asked = self.now
            if soon > end:
                self.now = end
                return self
            self.now = soon
            if self._heap and self._heap[0][0] <= self.now:
                heapq.heappop(self._heap)[2]()

    def learn(self, duration_s: float) -> Drive:
        """Let time pass in which the budget gets to know the others; it does not count for `utilisation`."""
        self.run(duration_s)
        self.counted_from = self.server.window_start
        return self

    def _at(self, moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (moment, next(self._number), event))

    def _let_others_spend(self) -> None:
        following = next(self._spending, None)
        if following is None:
            return
        moment, requests = following

        def spend() -> None:
            for _ in range(requests):
                self.server.request(EPOCH + self.now, ours=False)
            self._let_others_spend()

        self._at(moment, spend)

    def _send(self) -> None:
        request, start, known = self.budget.sent(MonoS(self.now)), self.starts, self._known
        self._on_way += 1
        latency = self._rng.uniform(*self.latency_s)
        arrives, there = self.now + latency, self.now + latency * self._rng.uniform(0.2, 0.8)
        lost = self._rng.random() < self.lost_part

        def handled() -> None:
            answer = self.server.request(EPOCH + self.now)
            window = self.server.window_start
            state = (self.now, window, self.server.others[window])
            if answer[0] == 429:
                self.jumps.append(state[2] - (known[2] if known[1] == window else 0))
            self._at(arrives, lambda: self._answered(request, start, None if lost else answer, state))

        self._at(there, handled)

    def _answered(
        self,
        request: SentRequest,
        start: int,
        answer: tuple[int, Quota, EpochS] | None,
        state: tuple[float, float, int],
    ) -> None:
        if start != self.starts:
            return  # it was the old process that waited for it
        self._on_way -= 1
        if answer is None:
            self.budget.failed(request, MonoS(self.now))
        else:
            self._known = max(self._known, state)
            self.budget.answered(request, *answer, MonoS(self.now))

    # -- the truth

    def windows(self) -> list[float]:
        """The windows that count and were ours from their beginning to their end."""
        return [window for window in sorted(self.server.limits)[1:-1] if window > self.counted_from]

    def share_of(self, window: float) -> int:
        """The most that may be ours."""
        return math.floor(self.server.limits[window] * self.share + 1e-9)

    def allowed(self, window: float) -> int:
        """The allowed share: what others left of the limit, and never more than the share."""
        return max(0, min(self.share_of(window), self.server.limits[window] - self.server.others[window]))

    def utilisation(self) -> float:
        """The used part of the allowed share, over all whole windows."""
        allowed = sum(self.allowed(window) for window in self.windows())
        return sum(self.server.ours[window] for window in self.windows()) / max(1, allowed)

    def most_above_share(self) -> int:
        """By how much a window exceeded the share at most; 0 or less: none did."""
        return max(self.server.ours[window] - self.share_of(window) for window in self.server.limits)
