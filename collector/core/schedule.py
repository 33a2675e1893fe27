"""Decides which account group is walked next, and why, so that a session waits as short as the requests allow.

Rule: `LaneShares` says which lane goes next, the due time who goes next in it.

    hot        due an interval (`PollingPlan`) after the last start. When nobody is due, the one that is due first goes
               early: an interval is a rank, not a wait, so that no request of the budget is left over while an account
               group could use it. Only the shortest interval is waited for.
    others     due when they were wanted for, earliest first; of equals, the one that waits longest

Invariants:
    - an account group has at most one hot turn and one other turn under way;
    - a due time lies at most the longest interval behind the last start, and from then on every other account group
      gets at most one hot turn before it: nobody starves;
    - a want is due at the earliest when it is wanted, so those that wait already go first.

Nothing of this is durable: after a restart every account group is due at once, and its first window tells its rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from collector.core.due import DueQueue
from collector.core.lanes import LaneShares
from collector.core.model import EpochS, Lane, MonoS
from collector.core.polling_plan import Found, Outlook, PollingPlan

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
"""A walk that failed is tried again after 1, 2, 4, ... 300 s, times 0.5 to 1: one bad account group costs little."""

PARKED_FIRST_S = 60.0
PARKED_S = 600.0
"""A parked account group is asked again after 1, 2, 4, 8, 10, 10 ... minutes: permissions do come back, a refusal may
be a proxy's mistake, and one request a while is cheap."""

CAPACITY_UNKNOWN_PER_S = 3.2
"""Requests a second until told: the documented default of 240 a minute at the default share of 0.8."""

_OTHERS = (Lane.CATCH_UP, Lane.SWEEP, Lane.BACKFILL)


@dataclass(frozen=True, slots=True)
class Turn:
    """One walk to do now. Each is followed by exactly one `finished`, `failed` or `parked`, or by `abandoned`."""

    aid: str
    lane: Lane


@dataclass(slots=True)
class _Group:
    """Whose turn it is, and when: of one account group."""

    not_before: MonoS  # the shortest interval, a failure or a refusal: no hot turn before
    last_start: MonoS | None = None  # of the last hot walk that came to its end; None: due at `not_before`
    running: set[Lane] = field(default_factory=set)
    unpaid: set[Lane] = field(default_factory=set)  # turns whose first page was not seen yet: it is accounted already
    failures: dict[Lane, int] = field(default_factory=dict)
    wants: dict[Lane, MonoS] = field(default_factory=dict)
    withdrawn: bool = False  # the want whose turn is under way was taken back
    parked: str | None = None
    parked_times: int = 0
    left: bool = False


class PollSchedule:
    """The schedule of one organization.

    Args:
        poll_interval_min_s: shortest time from the start of one hot walk to the start of the next, seconds, > 0.
        poll_interval_max_s: longest time, while the requests suffice, seconds.
        rng: source of jitter.
    """

    def __init__(self, poll_interval_min_s: float, poll_interval_max_s: float, rng: Random) -> None:
        self._min_s = poll_interval_min_s
        self._rng = rng
        self._plan = PollingPlan(poll_interval_min_s, poll_interval_max_s)
        self._lanes = LaneShares()
        # All mutable state: the account groups, who waits for what, and what we were told. An account group without a
        # hot turn is in `_early` (its shortest interval has not passed) or in `_ready`; wants that may be handed out
        # are in `_wanted`.
        self._groups: dict[str, _Group] = {}
        self._early = DueQueue()
        self._ready = DueQueue()
        self._wanted = {lane: DueQueue() for lane in _OTHERS}
        self._now = MonoS(-math.inf)
        self._requests_per_s = CAPACITY_UNKNOWN_PER_S

    # --- what there is to do ----------------------------------------------------------------------------------

    def account_groups(self, aids: list[str], now: MonoS) -> None:
        """Schedule exactly these account groups; new ones are due now, in the order given."""
        self._seen(now)
        wanted = set(aids)
        for aid, group in list(self._groups.items()):
            if aid not in wanted:
                group.left = True
                self._forget(aid, group)
        for aid in aids:
            group = self._groups.get(aid) or _Group(now)
            if aid not in self._groups:
                self._groups[aid] = group
                self._plan.add(aid)
            elif not group.left:
                continue
            group.left = False
            self._wait(aid, group)

    def capacity(self, requests_per_s: float) -> None:
        """Tell how many requests a second the budget allows on average; 0 or less is ignored."""
        if requests_per_s > 0.0:
            self._requests_per_s = requests_per_s

    def share(self, lane: Lane, weight: float) -> None:
        """Give a lane another weight, > 0; `collector.core.lanes.WEIGHTS` has the default ones."""
        self._lanes.weigh(lane, weight)

    def want(self, aid: str, lane: Lane, due: MonoS | None) -> None:
        """Ask for one turn of another lane than hot; None takes the wish back.

        A want is used up when its turn is handed out; a turn that fails or is abandoned is wanted again by itself.

        Args:
            aid: an account group; one that is not scheduled is ignored.
            lane: sweep, catch-up or backfill.
            due: when; a time that has passed counts as now.
        """
        assert lane is not Lane.HOT, "hot turns need no wish"
        group = self._groups.get(aid)
        if group is None or group.left:
            return
        if lane in group.running:
            group.withdrawn = due is None
        if due is None:
            group.wants.pop(lane, None)
            self._wanted[lane].remove(aid)
        else:
            group.wants[lane] = MonoS(max(due, self._now))
            self._wait(aid, group)

    def wants(self, aid: str, lane: Lane) -> bool:
        """Whether a turn of this lane is asked for, or under way."""
        group = self._groups.get(aid)
        return group is not None and (lane in group.wants or lane in group.running)

    def next(self, now: MonoS) -> Turn | MonoS | None:
        """The turn to take now; or the time to ask again; or None when nobody waits."""
        self._seen(now)
        self._replan(now)
        while (first := self._early.first()) is not None and first[0] <= now:
            self._early.remove(first[1])
            self._ready.put(first[1], self._hot_due(first[1]))
        with_work = [lane for lane in _OTHERS if self._has_work(lane, now)]
        if len(self._ready):
            with_work.append(Lane.HOT)
        if not with_work:
            waiting = [queue.first() for queue in (self._early, *self._wanted.values())]
            return min((first[0] for first in waiting if first is not None), default=None)
        return self._hand_out(self._lanes.choose(with_work))

    # --- what came of it --------------------------------------------------------------------------------------

    def page(self, turn: Turn, now: MonoS) -> None:
        """Account one page (a request, whatever came of it) to the lane of a turn under way."""
        self._seen(now)
        group = self._groups.get(turn.aid)
        if group is not None and turn.lane in group.unpaid:
            group.unpaid.discard(turn.lane)
        else:
            self._lanes.took_page(turn.lane)

    def finished(
        self,
        turn: Turn,
        started: MonoS,
        now: MonoS,
        *,
        pages: int,
        arrivals: int,
        caught_up: bool,
        duration_s: float | None = None,
        server_now: EpochS | None = None,
    ) -> None:
        """A walk came to its end. Of other lanes than hot only the turn and the times count.

        Args:
            turn: as handed out.
            started: when the walk began.
            now: the time.
            pages: how many it had.
            arrivals: sessions that it was the first to find.
            caught_up: it reached the time at which it began; otherwise there is more hot work at once, behind the
                others that are due.
            duration_s: in which time the arrivals became visible, seconds; needed for the first walk since a start,
                later ones are counted from the walk before.
            server_now: server time, for the hours of the day.
        """
        group = self._ended(turn, now)
        if group is None:
            return
        group.failures.pop(turn.lane, None)
        group.parked, group.parked_times = None, 0
        if turn.lane is Lane.HOT:
            self._plan.learn(turn.aid, Found(started, pages, arrivals, caught_up, duration_s, server_now), now)
            group.not_before = MonoS(max(now, started + self._min_s)) if caught_up else now
            group.last_start = started if caught_up else None
        self._wait(turn.aid, group)

    def failed(self, turn: Turn, now: MonoS) -> None:
        """A walk broke off; it is tried again later. The account group's other lanes go on."""
        group = self._ended(turn, now)
        if group is None:
            return
        failures = group.failures[turn.lane] = group.failures.get(turn.lane, 0) + 1
        longest = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 10))
        self._again(group, turn.lane, MonoS(now + longest * self._rng.uniform(0.5, 1.0)))
        self._wait(turn.aid, group)

    def parked(self, turn: Turn | str, reason: str, now: MonoS) -> bool:
        """An account group is refused: it gets only a rare hot turn until one works.

        Args:
            turn: the turn that ended so; or an account group, when every turn of it was given up (a restore follows).
            reason: why; from a closed set.
            now: the time.

        Returns:
            Whether that is news.
        """
        aid = turn if isinstance(turn, str) else turn.aid
        group = self._groups.get(aid)
        if group is None:
            return False
        for lane in tuple(group.running) if isinstance(turn, str) else (turn.lane,):
            if self._ended(Turn(aid, lane), now) is not None:
                self._again(group, lane, now)
        if group.left:
            return False
        news = group.parked != reason
        wait_s = min(PARKED_S, PARKED_FIRST_S * 2.0 ** min(group.parked_times, 10))
        group.parked = reason
        group.parked_times += 1
        self._again(group, Lane.HOT, MonoS(now + wait_s))
        self._wait(aid, group)
        return news

    def abandoned(self, now: MonoS) -> None:
        """Every walk under way was given up (a restore): all may be handed out again, failures stay counted."""
        for aid, group in list(self._groups.items()):
            for lane in tuple(group.running):
                if self._ended(Turn(aid, lane), now) is not None:
                    self._again(group, lane, now)
                    self._wait(aid, group)

    # --- what there is to know --------------------------------------------------------------------------------

    def failures(self, aid: str) -> int:
        """How many walks of an account group broke off in a row, in the lane where most did."""
        group = self._groups.get(aid)
        return max(group.failures.values(), default=0) if group else 0

    def parked_reason(self, aid: str) -> str | None:
        """Why an account group is parked; None when it is not."""
        group = self._groups.get(aid)
        return group.parked if group else None

    def outlook(self, aid: str) -> Outlook | None:
        """The interval and the rate that are expected of an account group; None when it is not scheduled."""
        return self._plan.outlook(aid) if aid in self._groups else None

    # --- queues -----------------------------------------------------------------------------------------------

    def _seen(self, now: MonoS) -> None:
        self._now = MonoS(max(self._now, now))

    def _has_work(self, lane: Lane, now: MonoS) -> bool:
        first = self._wanted[lane].first()
        return first is not None and first[0] <= now

    def _hot_due(self, aid: str) -> MonoS:
        group = self._groups[aid]
        if group.last_start is None:
            return group.not_before
        return MonoS(max(group.not_before, group.last_start + self._plan.interval_s(aid)))

    def _replan(self, now: MonoS) -> None:
        if not self._plan.is_outdated(now):
            return
        regular = [aid for aid, group in self._groups.items() if group.parked is None and not group.left]
        busy = {lane for group in self._groups.values() for lane in group.running}
        busy.update(lane for lane in _OTHERS if self._has_work(lane, now))
        self._plan.replan(regular, self._requests_per_s * self._lanes.share(Lane.HOT, busy), now)
        for aid in regular:
            if aid in self._ready:
                self._ready.put(aid, self._hot_due(aid))

    def _hand_out(self, lane: Lane) -> Turn:
        queue = self._ready if lane is Lane.HOT else self._wanted[lane]
        first = queue.first()
        assert first is not None, "a lane with work has a first"
        aid = first[1]
        group = self._groups[aid]
        queue.remove(aid)
        group.running.add(lane)
        group.unpaid.add(lane)
        if lane is not Lane.HOT:
            del group.wants[lane]
            group.withdrawn = False
            for other in self._wanted.values():
                other.remove(aid)
        return Turn(aid, lane)

    def _wait(self, aid: str, group: _Group) -> None:
        """Put an account group into the queues of what it may do next, and take it out of the others."""
        if Lane.HOT in group.running:
            self._early.remove(aid)
        elif group.not_before > self._now or aid not in self._ready:
            self._ready.remove(aid)
            self._early.put(aid, group.not_before)
        free = group.parked is None and not group.running - {Lane.HOT}
        for lane, queue in self._wanted.items():
            if free and lane in group.wants:
                queue.put(aid, group.wants[lane])
            else:
                queue.remove(aid)

    def _again(self, group: _Group, lane: Lane, due: MonoS) -> None:
        """The turn that ended comes back at ``due``, not before."""
        if lane is Lane.HOT:
            group.not_before, group.last_start = due, None
        elif not group.withdrawn:
            group.wants[lane] = MonoS(max(due, group.wants.get(lane, due)))

    def _ended(self, turn: Turn, now: MonoS) -> _Group | None:
        """The account group whose turn ended; None when it left meanwhile."""
        self._seen(now)
        group = self._groups.get(turn.aid)
        if group is None:
            return None
        group.running.discard(turn.lane)
        group.unpaid.discard(turn.lane)
        if group.left:
            self._forget(turn.aid, group)
            return None
        return group

    def _forget(self, aid: str, group: _Group) -> None:
        """Drop an account group that left. While it is walked it stays: should it come back, no second walk may run."""
        for queue in (self._early, self._ready, *self._wanted.values()):
            queue.remove(aid)
        if not group.running:
            del self._groups[aid]
            self._plan.remove(aid)
