"""Where one account group stands: what is covered, and which window comes next.

Rule: it proposes and applies. `advance` says what would become durable; memory moves in `apply`, after the commit.

Two times tell everything (server time, seconds):
    - ``covered_until``: everything before it was walked at least once;
    - ``settled_until``: everything before it was walked at least ``overlap`` after it took place, so that sessions
      committed that late were found too. The next window begins here.

Invariants: ``settled_until <= covered_until``; ids are kept from ``settled_until`` and from the late horizon on,
whichever is earlier, so nothing that a later window can show is ever taken for new.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from collector.core.model import EpochS, StateChange, Window
from collector.core.seen import HOUR_S, hour_of

STATE_VERSION = 1
ROUND_S = 60
"""Length of a round (inferred from published samples). Windows begin at a round's start, because the API may select on
``roundId``: a session that is younger than a window's start may belong to a round that is older."""

SPAN_MIN_S = ROUND_S
"""The smallest window: one round."""

KEEP_MARGIN_S = HOUR_S
"""Ids outlive the last window that can show them by this much: a session's round and date need not agree."""


@dataclass(frozen=True, slots=True)
class ProgressSettings:
    """Choices of the operator, all in seconds: first window's reach, commit delay to expect, how long ids are kept."""

    initial_lookback_s: int
    overlap_s: int
    late_horizon_s: int


@dataclass(frozen=True, slots=True)
class Position:
    """The durable part. ``covered_until`` and ``settled_until`` as in the module's description; ids of sessions older
    than ``kept_from`` were dropped."""

    covered_until: int
    settled_until: int
    kept_from: int


@dataclass(frozen=True, slots=True)
class Advance:
    """A position about to become durable, and its change, if it is one."""

    position: Position
    changes: tuple[StateChange, ...]


class Progress:
    """Progress of one account group.

    Args:
        key: the durable key.
        settings: see `ProgressSettings`.
        position: what was durable; None for an account group that was never walked.
    """

    def __init__(self, key: str, settings: ProgressSettings, position: Position | None = None) -> None:
        self._key = key
        self._settings = settings
        self.position = position
        # Not durable, a restart begins without them: the bound that trouble put on windows, and where a bounded
        # window ended, so that the next one goes on from there before the overlap is walked again.
        self._span_max_s: int | None = None
        self._go_on_from: int | None = None

    @classmethod
    def restore(cls, key: str, settings: ProgressSettings, value: bytes | None) -> Progress:
        """Progress as it was made durable.

        Raises:
            ValueError: the value is none of ours.
        """
        if value is None:
            return cls(key, settings)
        stored = orjson.loads(value)
        if stored["version"] != STATE_VERSION:
            raise ValueError(f"progress of version {stored['version']}, this collector writes {STATE_VERSION}")
        position = Position(int(stored["covered_until"]), int(stored["settled_until"]), int(stored["kept_from"]))
        return cls(key, settings, position)

    @property
    def kept_from(self) -> int:
        """Time from which ids are kept, seconds; 0 when nothing was walked."""
        return self.position.kept_from if self.position is not None else 0

    def next_window(self, now: EpochS) -> Window:
        """The range to walk at ``now``, server time. A position in the future (a clock that ran ahead) is clamped."""
        today = int(now)
        if self.position is None:
            start = today - self._settings.initial_lookback_s
        else:
            start = min(self.position.settled_until, today - self._settings.overlap_s)
        if self._go_on_from is not None and self._go_on_from < today:
            start = max(start, self._go_on_from)
        end = today if self._span_max_s is None else min(today, start + self._span_max_s)
        return Window(start // ROUND_S * ROUND_S, end)

    def caught_up(self, now: EpochS) -> bool:
        """Whether everything up to ``now`` (server time) was walked."""
        return self.position is not None and self._go_on_from is None and self.position.covered_until >= int(now)

    def advance(self, window: Window, started_at: EpochS, until: int | None, now: EpochS) -> Advance:
        """What to make durable after a page or a walk.

        Args:
            window: the walk's window.
            started_at: server time at which the walk began.
            until: the window is walked up to here (seconds); None when the page proved nothing.
            now: server time.
        """
        # Never walked: coverage begins at the first window's start.
        old = self.position or Position(window.start, window.start, 0)
        covered, settled = old.covered_until, old.settled_until
        if until is not None and until >= window.start:  # a `Date` from before it proves nothing
            covered = max(until, old.covered_until) if old.covered_until <= int(now) else until
            # Nothing can be settled yet that is younger than the overlap: a clock that ran ahead said so.
            settled = min(settled, covered, int(now) - self._settings.overlap_s)
            if window.start <= old.settled_until:
                settled = max(settled, min(until, int(started_at) - self._settings.overlap_s))
        keep_from = hour_of(min(settled, int(now) - self._settings.late_horizon_s) - KEEP_MARGIN_S)
        position = Position(covered, settled, max(old.kept_from, keep_from))
        changes: tuple[StateChange, ...] = ()
        if position != self.position:
            changes = (StateChange(self._key, _encode(position)),)
        return Advance(position, changes)

    def apply(self, advance: Advance) -> None:
        """Take over what was committed."""
        self.position = advance.position

    def walk_finished(self, window: Window, started_at: EpochS) -> None:
        """The walk came to its end: go on behind it if a bound cut it short of its start, and loosen the bound.

        The start counts, not the end: a walk that takes time would else never be seen to reach now, and the overlap
        would not be walked again for as long as the bound holds.
        """
        self._go_on_from = window.end if self._span_max_s is not None and window.end < int(started_at) - 1 else None
        if self._span_max_s is not None:
            self._span_max_s *= 2
            if self._go_on_from is None and self._span_max_s > self._settings.overlap_s:
                self._span_max_s = None

    def walk_failed(self, window: Window) -> None:
        """The walk cannot be finished as it is (a loop, too many pages, a lost cursor): try half of its window."""
        self._span_max_s = max(SPAN_MIN_S, (window.end - window.start) // 2)


def _encode(position: Position) -> bytes:
    return orjson.dumps(
        {
            "version": STATE_VERSION,
            "covered_until": position.covered_until,
            "settled_until": position.settled_until,
            "kept_from": position.kept_from,
        }
    )
