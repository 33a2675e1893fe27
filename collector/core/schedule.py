"""Decides which account group is walked next: a plain, fair rotation.

Rule: the account group that has been due longest goes first, one walk at a time each, so none starves: with n groups
due, each waits for at most n - 1 walks of the others.

Invariants: a running account group is never handed out again before `finished`, `failed` or `parked`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from collector.core.model import MonoS

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
"""A walk that failed is tried again after 1, 2, 4, ... 300 s, times 0.5 to 1: one bad account group costs little."""

PARKED_FIRST_S = 60.0
PARKED_S = 600.0
"""A parked account group is asked again after 1, 2, 4, 8, 10, 10 ... minutes: permissions do come back, a refusal may
be a proxy's mistake, and one request a while is cheap."""


@dataclass(slots=True)
class _Turn:
    """When an account group is due; failures in a row; why it is parked; whether it left while it is walked."""

    due: MonoS
    failures: int = 0
    running: bool = False
    parked: str | None = None
    parked_times: int = 0
    left: bool = False


class PollSchedule:
    """The schedule of one organization.

    Args:
        poll_interval_min_s: shortest time from the start of one walk to the start of the next, seconds.
        rng: source of jitter.
    """

    def __init__(self, poll_interval_min_s: float, rng: Random) -> None:
        self._poll_interval_min_s = poll_interval_min_s
        self._rng = rng
        self._turns: dict[str, _Turn] = {}  # all mutable state

    def account_groups(self, aids: list[str], now: MonoS) -> None:
        """Schedule exactly these account groups; new ones are due now, in the order given."""
        wanted = set(aids)
        for aid, turn in list(self._turns.items()):
            turn.left = aid not in wanted
            if turn.left and not turn.running:  # else its walk ends first: should it come back, no second one may run
                del self._turns[aid]
        for aid in aids:
            self._turns.setdefault(aid, _Turn(now))

    def next(self, now: MonoS) -> str | MonoS | None:
        """The account group to walk now; or the time to ask again; or None when every one is being walked."""
        waiting = [(turn.due, aid) for aid, turn in self._turns.items() if not turn.running]
        if not waiting:
            return None
        due, aid = min(waiting)
        if due > now:
            return due
        self._turns[aid].running = True
        return aid

    def finished(self, aid: str, started: MonoS, now: MonoS, *, caught_up: bool) -> None:
        """A walk came to its end. Not ``caught_up``: there is more to walk at once, behind the others that are due."""
        turn = self._ended(aid)
        if turn is not None:
            due = max(now, started + self._poll_interval_min_s) if caught_up else now
            turn.due, turn.failures = MonoS(due), 0
            turn.parked, turn.parked_times = None, 0

    def failed(self, aid: str, now: MonoS) -> None:
        """A walk broke off; try again later."""
        turn = self._ended(aid)
        if turn is not None:
            turn.failures += 1
            longest = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(turn.failures - 1, 10))
            turn.due = MonoS(now + longest * self._rng.uniform(0.5, 1.0))

    def parked(self, aid: str, reason: str, now: MonoS) -> bool:
        """The API refuses this account group. Returns whether that is news."""
        turn = self._ended(aid)
        if turn is None:
            return False
        news = turn.parked != reason
        wait_s = min(PARKED_S, PARKED_FIRST_S * 2.0 ** min(turn.parked_times, 10))
        turn.due, turn.parked = MonoS(now + wait_s), reason
        turn.parked_times += 1
        return news

    def abandoned(self, now: MonoS) -> None:
        """Every walk under way was given up (a restore): all may be handed out again, failures stay counted."""
        for aid, turn in list(self._turns.items()):
            if turn.running:
                turn.due = now
                self._ended(aid)

    def failures(self, aid: str) -> int:
        """How many walks of an account group broke off in a row."""
        turn = self._turns.get(aid)
        return turn.failures if turn else 0

    def parked_reason(self, aid: str) -> str | None:
        """Why an account group is parked; None when it is not."""
        turn = self._turns.get(aid)
        return turn.parked if turn else None

    def _ended(self, aid: str) -> _Turn | None:
        """The turn whose walk ended; it goes if its account group left meanwhile."""
        turn = self._turns.get(aid)
        if turn is not None:
            turn.running = False
            if turn.left:
                del self._turns[aid]
        return turn
