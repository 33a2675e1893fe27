"""Durations, read and written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from collector.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1d", 86_400),
        ("2w1d", 15 * 86_400),
        ("1.5s", 1.5),
        ("0s", 0),
        ("90", 90),
        ("0.5", 0.5),
        (90, 90),
        (0.25, 0.25),
        (0, 0),
    ],
)
def test_what_is_a_duration(value: object, seconds: float) -> None:
    """Units from weeks to seconds, largest first; a bare number is seconds."""
    assert parse_duration(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "s",
        "1m1h",
        "1.5h",
        "-1s",
        "1 hour",
        "10ms",
        "1H",
        "1e3",
        "٣s",
        "1d1d",
        True,
        None,
        [],
        -1,
        1e300,
        float("nan"),
        float("inf"),
        "9" * 30 + "d",
    ],
)
def test_what_is_none(value: object) -> None:
    """Everything else is refused with the same words."""
    with pytest.raises(PydanticCustomError) as caught:
        parse_duration(value)
    assert caught.value.message() == 'a duration such as "90s", "10m", "1h30m" or "1d"'


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_what_is_written_is_read_back(duration: timedelta) -> None:
    """Writing and reading lose nothing."""
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["0s", "90d", "1h30m", "1d", "1m1s", "0.5s"])
def test_the_shortest_form_is_written(text: str) -> None:
    """What is written is what a person would write."""
    assert format_duration(parse_duration(text)) == text
