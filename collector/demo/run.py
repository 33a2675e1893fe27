"""Runs a demonstration: its folder, its signals, and what is said at the end.

The one rule: whatever happens, no process is left; and no file, unless something went wrong that its logs explain.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from rich.console import Console

from collector.composition import kafka_settings
from collector.config import KafkaSection
from collector.demo.collector_process import CollectorProcess
from collector.demo.comparison import Verdict
from collector.demo.control import Control
from collector.demo.demonstration import Demonstration
from collector.demo.scenario import Addresses, collector_configuration
from collector.demo.screen import Screen, screen_for
from collector.demo.stage import Stage, open_stage
from collector.errors import CollectorError
from collector.local_kafka.background import in_background
from collector.local_kafka.ports import choose_nodes
from collector.local_kafka.settings import LOOPBACK

KILL_EVERY_S: Final = 15.0
"""Often enough to be seen three times in a minute; rare enough that collecting is what mostly happens."""

_EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


async def run_demo(
    duration_s: float | None = None, *, kill_every_s: float | None = KILL_EVERY_S, screen: Screen | None = None
) -> int:
    """Run Kafka, a simulated API and the collector; kill the collector now and then; compare at the end.

    The last line on standard output is ``offered=N events=N missing=0 duplicates=0 dead_letters=N/N kills=N``. The
    first Ctrl-C (SIGINT, SIGTERM) goes on to that end at once, the second one ends without it.

    Args:
        duration_s: how long the collector works before the end, seconds; None: until Ctrl-C.
        kill_every_s: the collector is killed with SIGKILL every so many seconds, over 0; None: never.
        screen: where it is shown; None: on standard output.

    Returns:
        0 when everything that the API showed is in the topics exactly once; 1 when not, or when something failed.
    """
    interruption = _Interruption()
    screen = screen if screen is not None else screen_for(Console())
    folder = Path(await to_thread.run_sync(partial(tempfile.mkdtemp, prefix="te-collector-demo-")))
    verdict: Verdict | None = None
    problems: list[str] = []
    try:
        with interruption.whole:
            async with in_background(interruption.heed_signals):
                verdict = await _perform(folder, screen, interruption, duration_s, kill_every_s)
    except* CollectorError as group:
        problems = [str(error) for error in _leaves(group)]
    if verdict is not None and not verdict.is_good:
        problems = verdict.examples()
    elif verdict is None and not problems:
        problems = ["ended before anything was compared"]
    failed = bool(problems) and not interruption.whole.cancel_called
    if not failed:
        await to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
    _tell(verdict, problems, folder if failed else None)
    return 1 if problems else 0


async def _perform(
    folder: Path, screen: Screen, interruption: "_Interruption", duration_s: float | None, kill_every_s: float | None
) -> Verdict:
    with screen:
        async with open_stage(folder, screen) as stage:
            # Not asked of the kernel when it listens: every process that follows a killed one has the same address.
            admin = f"{LOOPBACK}:{choose_nodes(1, 0)[0].client_port}"
            configuration = await _write_configuration(folder, stage, admin)
            collector = CollectorProcess(configuration, folder)
            section = KafkaSection(bootstrap_servers=stage.bootstrap_servers, topic_prefix=stage.topic_prefix)
            try:
                async with Control(stage.simulator_url, f"http://{admin}") as control:
                    demonstration = Demonstration(
                        stage=stage,
                        collector=collector,
                        control=control,
                        settings=kafka_settings(section),
                        screen=screen,
                        admin_url=f"http://{admin}",
                        duration_s=duration_s,
                        kill_every_s=kill_every_s,
                        stop=interruption.stop,
                    )
                    interruption.has_begun = True
                    return await demonstration.run()
            finally:
                await collector.aclose()


async def _write_configuration(folder: Path, stage: Stage, admin: str) -> Path:
    addresses = Addresses(stage.bootstrap_servers, stage.topic_prefix, stage.simulator_url, admin)
    path = folder / "collector.toml"
    await anyio.Path(path).write_text(collector_configuration(addresses), "utf-8")
    return path


class _Interruption:
    """What signals do. Owns how many came.

    Attributes:
        stop: set by the first one: come to the end now.
        whole: cancelled by the second one, or by the first when there is nothing to compare yet.
        has_begun: whether there is.
    """

    def __init__(self) -> None:
        self.stop = anyio.Event()
        self.whole = anyio.CancelScope()
        self.has_begun = False

    async def heed_signals(self) -> None:
        """Wait for signals until cancelled."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if self.whole.cancel_called:
                    os._exit(_EXIT_INTERRUPTED)  # the guardians end the other processes
                elif self.has_begun and not self.stop.is_set():
                    self.stop.set()
                else:
                    self.whole.cancel()


def _tell(verdict: Verdict | None, problems: list[str], folder: Path | None) -> None:
    for problem in problems:
        sys.stderr.write(f"te-collector: {problem}\n")
    if folder is not None:
        sys.stderr.write(f"te-collector: logs and data are kept in {folder}\n")
    sys.stderr.flush()
    if verdict is not None:
        sys.stdout.write(f"{verdict.summary}\n")
        sys.stdout.flush()


def _leaves(group: BaseExceptionGroup[CollectorError]) -> Iterator[CollectorError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
