"""Memory moves after the commit: a publication that failed was never published, whoever keeps the memory."""

from __future__ import annotations

import anyio
import pytest

from collector.core.ledger_record import decode
from collector.core.model import Destination, Publication
from collector.errors import ApiRejected, PublishFailed, Rejection
from tests.core.pages import EPOCH
from tests.organization.fakes import FakeApi, Session
from tests.organization.world import World, make_sessions, run


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_memory_moves_after_the_commit(failing: int) -> None:
    """A publication that fails leaves no trace in memory: without any restore its sessions are still fresh."""
    world = World(FakeApi(["7625"], make_sessions(["7625"], 60, 0.0), page_rows=25), concurrency=1)
    published: list[str] = []
    publications = 0

    async def publish(publication: Publication) -> None:
        nonlocal publications
        publications += 1
        if publications == failing:
            raise PublishFailed("on purpose")
        published.extend(r.key.decode() for r in publication.records if r.destination is Destination.EVENTS)

    async def main() -> None:
        world.shard()
        world.organization.restore({})
        for _ in range(2):
            try:
                await world.organization.run(publish, until_caught_up=True)
            except* PublishFailed:
                world.organization._schedule.abandoned(0.0)  # what a restore would do, but without forgetting

    run(main)
    assert publications > failing
    visible = {session.identifier for session in world.api.sessions if session.committed <= EPOCH}
    assert visible <= set(published)
    assert len(published) == len(set(published))


def test_coverage_begins_where_the_first_walk_did() -> None:
    """An API that fails for twenty minutes does not move the start: what was in reach at first is collected."""
    world = World(FakeApi(["7625"], make_sessions(["7625"], 60, 0.0)), concurrency=1)
    reach = EPOCH - 3_600 + 30
    world.api.sessions.append(Session("7625", "edge0001", reach, reach + 1.0))
    world.api.fault = lambda request: ApiRejected(Rejection.UNAVAILABLE, "503") if request else None

    async def main() -> None:
        await world.collect_for(300.0)
        await anyio.sleep(900.0)
        world.api.fault = lambda request: None
        await world.catch_up()

    run(main)
    assert not world.missing(1_000.0)


def test_progress_is_durable_with_its_pages() -> None:
    """What a walk covered is in the state with what it published: the next process goes on from there."""
    world = World(FakeApi(["7625"], make_sessions(["7625"], 60, 300.0)))

    async def main() -> None:
        await world.collect_for(600.0)

    run(main)
    (ledger,) = (decode(value) for key, value in world.kafka.state.items() if key.startswith("progress/"))
    assert ledger.covered_until >= EPOCH + 500
