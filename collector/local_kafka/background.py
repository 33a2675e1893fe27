"""A task that lives as long as a block, without changing what the block raises.

The one rule: an exception of the block leaves it as it is. A task group around the block would wrap it in a group, and
whoever catches errors of a local Kafka, or reads a failed test, would have to look inside.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVarTuple, Unpack

import anyio

Arguments = TypeVarTuple("Arguments")


@asynccontextmanager
async def in_background(
    function: Callable[[Unpack[Arguments]], Coroutine[Any, Any, object]], *arguments: *Arguments
) -> AsyncIterator[None]:
    """Run the function beside the block and cancel it at the block's end.

    Args:
        function: must not raise.
        arguments: for it.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(function, *arguments)
        try:
            yield
        except Exception as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
