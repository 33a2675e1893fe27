"""Durations as people write them: ``"90s"``, ``"10m"``, ``"1h30m"``, ``"1d"``, or seconds as a number.

One rule: a unit is never guessed from the key. A bare number is seconds, everything else says its unit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from collector.config.values import expected

_WANTED = 'a duration such as "90s", "10m", "1h30m" or "1d"'
_PARTS = re.compile(
    r"(?:(?P<weeks>\d+)w)?(?:(?P<days>\d+)d)?(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+(?:\.\d+)?)s)?",
    re.ASCII,
)
_SCHEMA_PATTERN = r"^(\d+w)?\s*(\d+d)?\s*(\d+h)?\s*(\d+m)?\s*(\d+(\.\d+)?s)?$"
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)  # seconds; environment variables are always text


def parse_duration(value: object) -> timedelta:
    """Return the duration that a file or an environment variable gives.

    Args:
        value: ``"1h30m"`` (units w, d, h, m, s, largest first), a number of seconds, the same as text, or a timedelta.

    Raises:
        PydanticCustomError: it is none of these, negative, or too large for a timedelta; says what is expected.
    """
    if isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            return timedelta(seconds=value)
        if isinstance(value, str) and (text := "".join(value.split())):
            if _NUMBER.fullmatch(text):
                return timedelta(seconds=float(text))
            if parts := _PARTS.fullmatch(text):
                return timedelta(**{unit: float(count) for unit, count in parts.groupdict(default="0").items()})
    except OverflowError:
        pass
    raise expected(_WANTED)


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as the same duration, such as ``"1h30m"``."""
    seconds, microseconds = duration.days * 86_400 + duration.seconds, duration.microseconds
    text = ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        count, seconds = divmod(seconds, size)
        text += f"{count}{unit}" if count else ""
    if seconds or microseconds or not text:
        fraction = f".{microseconds:06}".rstrip("0") if microseconds else ""
        text += f"{seconds}{fraction}s"
    return text


@dataclass(frozen=True, slots=True)
class DurationRange:
    """Accepts durations from ``shortest`` to ``longest``, both included; both as `parse_duration` reads them."""

    shortest: str
    longest: str

    def __call__(self, duration: timedelta) -> timedelta:
        """Return the duration, or raise PydanticCustomError with the range in words."""
        if not parse_duration(self.shortest) <= duration <= parse_duration(self.longest):
            raise expected(f"a duration from {self.shortest} to {self.longest}")
        return duration


def between(shortest: str, longest: str) -> AfterValidator:
    """Annotate a `Duration` with its range, both ends included."""
    return AfterValidator(DurationRange(shortest, longest))


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _SCHEMA_PATTERN, "minLength": 1},
                {"type": "number", "minimum": 0},
            ]
        }
    ),
]
"""A duration: text with units, or a number of seconds."""
