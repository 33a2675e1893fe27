"""Closing a client leaves no exception behind that asyncio would report as never retrieved."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from collector.kafka.closing import close_producer

pytestmark = pytest.mark.anyio


class Producer:
    """What closing knows of aiokafka's producer; batches that were on their way come back while it stops."""

    def __init__(self) -> None:
        self._message_accumulator = SimpleNamespace(_batches={}, _pending_batches={self._batch()})

    @staticmethod
    def _batch() -> Any:
        loop = asyncio.get_running_loop()
        return _Batch(loop.create_future(), loop.create_future())

    async def stop(self) -> None:
        """The sender fails: every batch that was not sent gets its exception."""
        self._message_accumulator._batches["partition"] = [self._batch()]
        for batch in (*self._message_accumulator._pending_batches, *self._message_accumulator._batches["partition"]):
            batch.future.set_exception(OSError("fenced"))
            batch._drain_waiter.set_exception(OSError("fenced"))


class _Batch:
    def __init__(self, future: asyncio.Future[Any], drain_waiter: asyncio.Future[Any]) -> None:
        self.future, self._drain_waiter = future, drain_waiter


async def test_what_comes_back_while_a_producer_closes_is_seen() -> None:
    """A network that was cut is there again: aiokafka puts what was on its way back, and fails it."""
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    try:
        await close_producer(Producer(), 10.0)
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert reports == []
