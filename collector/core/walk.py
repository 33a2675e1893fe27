"""Follows one window page by page, and knows what its pages prove.

Rule: a walk counts as coverage only when it came to its end, or as far as its rows prove that they come oldest first.
An order is proven by rows, not by a page: ``ORDER_PROOF_ROWS`` rows in a row that never go back, span more than one
round, and stand on more than one page. Newest first, shuffled and one-row pages prove nothing, and only the end counts.
Nor do rows that may as well come as they were committed, because what was committed late then stands at the end: one
of them must have been committed before one in front of it (rows that do not say when are taken at their rounds' word).

Invariants: a continuation is followed once (a second time is a loop), and no walk has more than ``pages_max`` pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from collector.core.model import EpochS, Lane, Page, PageRequest, Window

ORDER_PROOF_PAGES = 2
"""A page may be in order inside while the pages come newest first; that shows where the second one begins."""

PAGES_MAX = 10_000
"""Ten million rows at the usual 1,000 a page: beyond that a walk has no end, or its window must be smaller."""

PAGES_UNPROVEN_MAX = 500
"""A walk whose rows prove no order counts at its end only: two minutes of a usual quota, that a restart may repeat."""

ORDER_PROOF_ROWS = 20
"""Shuffled rows look ordered by chance with 1 : 20!; fewer rows than this prove nothing."""


class Commits(NamedTuple):
    """When the rows of a page were committed, to the second, as text that sorts as its times do.

    Args:
        first: the earliest of them; empty when no row says.
        last: the latest.
        in_order: whether none was committed before one in front of it.
    """

    first: str
    last: str
    in_order: bool


UNTOLD = Commits("", "", in_order=True)
"""Of a page on which no row says when it was committed."""


class WalkState(Enum):
    """Where a walk stands after a page."""

    GOES_ON = "goes_on"
    FINISHED = "finished"
    LOOPED = "looped"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Step:
    """What one page does to its walk.

    Args:
        state: whether another page follows.
        proven_until: time before which everything in the window was shown, seconds; None when nothing is proven.
    """

    state: WalkState
    proven_until: int | None


class Walk:
    """One walk over one window of one account group.

    Args:
        aid: account group.
        window: closed range, server time.
        lane: why the walk happens.
        started_at: server time of the first request.
        pages_max: bound of the walk, pages.
        pages_unproven_max: bound as long as its rows prove no order: such a walk leaves nothing behind when it breaks.
    """

    def __init__(
        self,
        aid: str,
        window: Window,
        *,
        lane: Lane = Lane.HOT,
        started_at: EpochS,
        pages_max: int = PAGES_MAX,
        pages_unproven_max: int = PAGES_MAX,
    ) -> None:
        self.aid = aid
        self.window = window
        self.lane = lane
        self.started_at = started_at
        self.pages = 0
        self.rows = 0
        self.arrivals = 0  # sessions that it was the first to find; counted by the loop, after their commit
        # All mutable state of the walk: where it is, what it followed, and what the rows have shown of their order.
        self._pages_max = pages_max
        self._pages_unproven_max = min(pages_max, pages_unproven_max)
        self._continuation: str | None = None
        self._followed: set[bytes] = set()
        self._ordered_rows = 0
        self._first_round: int | None = None
        self._last_round: int | None = None
        self._in_order = True
        self._last_commit = ""
        self._commits_go_back = False

    @property
    def request(self) -> PageRequest:
        """The page to fetch now."""
        return PageRequest(self.aid, self.window, self._continuation)

    @property
    def is_proven(self) -> bool:
        """Whether its rows have proven their order so far: then it leaves progress behind with every page."""
        return self._proven() is not None

    @property
    def is_first_page(self) -> bool:
        """Whether no page was taken yet."""
        return self.pages == 0

    def step(self, page: Page, rounds: Iterable[int], commits: Commits) -> Step:
        """Take a page that is about to be published.

        Args:
            page: the answer to `request`.
            rounds: ``roundId`` of its rows in the order they came; rows without one are left out.
            commits: when its rows were committed, as far as they say; `UNTOLD` when none does.
        """
        date = page.answer.date
        if date is not None and date < self.started_at:
            self.started_at = date  # the server's clock is behind what we took it for: cover no more than it knows
        self.pages += 1
        self.rows += len(page.rows)
        self._observe(rounds)
        self._observe_commits(commits)
        if page.continuation is None:
            return Step(WalkState.FINISHED, self._end())
        fingerprint = blake2b(page.continuation.encode("utf-8", "replace"), digest_size=16).digest()
        if fingerprint in self._followed:
            return Step(WalkState.LOOPED, self._proven())
        proven = self._proven()
        if self.pages >= (self._pages_unproven_max if proven is None else self._pages_max):
            return Step(WalkState.TOO_LONG, proven)
        self._followed.add(fingerprint)
        self._continuation = page.continuation
        return Step(WalkState.GOES_ON, proven)

    def _end(self) -> int:
        return min(self.window.end, int(self.started_at))

    def _observe(self, rounds: Iterable[int]) -> None:
        last = self._last_round
        for round_id in rounds:
            if last is None:
                self._first_round = round_id
            elif round_id < last:
                self._in_order = False
                return
            last = round_id
            self._ordered_rows += 1
        self._last_round = last

    def _observe_commits(self, commits: Commits) -> None:
        if not commits.last:
            return
        self._commits_go_back |= not commits.in_order or commits.first < self._last_commit
        self._last_commit = max(self._last_commit, commits.last)

    def _proven(self) -> int | None:
        first, last = self._first_round, self._last_round
        if self._last_commit and not self._commits_go_back:
            return None  # the rows may come as they were committed
        if not self._in_order or first is None or last is None or self._ordered_rows < ORDER_PROOF_ROWS:
            return None
        if self.pages < ORDER_PROOF_PAGES:
            return None
        if first == last or not self.window.start <= last <= self._end():
            return None
        return last
