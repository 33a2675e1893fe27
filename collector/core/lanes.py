"""Shares an organization's pages among the lanes: start-time fair queueing, a page is the unit.

Rule: of the lanes that have work the one with the earliest start tag goes next. A page moves its lane's tag on by
1 / weight, so that lanes with work get pages as their weights are to each other. A lane without work saves nothing up,
and what it leaves goes to the others.

Invariants: no tag lies behind the lane served last by more than ``DEBT_PAGES_MAX`` pages: whatever a long walk took,
its lane waits for a bounded time.

Source: Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from collector.core.model import Lane

WEIGHTS: Mapping[Lane, float] = {Lane.HOT: 70.0, Lane.CATCH_UP: 20.0, Lane.SWEEP: 10.0, Lane.BACKFILL: 10.0}
"""Fresh sessions are what the collector is for; the rest has a floor. All at once: hot gets 64 %, a sweep 9 %."""

DEBT_PAGES_MAX = 50.0
"""A walk cannot be interrupted, so it may take more than its lane's share. This much of it is paid back."""


class LaneShares:
    """Who goes next, and what each lane took.

    Args:
        weights: of every lane, > 0.
    """

    def __init__(self, weights: Mapping[Lane, float] = WEIGHTS) -> None:
        # All mutable state: the weights, where each lane's next page begins, and where the one chosen last began.
        self._weights = dict(weights)
        self._tags = dict.fromkeys(Lane, 0.0)
        self._virtual = 0.0

    def weigh(self, lane: Lane, weight: float) -> None:
        """Give a lane another weight, > 0."""
        self._weights[lane] = weight

    def share(self, lane: Lane, with_work: Collection[Lane]) -> float:
        """The part of all pages that a lane gets while these lanes have work, over 0 to 1."""
        total = sum(self._weights[other] for other in {lane, *with_work})
        return self._weights[lane] / total

    def choose(self, with_work: Collection[Lane]) -> Lane:
        """The lane that goes next, of at least one; its first page is accounted."""
        lane = min(
            with_work, key=lambda candidate: (max(self._virtual, self._tags[candidate]), candidate is not Lane.HOT)
        )
        self._virtual = max(self._virtual, self._tags[lane])
        self.took_page(lane)
        return lane

    def took_page(self, lane: Lane) -> None:
        """Account one page more to a lane."""
        weight = self._weights[lane]
        tag = max(self._virtual, self._tags[lane]) + 1.0 / weight
        self._tags[lane] = min(tag, self._virtual + DEBT_PAGES_MAX / weight)
