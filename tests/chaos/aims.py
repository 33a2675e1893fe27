"""Inside a worker: makes its own process die or freeze at a chosen point of a transaction or of a take-over.

One rule: the product has no hook for this. aiokafka's classes are wrapped from outside, where every transaction and
every restore must pass, whatever calls them.

The harness arms a point by a file in the folder that all workers share; the worker that takes the file away does what
it says, so one file is one fault. The file keeps the worker's process id, and tells the harness that it happened.
"""

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

AFTER_INIT = "after InitProducerId"
BARRIER = "before the barrier's commit"
RESTORE = "in the restore"
SENDING = "between two sends"
BEFORE_COMMIT = "between send and commit"
IN_COMMIT = "in the commit"
AFTER_COMMIT = "between commit and memory"
BETWEEN = "between state and events"  # of a worker that was broken so (see `broken.py`)

OPENING = (AFTER_INIT, BARRIER, RESTORE)
"""Passed only when a worker takes a shard over."""

PUBLISHING = (SENDING, BEFORE_COMMIT, IN_COMMIT, AFTER_COMMIT)

IN_COMMIT_MAX_S = 0.005
"""A commit takes one to some milliseconds: the moment is drawn from these."""

_COMMITS = "_chaos_commits"


def armed_file(folder: Path, point: str) -> Path:
    """Where a point is armed: signal and probability of each pass, as one line."""
    return folder / f"armed {point}"


def fired_file(folder: Path, point: str, process_id: int) -> Path:
    """What the armed file is called once a worker has taken it."""
    return folder / f"fired {point} {process_id}"


class Aims:
    """The points of one process.

    Args:
        folder: shared by harness and workers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_armed(self, point: str) -> bool:
        """Whether somebody is to die or freeze there."""
        return armed_file(self._folder, point).exists()

    def reached(self, point: str) -> None:
        """This process is at a point: it may be its end."""
        armed = armed_file(self._folder, point)
        try:
            name, probability = armed.read_text().split()
            if random.random() >= float(probability):
                return
            armed.rename(fired_file(self._folder, point, os.getpid()))
        except FileNotFoundError:  # not armed, or another worker was first
            return
        os.kill(os.getpid(), signal.Signals[name])


def install(aims: Aims) -> None:
    """Wrap what every producer and every restoring reader of this process does."""
    _wrap_start(aims)
    _wrap_send(aims)
    _wrap_commit(aims)
    _wrap_restore(aims)


def _wrap_start(aims: Aims) -> None:
    start = AIOKafkaProducer.start

    async def started(self: Any) -> None:
        await start(self)
        aims.reached(AFTER_INIT)

    AIOKafkaProducer.start = started


def _wrap_send(aims: Aims) -> None:
    send_batch = AIOKafkaProducer.send_batch

    async def sent(self: Any, *arguments: Any, **named: Any) -> Any:
        future = await send_batch(self, *arguments, **named)
        if _commits(self):
            aims.reached(SENDING)
        return future

    AIOKafkaProducer.send_batch = sent


def _wrap_commit(aims: Aims) -> None:
    commit_transaction = AIOKafkaProducer.commit_transaction

    async def committed(self: Any) -> None:
        if not _commits(self):  # the first transaction of a producer is its barrier
            aims.reached(BARRIER)
            await commit_transaction(self)
        else:
            aims.reached(BEFORE_COMMIT)
            moment = None
            if aims.is_armed(IN_COMMIT):
                loop = asyncio.get_running_loop()
                moment = loop.call_later(random.uniform(0.0, IN_COMMIT_MAX_S), aims.reached, IN_COMMIT)
            try:
                await commit_transaction(self)
            finally:
                if moment is not None:
                    moment.cancel()
            aims.reached(AFTER_COMMIT)
        setattr(self, _COMMITS, _commits(self) + 1)

    AIOKafkaProducer.commit_transaction = committed


def _wrap_restore(aims: Aims) -> None:
    getmany = AIOKafkaConsumer.getmany

    async def got(self: Any, *arguments: Any, **named: Any) -> Any:
        records = await getmany(self, *arguments, **named)
        if "-restore-" in self._client._client_id:
            aims.reached(RESTORE)
        return records

    AIOKafkaConsumer.getmany = got


def _commits(producer: Any) -> int:
    return int(getattr(producer, _COMMITS, 0))
