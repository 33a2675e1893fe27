"""What the collector stands between: a Kafka and the simulated API.

The one rule: entering returns when both answer, leaving stops them in order, first who asks, then who keeps.
"""

import os
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from collector.demo.child import Child
from collector.demo.errors import DemoFailed
from collector.demo.scenario import simulator_arguments
from collector.demo.screen import Screen
from collector.demo.view import ProcessView, View
from collector.local_kafka import LocalKafka, LocalKafkaSettings, local_kafka

_BOOTSTRAP_VARIABLE: Final = "KAFKA_BOOTSTRAP_SERVERS"
_SIMULATOR_LINE: Final = re.compile(rb"http://127\.0\.0\.1:\d+")
_SIMULATOR_READY_S: Final = 30.0
"""An interpreter and its imports on a machine that does much else; usually one second."""

_SIMULATOR_STOP_S: Final = 5.0
_POLL_S: Final = 0.05


class Stage:
    """A running Kafka and a running simulator; made by `open_stage`.

    Args:
        bootstrap_servers: of Kafka.
        topic_prefix: first part of the names of all topics.
        kafka: the local one; None when another was given.
        simulator: the process.
        simulator_url: where it listens.
    """

    def __init__(
        self, bootstrap_servers: str, topic_prefix: str, kafka: LocalKafka | None, simulator: Child, simulator_url: str
    ) -> None:
        self.bootstrap_servers: Final = bootstrap_servers
        self.topic_prefix: Final = topic_prefix
        self.simulator_url: Final = simulator_url
        self._kafka = kafka
        self._simulator = simulator

    async def check_alive(self) -> None:
        """Raise if Kafka or the simulator ended.

        Raises:
            ChildDied: the simulator did.
            LocalKafkaError: Kafka did.
        """
        await self._simulator.check_alive()
        if self._kafka is not None:
            for broker in self._kafka.brokers:
                await broker.check_alive()

    def processes(self) -> list[ProcessView]:
        """How they are."""
        if self._kafka is None:
            kafka = ProcessView("Kafka", "yours", True, f"{self.bootstrap_servers}, topics {self.topic_prefix}.*")
        else:
            broker = self._kafka.brokers[0]
            kafka = _process("Kafka", broker.pid, broker.is_running, self.bootstrap_servers)
        return [kafka, _process("simulated API", self._simulator.pid, self._simulator.is_running, self.simulator_url)]


@asynccontextmanager
async def open_stage(folder: Path, screen: Screen) -> AsyncIterator[Stage]:
    """Start Kafka, unless ``KAFKA_BOOTSTRAP_SERVERS`` names one, and the simulator.

    Args:
        folder: for data and logs.
        screen: is told about steps that take long.

    Raises:
        LocalKafkaError: Kafka could not be started.
        DemoFailed: the simulator could not be started.
    """
    if given := os.environ.get(_BOOTSTRAP_VARIABLE):
        prefix = f"te-demo-{uuid.uuid4().hex[:8]}"  # somebody else's cluster: topics that nobody has
        screen.say(f"using the Kafka at {given}; the topics {prefix}.* stay there")
        async with _simulator(folder, screen) as (simulator, url):
            yield Stage(given, prefix, None, simulator, url)
        return
    screen.show(View("starting Kafka"))
    async with (
        local_kafka(LocalKafkaSettings(data_dir=folder / "kafka", report=screen.say)) as kafka,
        _simulator(folder, screen) as (simulator, url),
    ):
        yield Stage(kafka.bootstrap_servers, "thousandeyes", kafka, simulator, url)


@asynccontextmanager
async def _simulator(folder: Path, screen: Screen) -> AsyncIterator[tuple[Child, str]]:
    screen.show(View("starting the simulated API"))
    child = await Child.start("the simulator", simulator_arguments(), folder / "simulator.log")
    try:
        yield child, await _listening_at(child)
        await child.stop(_SIMULATOR_STOP_S)
    finally:
        await child.aclose()


async def _listening_at(simulator: Child) -> str:
    """The address that the simulator prints once it answers."""
    with anyio.move_on_after(_SIMULATOR_READY_S):
        while not (found := _SIMULATOR_LINE.search(await anyio.Path(simulator.log_file).read_bytes())):
            await simulator.check_alive()
            await anyio.sleep(_POLL_S)
        return found[0].decode()
    raise DemoFailed(f"the simulator did not answer within {_SIMULATOR_READY_S:g} s\n{await simulator.log_tail()}")


def _process(name: str, pid: int, is_running: bool, detail: str) -> ProcessView:
    return ProcessView(name, f"process {pid}" if is_running else "not running", is_running, detail)
