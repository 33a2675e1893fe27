"""Where one account group stands: its ledger, and for each lane the next window and when it is due.

Rule: it proposes and applies. What returns an `Advance` says what would become durable; memory moves in `apply`, after
the commit. What is not durable (bounds that trouble left, measured lateness, walks under way) is learned again.

Invariants:
    - no window asks for what is older than the ids that are kept: nothing that a window can show is taken for new;
    - ids are kept from the first second on that is not final, from the late horizon on, and from the start of every
      walk under way on, whichever is earliest, and an hour more;
    - one walk of each lane at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collector.core.chunks import KEEP_MARGIN_S, hour_of
from collector.core.lateness import Lateness
from collector.core.ledger import Ledger
from collector.core.ledger_entries import Lost, SweepRun, Trouble, Why
from collector.core.ledger_record import decode, encode
from collector.core.model import EpochS, Lane, StateChange, Window
from collector.core.ranges import Range, as_ranges, clip, difference, seconds
from collector.core.spans import SPAN_MIN_S, SpanBound, slices
from collector.core.walk import PAGES_UNPROVEN_MAX
from collector.core.windows import (
    ROUND_S,
    Sweep,
    SweepChoice,
    catch_up_due,
    catch_up_window,
    catch_up_work,
    hot_start,
    sweep_choice,
    sweep_due,
)

JUMP_MIN_S = 1_800
"""Hot leaves a gap to catch-up when it is longer than a slice, and than this: quiet groups are polled rarely."""

DAY_S = 86_400
UNBOUNDED_S = 400 * DAY_S
"""Longer than anything that is kept anywhere: no bound."""


@dataclass(frozen=True, slots=True)
class ProgressSettings:
    """Choices of the operator, all in seconds.

    Args:
        initial_lookback_s: how far before the first run coverage begins.
        overlap_s: shortest overlap, and the one to begin with.
        late_horizon_s: how long after it took place a session is expected to appear at the latest.
        overlap_max_s: longest overlap, however late sessions are; at least ``overlap_s``.
        sweeps: the shortest first. Without one that has no bound, what is settled is final at the late horizon.
        api_retention_s: how long the API keeps sessions.
    """

    initial_lookback_s: int
    overlap_s: int
    late_horizon_s: int
    overlap_max_s: int = 0
    sweeps: tuple[Sweep, ...] = ()
    api_retention_s: int = 30 * DAY_S


@dataclass(frozen=True, slots=True)
class Advance:
    """A ledger about to become durable, its change, if it is one, and what is lost with it."""

    ledger: Ledger
    changes: tuple[StateChange, ...]
    lost: tuple[Lost, ...] = ()


class Progress:
    """Progress of one account group.

    Args:
        key: the durable key.
        settings: see `ProgressSettings`.
        ledger: what was durable; None for an account group that was never walked.
    """

    def __init__(self, key: str, settings: ProgressSettings, ledger: Ledger | None = None) -> None:
        self._key = key
        self._settings = settings
        if ledger is not None:  # a sweep that is new is due at once
            runs = ledger.sweeps + (SweepRun(0, 0, 0),) * len(settings.sweeps)
            ledger = replace(ledger, sweeps=runs[: len(settings.sweeps)])
        self.ledger = ledger
        # Not durable: a restart begins without them.
        longest_s = max(settings.overlap_s, settings.overlap_max_s)
        self.lateness = Lateness(settings.overlap_s, longest_s, None if ledger is None else ledger.overlap_s)
        self._under_way: dict[Lane, Window] = {}
        self._sweeping: SweepChoice | None = None
        self._from_newest = False  # whether catch-up tries the other end, because a round could not be read
        self._hot_bound = SpanBound(UNBOUNDED_S, UNBOUNDED_S, PAGES_UNPROVEN_MAX)
        self._slices = {lane: slices() for lane in (Lane.CATCH_UP, Lane.SWEEP, Lane.BACKFILL)}
        self.asked: Range | None = None
        """What an operator asked for and is walked next by backfill."""

    @classmethod
    def restore(cls, key: str, settings: ProgressSettings, value: bytes | None) -> Progress:
        """Progress as it was made durable.

        Raises:
            ValueError, KeyError, TypeError: the value is none of ours.
        """
        return cls(key, settings, None if value is None else decode(value))

    @property
    def kept_from(self) -> int:
        """Time from which ids are kept, seconds; 0 when nothing was walked."""
        return self.ledger.kept_from if self.ledger is not None else 0

    # --- which window, and when -------------------------------------------------------------------------------

    def opening(self, now: EpochS) -> Advance | None:
        """What to make durable before anything is asked at ``now``, server time; None: nothing.

        That is where coverage begins, the first time; later, what the API does not keep any more: gaps there are lost.
        """
        if self.ledger is None:
            begins = (int(now) - self._settings.initial_lookback_s) // ROUND_S * ROUND_S
            runs = (SweepRun(int(now), 0, 0),) * len(self._settings.sweeps)
            return self._changed(Ledger(begins, begins, self.lateness.overlap_s, sweeps=runs))
        edge = int(now) - self._settings.api_retention_s
        gone_until = -(-edge // ROUND_S) * ROUND_S
        # By the hour, so that the state changes rarely; but a gap is lost as far as the API has forgotten it.
        ledger = self.ledger.forget(gone_until if self.ledger.unwalked(gone_until) else hour_of(edge), now)
        return None if ledger == self.ledger else self._changed(ledger)

    def window(self, lane: Lane, now: EpochS) -> Window | None:
        """The range that ``lane`` walks next at ``now``, server time; None: nothing. After `opening`."""
        ledger = self._on_clock(now)
        if lane is Lane.HOT:
            return Window(self._next_hot(ledger, now), int(now))
        if lane is Lane.CATCH_UP:
            span_s, hot_from = self._slices[lane].span_s, self._hot_from(ledger, now)
            return catch_up_window(ledger, hot_from, now, span_s, from_newest=self._from_newest)
        if lane is Lane.SWEEP:
            choice = self._sweep(now)
            return None if choice is None else choice.window
        if self.asked is None:
            return None
        begin = self.asked[0] // ROUND_S * ROUND_S
        return Window(begin, max(begin, min(begin + self._slices[lane].span_s, self.asked[1])))

    def due(self, lane: Lane, now: EpochS) -> EpochS | None:
        """When ``lane`` has work, server time: ``now`` or later; None: none until something else was walked."""
        if self.ledger is None:
            return now if lane is Lane.HOT else None
        ledger = self._on_clock(now)
        if lane is Lane.CATCH_UP:
            return catch_up_due(ledger, self._hot_from(ledger, now), now)
        if lane is Lane.SWEEP:
            return sweep_due(ledger, self._settings.sweeps, now)
        return now if lane is Lane.HOT else None  # backfill: when its job says so

    def has_reached(self, goal: EpochS) -> bool:
        """Whether everything due at ``goal``, server time, was walked; unreadable rounds are not waited for."""
        if self.ledger is None:
            return False
        # `Date` has whole seconds: a walk that began in the same second covers up to one second less.
        left = difference(self.ledger.unwalked(int(goal) - 1), self.ledger.unreadable_ranges)
        sweep = self.due(Lane.SWEEP, goal)
        return not left and (sweep is None or sweep > goal)

    def left_s(self, now: EpochS) -> int:
        """How much catch-up has to walk, seconds of sessions."""
        if self.ledger is None:
            return 0
        ledger = self._on_clock(now)
        return seconds(catch_up_work(ledger, self._hot_from(ledger, now), now))

    def begin(self, lane: Lane, now: EpochS) -> Window | None:
        """A walk of `window` begins, if there is one; ids that it can show are kept until `ended`."""
        assert lane not in self._under_way, f"two {lane} walks at once"
        window = self.window(lane, now)
        if window is not None:
            self._under_way[lane] = window
            self._sweeping = self._sweep(now) if lane is Lane.SWEEP else self._sweeping
        return window

    def ended(self, lane: Lane) -> None:
        """The walk of ``lane`` is over, whatever came of it."""
        self._under_way.pop(lane, None)

    # --- what becomes durable ---------------------------------------------------------------------------------

    def advance(
        self, lane: Lane, window: Window, started_at: EpochS, until: int | None, now: EpochS, *, finished: bool = False
    ) -> Advance:
        """What to make durable after a page or a walk.

        Args:
            lane: why the walk happens.
            window: the walk's window.
            started_at: server time at which the walk began.
            until: the window is walked up to here (seconds); None when the page proved nothing.
            now: server time.
            finished: the walk came to its end.
        """
        ledger = self._on_clock(now)
        if until is not None:
            before = ledger
            horizon_s = self._settings.late_horizon_s
            if lane is Lane.BACKFILL:  # what lies before the floor is nothing that was ever promised
                window = Window(max(window.start, ledger.floor), max(window.end, ledger.floor))
            if lane is not Lane.BACKFILL or until > window.start:
                ledger = ledger.walk(lane, window, started_at, until, horizon_s=horizon_s, finished=finished)
            if lane is Lane.HOT:
                ledger = self._passed_over(before, ledger, window)
            if lane is Lane.SWEEP:
                ledger = self._swept(ledger, until)
        return self._changed(self._kept(ledger, now))

    def failed(self, lane: Lane, window: Window, trouble: Trouble, now: EpochS) -> Advance:
        """A walk cannot be finished as it is: half of its window is tried next; a single round is tried rarely."""
        span_s = window.end - window.start
        self._bound(lane).failed(span_s)
        ledger = self._on_clock(now)
        if span_s <= SPAN_MIN_S and lane in (Lane.CATCH_UP, Lane.SWEEP):
            ledger = ledger.not_readable(window, trouble, now)
            self._from_newest = lane is Lane.CATCH_UP and not self._from_newest
        return self._changed(self._kept(ledger, now))

    def parked(self, detail: str, now: EpochS) -> Advance:
        """The API refuses the account group: the gap that follows has this reason."""
        return self._changed(self._on_clock(now).refused(detail, now))

    def apply(self, advance: Advance) -> None:
        """Take over what was committed."""
        self.ledger = advance.ledger

    # --- what is learned --------------------------------------------------------------------------------------

    def finished(self, lane: Lane, window: Window, pages: int, *, is_proven: bool = False) -> None:
        """A walk came to its end after ``pages``: the bound of its lane follows.

        A hot walk whose rows have proven their order may have as many pages as it likes.
        """
        if lane is Lane.CATCH_UP:
            self._from_newest = False
        self._bound(lane).finished(window.end - window.start, 0 if is_proven and lane is Lane.HOT else pages)

    def observe(self, counts: Sequence[tuple[int, int]], now: EpochS) -> None:
        """Take the latenesses of a page that is durable; see `Lateness.observe`."""
        self.lateness.observe(counts, now)

    # --- inside -----------------------------------------------------------------------------------------------

    def _on_clock(self, now: EpochS) -> Ledger:
        assert self.ledger is not None, "opening was not made durable"
        ledger = self.ledger.on_clock(now, self.lateness.overlap_s, self._settings.late_horizon_s)
        if all(sweep.reach_s is not None for sweep in self._settings.sweeps):  # nobody walks again
            final = clip(ledger.settled, ledger.floor, int(now) - self._settings.late_horizon_s)
            ledger = replace(ledger, final=final)
        return ledger

    def _hot_from(self, ledger: Ledger, now: EpochS) -> int:
        """Where the hot window begins that is walked, or the next one: what lies before is left to catch-up."""
        under_way = self._under_way.get(Lane.HOT)
        return self._next_hot(ledger, now) if under_way is None else under_way.start

    def _next_hot(self, ledger: Ledger, now: EpochS) -> int:
        jump_s = max(JUMP_MIN_S, self._slices[Lane.CATCH_UP].span_s)
        return hot_start(ledger, now, jump_s, self._hot_bound.span_s)

    def _sweep(self, now: EpochS) -> SweepChoice | None:
        return sweep_choice(self._on_clock(now), self._settings.sweeps, now, self._slices[Lane.SWEEP].span_s)

    def _bound(self, lane: Lane) -> SpanBound:
        return self._slices.get(lane, self._hot_bound)

    def _swept(self, ledger: Ledger, until: int) -> Ledger:
        assert self._sweeping is not None, "begin was not called"
        place, run, _ = self._sweeping
        run = run._replace(position=max(until, run.position))
        return replace(ledger, sweeps=(*ledger.sweeps[:place], run, *ledger.sweeps[place + 1 :]))

    def _passed_over(self, before: Ledger, after: Ledger, window: Window) -> Ledger:
        """Why hot left a gap behind it, if it did."""
        if window.start <= before.newest or not after.unwalked(window.start):
            return after
        bounded = window.end - window.start < before.overlap_s
        why = Why.PARKED if before.parked else Why.BEHIND if before.hot_from is None or bounded else Why.MISSED
        return after.passed_over(before.newest, window.start, why)

    def _kept(self, ledger: Ledger, now: EpochS) -> Ledger:
        """Without the ids that no window can show any more."""
        oldest = min(ledger.final_until, int(now) - self._settings.late_horizon_s)
        keep_from = min([oldest, *(window.start for window in self._under_way.values())])
        return replace(ledger, kept_from=max(ledger.kept_from, hour_of(keep_from - KEEP_MARGIN_S)))

    def _changed(self, ledger: Ledger) -> Advance:
        changes = () if ledger == self.ledger else (StateChange(self._key, encode(ledger)),)
        # Each second is told once, and none that lies between two that are told as one.
        known = [*self.ledger.lost_ranges, *self.ledger.walked] if self.ledger is not None else []
        new = difference(ledger.lost_ranges, as_ranges(known))
        lost = tuple(one._replace(start=a, end=b) for one in ledger.lost for a, b in clip(new, one.start, one.end))
        return Advance(ledger, changes, lost)
