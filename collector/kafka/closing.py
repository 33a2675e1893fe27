"""Lets go of aiokafka clients: always within a deadline, and so that nothing of them lives on.

The one rule: closing changes nothing in Kafka that the successor could not undo; it never waits for a broker that is
away, and never raises.

Two habits of aiokafka 0.14.0 are handled here. Its ``stop`` waits for ever while a partition has no leader, and when it
is cut off, tasks of the producer live on, connect again, and may even finish a commit: harmless, because the successor
fences them, but a leak. And when its sender fails, it puts the same exception into every batch that was not sent:
asyncio would report each as "never retrieved" with a traceback, ten and more for one fencing, although the sink has
raised it already. The attributes used are that version's; where they are missing the leak or the report comes back, and
nothing else changes. https://github.com/aio-libs/aiokafka/blob/v0.14.0/aiokafka/producer/sender.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


async def close_producer(producer: Any, timeout_s: float) -> None:
    """Closes a producer, started or not, within two times ``timeout_s`` seconds."""
    _see_inner_exceptions(producer)
    try:
        if await finish_within(timeout_s, producer.stop()):
            return
        # First the tasks: they would open the connections again.
        owners = [getattr(producer, name, None) for name in ("_sender", "_message_accumulator", "client")]
        _cancel_tasks_of([owner for owner in owners if owner is not None])
        await finish_within(timeout_s, producer.client.close())
    finally:
        # What was on its way may have come back meanwhile, and got other futures: a network that is there again.
        _see_inner_exceptions(producer)


async def close_consumer(consumer: Any, timeout_s: float) -> None:
    """Closes a consumer, started or not, within two times ``timeout_s`` seconds."""
    if not await finish_within(timeout_s, consumer.stop()):
        await finish_within(timeout_s, consumer._client.close())


async def finish_within(timeout_s: float, step: Coroutine[Any, Any, object]) -> bool:
    """Runs one step of closing for at most ``timeout_s`` seconds; its exceptions are dropped.

    Not ``asyncio.wait_for``: that waits until the cancelled step has ended, and a step of aiokafka may not end.

    Returns:
        Whether the step ended by itself, in time and without an exception.
    """
    task = asyncio.ensure_future(step)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        return task.done() and not task.cancelled() and task.exception() is None
    finally:
        task.cancel()
        see_exception(task)


def see_exception(future: asyncio.Future[Any]) -> None:
    """Marks a future's exception as seen, now or when it comes: nobody can act on it any more."""
    if not future.done():
        future.add_done_callback(see_exception)
    elif not future.cancelled():
        future.exception()


def _see_inner_exceptions(producer: Any) -> None:
    for future in _inner_futures(producer):
        see_exception(future)


def _inner_futures(producer: Any) -> Iterator[asyncio.Future[Any]]:
    transaction = getattr(getattr(producer, "_txn_manager", None), "_transaction_waiter", None)
    if transaction is not None:
        yield transaction
    accumulator = getattr(producer, "_message_accumulator", None)
    waiting = getattr(accumulator, "_batches", {}).values()
    on_their_way = getattr(accumulator, "_pending_batches", ())
    for batches in (*waiting, tuple(on_their_way)):
        for batch in batches:
            yield batch.future
            yield batch._drain_waiter


def _cancel_tasks_of(owners: list[object]) -> None:
    """Cancels the tasks that run a method of one of the objects; aiokafka keeps no list of them."""
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        myself = frame.f_locals.get("self") if frame is not None else None
        if any(myself is owner for owner in owners):
            task.cancel()
            see_exception(task)
