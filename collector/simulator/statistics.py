"""Counts of what was asked and answered, for people and for verifiers.

One rule: every request to the API is counted once, when its fate is known; requests to the control endpoints never.
Owned here: all counts. They are bounded, because paths are patterns and account groups are known ones.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

UNAUTHENTICATED = "(not authenticated)"
_IDENTIFIER = re.compile(r"/(?:[^/.]*:[^/.]*|[0-9a-f-]{36}|\d+)(?=/|\.|$)")
_PATHS_MAX = 200
"""The API has some twenty; a client that tries out paths must not grow the memory."""


@dataclass(slots=True)
class RequestCounts:
    """The counts of one organization."""

    requests: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_path: Counter[str] = field(default_factory=Counter)
    by_aid: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    first: float | None = None
    last: float | None = None


class RequestStatistics:
    """Counts per organization."""

    def __init__(self) -> None:
        self._counts: dict[str, RequestCounts] = {}

    def count(self, organization: str, *, method: str, path: str, aid: str, fate: str, fault: str, now: float) -> None:
        """Counts one request.

        Args:
            organization: whose credentials it carried; UNAUTHENTICATED for nobody's.
            method: its HTTP method.
            path: its path; identifiers in it are replaced by `{id}`.
            aid: the account group asked for, empty for none.
            fate: the status answered, or `dropped`.
            fault: the fault that was injected, empty for none.
            now: the server's time, epoch seconds.
        """
        counts = self._counts.setdefault(organization, RequestCounts())
        counts.requests += 1
        counts.by_status[fate] += 1
        pattern = f"{method} {_IDENTIFIER.sub('/{id}', path)}"
        counts.by_path[pattern if pattern in counts.by_path or len(counts.by_path) < _PATHS_MAX else "(others)"] += 1
        if aid:
            counts.by_aid[aid] += 1
        if fault:
            counts.by_fault[fault] += 1
        counts.first = now if counts.first is None else counts.first
        counts.last = now

    def of(self, organization: str) -> dict[str, Any]:
        """The counts of one organization as plain values."""
        counts = self._counts.get(organization, RequestCounts())
        return {
            "requests": counts.requests,
            "requestsByStatus": dict(counts.by_status),
            "requestsByPath": dict(counts.by_path),
            "requestsByAid": dict(counts.by_aid),
            "faults": dict(counts.by_fault),
            "tooManyRequests": counts.by_status["429"],
            "firstRequest": counts.first,
            "lastRequest": counts.last,
        }

    def unauthenticated(self) -> dict[str, Any]:
        """The counts of requests that carried nobody's credentials."""
        return self.of(UNAUTHENTICATED)
