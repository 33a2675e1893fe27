"""Lets one request after the other through: those of a walk under way first, then first come, first served.

Rule: whoever entered leaves, once; the next one enters then. Being cancelled while waiting takes nobody's place.
"""

from __future__ import annotations

from collections import deque

import anyio


class Turnstile:
    """Who is in, and who waits."""

    def __init__(self) -> None:
        # All mutable state.
        self._taken = False
        self._ahead: deque[anyio.Event] = deque()
        self._behind: deque[anyio.Event] = deque()

    async def enter(self, *, ahead: bool) -> None:
        """Wait until everybody before us has left; ``ahead``: only those that came ahead too are before us."""
        if not self._taken:
            self._taken = True
            return
        place, queue = anyio.Event(), self._ahead if ahead else self._behind
        queue.append(place)
        entered = False
        try:
            await place.wait()
            entered = True
        finally:
            if not entered:
                if place.is_set():
                    self.leave()  # it was our turn just now: whoever waits behind us must not wait for ever
                else:
                    queue.remove(place)

    def leave(self) -> None:
        """Let the next one in."""
        queue = self._ahead or self._behind
        if queue:
            queue.popleft().set()
        else:
            self._taken = False
