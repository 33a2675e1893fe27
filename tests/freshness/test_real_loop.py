"""The benchmark's driver against the collector's own loop: the same sessions, the same delays."""

from __future__ import annotations

from collections import defaultdict

import pytest
import trio

from collector.core.model import Page, PageRequest, Publication
from collector.ports import Admit, at_once
from tests.core.pages import EPOCH
from tests.freshness.driver import LATENCY_S, Driver
from tests.freshness.policies import POLL_INTERVAL_MIN_S, ours
from tests.freshness.traces import Trace, make_trace
from tests.organization.fakes import FakeApi, FakeKafka, FakeSink, Session
from tests.organization.world import OVERLAP_S, World, run

DURATION_S = 900
MEASURED_FROM_S = 300.0


class TraceApi(FakeApi):
    """The fake API with the sessions of a trace, kept by account group so that a page is found quickly."""

    def __init__(self, trace: Trace) -> None:
        super().__init__([str(100 + group) for group in range(len(trace.committed))], [], page_rows=1_000)
        self.of_group: dict[str, list[Session]] = defaultdict(list)
        for aid, committed, dates in zip(self.aids, trace.committed, trace.dates, strict=True):
            for number, (seen, date) in enumerate(zip(committed, dates, strict=True)):
                self.of_group[aid].append(Session(aid, f"{number:08}", EPOCH + int(date), EPOCH + seen))
        self.latency_s = lambda: LATENCY_S

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        """A page; nothing is awaited between choosing the account group's sessions and using them but its answer."""
        api = FakeApi([request.aid], self.of_group[request.aid], page_rows=self.page_rows)
        api.quota, api.latency_s, api.asked = self.quota, self.latency_s, self.asked
        return await api.fetch(request, admit)


class TimedSink(FakeSink):
    """Notes how long each session that was committed after the warm-up took."""

    def __init__(self, kafka: FakeKafka, committed: dict[str, float], delays: list[float]) -> None:
        super().__init__(kafka)
        self._committed, self._delays = committed, delays

    async def publish(self, publication: Publication) -> None:
        await super().publish(publication)
        now = EPOCH + trio.current_time()
        for record in publication.records:
            committed = self._committed[record.key.decode()]
            if committed >= EPOCH + MEASURED_FROM_S:
                self._delays.append(now - committed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_driver_measures_what_the_loop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 account groups with bursts, 15 minutes: the mean delay of the real loop is that of the driver, to a tenth, and
    not one answer is a 429."""
    trace = make_trace(30, DURATION_S, 1.0, days=False)
    api, delays = TraceApi(trace), list[float]()
    committed = {session.identifier: session.committed for each in api.of_group.values() for session in each}
    world = World(api, poll_interval_s=POLL_INTERVAL_MIN_S)
    monkeypatch.setattr("tests.organization.world.FakeSink", lambda kafka: TimedSink(kafka, committed, delays))

    async def main() -> None:
        await world.collect_for(float(DURATION_S))

    run(main)
    driven = Driver(trace, ours(), overlap_s=OVERLAP_S, measured_from_s=MEASURED_FROM_S).run()
    assert world.diary.rejected == driven.rejected == 0
    assert len(delays) == pytest.approx(driven.delays.sessions, rel=0.02)
    assert sum(delays) / len(delays) == pytest.approx(driven.delays.mean_s, rel=0.1)
