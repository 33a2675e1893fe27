"""The course of a demonstration: run and kill, freeze, drain, stop, compare.

The one rule: the verdict is reached with the collector gone, by a reader that starts from nothing.
"""

import time
from typing import Final

import anyio

from collector.demo.collector_process import CollectorProcess
from collector.demo.comparison import Verdict, compare, is_complete, offered
from collector.demo.control import Control
from collector.demo.reader import Received, follow, read_everything
from collector.demo.screen import Screen
from collector.demo.stage import Stage
from collector.demo.view import Observer, ProcessView, View
from collector.kafka.settings import KafkaSettings

DRAIN_S: Final = 45.0
"""From the freeze until everything must have been read: usually some polls, with faults and a spent quota longer."""

_LOOK_EVERY_S: Final = 0.5
_STARTED_AGAIN_AFTER_S: Final = 1.0
"""Between a kill and the next start, as long as a supervisor would take."""


class Demonstration:
    """One demonstration, once Kafka and the simulator run.

    Args:
        stage: Kafka and the simulator.
        collector: not started yet.
        control: for questions over HTTP.
        settings: names of the topics, and where they are.
        screen: where it is shown.
        admin_url: of the collector's status page, for people.
        duration_s: from the first time the collector is ready; None: until `stop` is set.
        kill_every_s: time between two kills; None: never.
        stop: ends the run early.
    """

    def __init__(
        self,
        *,
        stage: Stage,
        collector: CollectorProcess,
        control: Control,
        settings: KafkaSettings,
        screen: Screen,
        admin_url: str,
        duration_s: float | None,
        kill_every_s: float | None,
        stop: anyio.Event,
    ) -> None:
        self._stage = stage
        self._collector = collector
        self._control = control
        self._settings = settings
        self._screen = screen
        self._admin_url = admin_url
        self._duration_s = duration_s
        self._kill_every_s = kill_every_s
        self._stop = stop
        # All mutable state: where we are, since when, what was heard and what was read.
        self._phase = "starting the collector"
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self._has_stopped = False
        self._observer = Observer()
        self._received = Received(settings, time.time())

    async def run(self) -> Verdict:
        """Show it all.

        Raises:
            DemoFailed, or a group of it: a process died or did not do its part.
            KafkaUnreachable: the topics could not be read.
        """
        async with anyio.create_task_group() as watching:
            watching.start_soon(self._watch)
            await self._collector.start()
            await self._collector.wait_until_ready(self._control.is_ready)
            self._began_at = time.monotonic()
            watching.start_soon(follow, self._settings, self._received, time.time)
            await self._run_and_kill()
            self._ended_at = time.monotonic()
            verdict = await self._end()
            watching.cancel_scope.cancel()
        return verdict

    async def _run_and_kill(self) -> None:
        """The collector works, and is killed, until the time is up or somebody stops it."""
        began_at = anyio.current_time()
        ends_at = began_at + (self._duration_s if self._duration_s is not None else float("inf"))
        every_s = self._kill_every_s if self._kill_every_s is not None else float("inf")
        kill_at = began_at + every_s
        self._phase = "collecting"
        while not self._stop.is_set() and anyio.current_time() < ends_at:
            with anyio.CancelScope(deadline=min(kill_at, ends_at)):
                await self._stop.wait()
            if kill_at <= anyio.current_time() < ends_at and not self._stop.is_set():
                await self._collector.kill()
                self._phase = "collector killed with -9"
                self._show()
                await anyio.sleep(_STARTED_AGAIN_AFTER_S)
                await self._collector.start()
                self._phase = "collecting"
                kill_at = max(kill_at + every_s, anyio.current_time())

    async def _end(self) -> Verdict:
        """No new sessions any more; everything that was shown must arrive, and then the topics are compared."""
        self._phase = "nothing new is shown; waiting for the rest"
        await self._control.freeze()
        truth = offered(await self._control.truth())
        with anyio.move_on_after(DRAIN_S):
            while not is_complete(truth, self._received.events, self._received.dead_letters):
                missing = len(truth.sessions.keys() - self._received.events.keys())
                self._phase = f"nothing new is shown; waiting for {missing} sessions of {len(truth.sessions)}"
                await anyio.sleep(_LOOK_EVERY_S)
        self._phase = "stopping the collector"
        await self._collector.stop()
        self._has_stopped = True
        self._phase = "reading everything again, from the beginning"
        found = await read_everything(self._settings, self._received.records, time.time)
        self._phase = "compared with what was offered"
        self._show()
        return compare(truth, found.events, found.dead_letters, kills=self._collector.kills)

    async def _watch(self) -> None:
        """Looks at everybody, twice a second, until cancelled."""
        while True:
            await self._stage.check_alive()
            await self._collector.check_alive()
            self._observer.statistics = await self._control.statistics() or self._observer.statistics
            if self._collector.is_running:
                self._observer.status = await self._control.status() or self._observer.status
            self._show()
            await anyio.sleep(_LOOK_EVERY_S)

    def _show(self) -> None:
        now = time.monotonic()
        received, observer = self._received, self._observer
        self._screen.show(
            View(
                phase=self._phase,
                elapsed_s=0.0 if self._began_at is None else (self._ended_at or now) - self._began_at,
                duration_s=self._duration_s,
                kills=self._collector.kills,
                events=received.event_count,
                duplicates=received.duplicates,
                dead_letters=sum(received.dead_letters.values()),
                events_per_s=observer.events_per_s(now, received.event_count),
                processes=[*self._stage.processes(), self._collector_process()],
                organizations=observer.organizations(),
                groups=observer.groups(received),
                last_events=list(received.last_events),
            )
        )

    def _collector_process(self) -> ProcessView:
        collector = self._collector
        starts = "started once" if collector.starts == 1 else f"started {collector.starts} times"
        if collector.is_running:
            return ProcessView("collector", f"process {collector.pid}", True, f"{starts}, status {self._admin_url}/")
        if self._has_stopped:
            return ProcessView("collector", "stopped", True, f"{starts}, exit code 0 after SIGTERM")
        return ProcessView("collector", "not running", False, starts)
