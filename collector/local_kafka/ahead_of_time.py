"""The ahead-of-time cache of the Java virtual machine, which makes a start three times as fast.

The one rule: a help, never a need. Whatever goes wrong here only means that starts stay slow.

A cache is made by a training run: a throw-away broker, at the lowest priority, in the background of a start that
found no cache, whose virtual machine writes the cache when it ends (JEP 514, https://openjdk.org/jeps/514). Java itself
ignores a cache that does not fit; its name holds all that it depends on, so that one which no longer fits is not found.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from collector.local_kafka.broker import Broker
from collector.local_kafka.errors import LocalKafkaError
from collector.local_kafka.java import Java
from collector.local_kafka.ports import choose_nodes
from collector.local_kafka.readiness import wait_until_ready
from collector.local_kafka.settings import KAFKA_VERSION, broker_properties

_TRAINING_TIMEOUT_S = 300.0  # 5 s on a quiet machine; at the lowest priority on a busy one up to minutes
_LOWEST_PRIORITY = 19
_CACHES_KEPT = 2  # 68 MB each: say, two virtual environments that share the cache directory
_CLUSTER_ID = "AheadOfTimeTraining000"


@dataclass(frozen=True, slots=True)
class AheadOfTimeCache:
    """Where the cache for a way to start Java is, or would be."""

    path: Path

    async def exists(self) -> bool:
        """Return whether it was made."""
        return await to_thread.run_sync(self.path.exists)

    async def applied_to(self, java: Java) -> Java:
        """Return how Java is started with the cache, if there is one by now."""
        return replace(java, ahead_of_time_cache=self.path) if await self.exists() else java


async def find(java: Java, cache: Path) -> AheadOfTimeCache:
    """Look for the cache.

    Args:
        java: how Java is started.
        cache: the cache directory.
    """
    return await to_thread.run_sync(_find, java, cache)


def _find(java: Java, cache: Path) -> AheadOfTimeCache:
    runtime = java.executable.parent.parent / "lib" / "modules"
    files = [runtime, *map(Path, java.class_path.split(os.pathsep))]
    facts = [platform.machine(), *replace(java, heap_mb=0).command("")]  # one cache serves every heap size
    for file in files:
        status = file.stat()
        facts.append(f"{file} {status.st_size} {status.st_mtime_ns}")
    key = hashlib.sha256("\n".join(facts).encode(errors="surrogateescape")).hexdigest()[:16]
    path = cache / f"kafka-{KAFKA_VERSION}-{key}.aot"
    with contextlib.suppress(OSError):
        os.utime(path)  # the newest are kept
    return AheadOfTimeCache(path)


async def train(java: Java, cache: AheadOfTimeCache) -> None:
    """Make the cache, unless there is one or another process is at it. Never raises but for cancellation.

    Args:
        java: how Java is started.
        cache: where the cache is wanted.
    """
    if await cache.exists():
        return
    with contextlib.suppress(LocalKafkaError, OSError), anyio.move_on_after(_TRAINING_TIMEOUT_S):
        scratch = await to_thread.run_sync(_lock_scratch, cache.path.parent)
        if scratch is not None:
            try:
                await _train(java, cache.path, scratch)
            finally:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(scratch.remove)


async def _train(java: Java, path: Path, scratch: "_Scratch") -> None:
    (node,) = nodes = choose_nodes(1, 0)
    broker = Broker(node, scratch.path / "broker", broker_properties(node, nodes, {}))
    unfinished = scratch.path / "aot"
    try:
        await broker.format(java, _CLUSTER_ID)
        await broker.start(java, niceness=_LOWEST_PRIORITY, flags=(f"-XX:AOTCacheOutput={unfinished}",))
        await wait_until_ready([node.client_port], 1, broker.check_alive)
        await broker.signal(signal.SIGTERM)
        await broker.wait()  # the virtual machine writes its cache before it ends
    finally:
        await broker.stop(0)
    await to_thread.run_sync(_publish, unfinished, path)


def _publish(unfinished: Path, path: Path) -> None:
    """Give the cache its name, and remove the oldest others."""
    unfinished.replace(path)
    caches = sorted(path.parent.glob("kafka-*.aot"), key=lambda cache: cache.stat().st_mtime, reverse=True)
    for cache in caches[_CACHES_KEPT:]:
        cache.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Scratch:
    """A place to train in, for one process at a time."""

    path: Path
    lock: BinaryIO

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()


def _lock_scratch(directory: Path) -> _Scratch | None:
    """Return a place to train in, or None while another process trains; its end, however it comes, frees the lock."""
    lock = (directory / "training.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    path = directory / "training"
    shutil.rmtree(path, ignore_errors=True)  # left behind by a killed process
    return _Scratch(path, lock)
