"""How long a window may be: shorter after trouble or many pages, longer again when walks prove easy.

Rule: a window is never bounded below one round, so every walk covers something, and a bound that trouble left goes away
by itself. Not durable: a new process learns it again within a few walks.
"""

from __future__ import annotations

from collector.core.windows import ROUND_S

SPAN_MIN_S = ROUND_S
"""The smallest window: one round. What cannot be read even then is recorded as unreadable."""

SLICE_PAGES = 20
"""Pages that a slice should take: some seconds of a usual quota, so that lanes and account groups take turns."""

SLICE_FIRST_S = 3_600
SLICE_MAX_S = 43_200
"""The first slice covers an hour; none more than twelve: the longest range the API serves is not documented."""


class SpanBound:
    """The longest window of one lane, seconds.

    Args:
        first_s: bound to begin with.
        longest_s: bound that is never exceeded.
        pages: pages that a window should take at most; more shrink the next one.
    """

    def __init__(self, first_s: int, longest_s: int, pages: int) -> None:
        self._longest_s = longest_s
        self._pages = pages
        self.span_s = first_s  # all mutable state

    def failed(self, span_s: int) -> None:
        """A walk over a window of ``span_s`` could not be finished as it is: half of it is tried next."""
        self.span_s = max(SPAN_MIN_S, min(self.span_s, span_s // 2))

    def finished(self, span_s: int, pages: int) -> None:
        """A walk over a window of ``span_s`` took ``pages``: more than it should shrink the next, few double it.

        Only a window about as long as the bound tells anything about a longer one.
        """
        if pages > self._pages:
            self.span_s = min(self._longest_s, max(SPAN_MIN_S, span_s * self._pages // pages))
        elif 2 * span_s >= self.span_s and 2 * pages <= self._pages:
            self.span_s = min(self._longest_s, self.span_s * 2)


def slices() -> SpanBound:
    """The bound of a lane that walks in slices."""
    return SpanBound(SLICE_FIRST_S, SLICE_MAX_S, SLICE_PAGES)
