"""`te-collector demo`: everything at once, on this machine."""

from __future__ import annotations

from functools import partial

import anyio
import typer
from pydantic_core import PydanticCustomError

from collector.config.durations import parse_duration
from collector.config.problems import shown


def run_demonstration(duration: str | None) -> int:
    """Run the demonstration.

    Args:
        duration: when to end, such as ``"60s"``; None: at Ctrl-C.

    Returns:
        The exit code of the process.
    """
    try:
        duration_s = None if duration is None else parse_duration(duration).total_seconds()
    except PydanticCustomError as error:
        raise typer.BadParameter(
            f"expected {error.message()}, found {shown(duration)}", param_hint="--duration"
        ) from None
    # Imported here, because it brings all of the collector: a mistyped duration need not wait for that.
    from collector.demo import run_demo

    code: int = anyio.run(partial(run_demo, duration_s), backend="asyncio")
    return code
