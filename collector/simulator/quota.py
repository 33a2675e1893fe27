"""The request quota of an organization, or of one OAuth client.

One rule: `take` is asked once a request, with the server's time, and says whether the request may pass and what the
three headers say; nothing else spends quota. Owns the count of the running window.
Sources: https://developer.cisco.com/docs/thousandeyes/rate-limits for the headers; that the window is the UTC calendar
minute is inferred from published samples, whose Reset values are full minutes.
"""

import math
from dataclasses import dataclass
from typing import Literal

from collector.simulator.entropy import draw, fraction, poisson

WINDOW_S = 60
UNLIMITED = 1_000_000
"""What the headers of an unlimited organization say: more requests a minute than anyone can send."""


@dataclass(frozen=True, slots=True)
class QuotaState:
    """What the headers of one answer say."""

    limit: int
    remaining: int
    reset: int
    """Epoch second."""
    allowed: bool

    def headers(self) -> dict[str, str]:
        """The three headers of an authenticated answer."""
        return {
            "X-Organization-Rate-Limit-Limit": str(self.limit),
            "X-Organization-Rate-Limit-Remaining": str(self.remaining),
            "X-Organization-Rate-Limit-Reset": str(self.reset),
        }


class RequestQuota:
    """Counts the requests of one bucket.

    Args:
        limit: requests per minute; None: unlimited.
        window: how minutes are cut, see `InferredBehaviour.quota_window`.
        refused_requests_count: whether refused requests are spent too.
        others_per_minute: mean requests per minute that others spend of this bucket; they are spread over the window.
        key: what the others' seeded spending depends on.
    """

    def __init__(
        self,
        limit: int | None,
        *,
        window: Literal["utc-minute", "rolling"] = "utc-minute",
        refused_requests_count: bool = False,
        others_per_minute: float = 0.0,
        key: tuple[object, ...] = (),
    ) -> None:
        self.limit = limit
        self._window, self._refused_requests_count = window, refused_requests_count
        self._others_per_minute, self._key = others_per_minute, key
        self._started: float = -math.inf
        self._spent = 0

    def take(self, now: float) -> QuotaState:
        """Spends one request.

        Args:
            now: the server's time, epoch seconds.

        Returns:
            The state after the request; `allowed` is False when it must be answered with 429.
        """
        if not self._started <= now < self._started + WINDOW_S:
            self._started = math.floor(now / WINDOW_S) * WINDOW_S if self._window == "utc-minute" else now
            self._spent = 0
        used = self._spent + self.spent_by_others(now)
        allowed = self.limit is None or used < self.limit
        if allowed or self._refused_requests_count:
            self._spent += 1
            used += 1
        return self._state(now, used, allowed)

    def peek(self, now: float) -> QuotaState:
        """The state without spending anything; `allowed` says whether the next request would pass."""
        running = self._started <= now < self._started + WINDOW_S
        used = (self._spent if running else 0) + self.spent_by_others(now)
        return self._state(now, used, self.limit is None or used < self.limit)

    def spent_by_others(self, now: float) -> int:
        """Requests that others have spent of the running window: a seeded total, spent evenly."""
        if not self._others_per_minute:
            return 0
        rolling = self._window == "rolling" and self._started <= now < self._started + WINDOW_S
        start = self._started if rolling else math.floor(now / WINDOW_S) * WINDOW_S
        total = poisson(self._others_per_minute, fraction(draw(8, *self._key, "others", int(start))))
        return int(total * (now - start) / WINDOW_S)

    def _state(self, now: float, used: int, allowed: bool) -> QuotaState:
        running = self._started <= now < self._started + WINDOW_S
        start = self._started if running else math.floor(now / WINDOW_S) * WINDOW_S
        limit = UNLIMITED if self.limit is None else self.limit
        return QuotaState(limit, max(0, limit - used), math.ceil(start + WINDOW_S), allowed)
