"""What happened, in order: the last lines for people, and a digest of all of them.

Rule: two runs are the same if and only if their digests are. Lines hold nothing that differs between equal runs: no
addresses, no real times, nothing whose order depends on the hash of a string.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b

import anyio

LINES_KEPT = 400
"""Lines that a failure can show; a day has thousands."""


class Trace:
    """Takes one line an event, with the virtual time in front."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._digest = blake2b(digest_size=12)
        self.count = 0

    def add(self, text: str) -> None:
        """Write down that something happened now."""
        line = f"{anyio.current_time():.3f} {text}"
        self._lines.append(line)
        self._digest.update(line.encode())
        self.count += 1

    def digest(self) -> str:
        """A fingerprint of everything so far."""
        return self._digest.hexdigest()

    def last_time(self) -> float:
        """When the newest line was written, virtual seconds."""
        return float(self._lines[-1].partition(" ")[0]) if self._lines else 0.0

    def last(self, count: int, about: str = "") -> list[str]:
        """The newest lines, oldest first; only those that contain ``about``."""
        chosen = [line for line in self._lines if about in line][-count:]
        return [f"{clock(float(time))} {text}" for time, _, text in (line.partition(" ") for line in chosen)]


def clock(time_s: float) -> str:
    """A virtual time as people read it: day and time of day."""
    day, second = divmod(time_s, 86_400.0)
    return f"day {int(day)} {int(second // 3600):02}:{int(second // 60) % 60:02}:{second % 60:06.3f}"
