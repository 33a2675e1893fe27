"""Times, numbers and lists in the words of a line for people.

One rule: what is meant for scripts is written elsewhere, and exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.core.event import rfc3339

NAMED_MAX = 10
"""Account groups that are named in a line; `--list --json` names them all."""


def listed(words: Sequence[str]) -> str:
    """Words after each other, the first of many."""
    more = f" and {len(words) - NAMED_MAX} more" if len(words) > NAMED_MAX else ""
    return ", ".join(words[:NAMED_MAX]) + more


def time_text(time_s: float) -> str:
    """A time to the second, UTC."""
    return rfc3339(int(time_s))[:19] + "Z"


def plural(count: int, word: str) -> str:
    """A number of things: ``1 page``, ``1,234 pages``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
