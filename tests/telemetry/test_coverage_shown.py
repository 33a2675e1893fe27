"""What became durable of an account group is shown, whether its pages come or not: the real loop, in virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import trio
from prometheus_client import CollectorRegistry

from collector.core.ledger import Ledger
from collector.core.ledger_record import decode
from collector.core.model import Answer, MonoS, PageRequest
from collector.core.progress import ProgressSettings
from collector.core.ranges import seconds
from collector.core.windows import Sweep
from collector.errors import ApiRejected, Rejection, SourceError
from collector.telemetry.metrics import Metrics
from collector.telemetry.organization import OrganizationTelemetry
from collector.telemetry.status import StatusBoard
from tests.core.pages import EPOCH
from tests.organization.fakes import FakeApi
from tests.organization.world import NAME, Diary, World, make_sessions, run

AIDS = ["11", "12"]
BAD = "11"
FORGETFUL = ProgressSettings(
    3_600, 300, 3_600, overlap_max_s=1_200, sweeps=(Sweep(None, 3_600),), api_retention_s=2 * 3_600
)
"""An API that keeps sessions for two hours: what it refuses for longer is lost."""


class Told(Diary):
    """A process's telemetry of the organization, as the loop tells it."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = Metrics(CollectorRegistry())
        clock = lambda: MonoS(trio.current_time())  # noqa: E731
        self.board = StatusBoard("1", lambda: EPOCH + trio.current_time(), clock)
        telemetry = OrganizationTelemetry(NAME, self.metrics, self.board)
        for name in ("account_groups", "answered", "published", "progressed", "walk_finished", "ranges_lost", "parked"):
            setattr(self, name, getattr(telemetry, name))

    def group(self, aid: str) -> dict[str, Any]:
        """What the status says of an account group now."""
        (organization,) = self.board.snapshot()["organizations"]
        (group,) = (one for one in organization["account_groups"] if one["aid"] == aid)
        return dict(group)

    def metric(self, name: str, aid: str) -> float | None:
        """A metric of an account group."""
        return self.metrics.registry.get_sample_value(f"collector_{name}", {"organization": NAME, "aid": aid})

    def agrees_with(self, aid: str, ledger: Ledger) -> None:
        """Status and metrics say of an account group what is durable."""
        group, lost_s = self.group(aid), seconds(ledger.lost_ranges)
        assert (group["covered_until"], group["lost_s"]) == (ledger.covered_until, lost_s)
        assert self.metric("covered_until_timestamp_seconds", aid) == ledger.covered_until
        assert self.metric("lost_seconds", aid) == lost_s


def durable(world: World, aid: str) -> Ledger:
    """The ledger in the state topic."""
    return decode(world.kafka.state[f"progress/{NAME}/{aid}"])


def refusing(kind: Rejection, world: World) -> None:
    """From 900 s on no page of one account group comes."""

    def refused(request: PageRequest | None) -> SourceError | None:
        bad = request is not None and request.aid == BAD and trio.current_time() > 900.0
        return ApiRejected(kind, str(kind), Answer(503 if kind is Rejection.UNAVAILABLE else 403)) if bad else None

    world.api.fault = refused


@pytest.mark.parametrize("kind", [Rejection.FORBIDDEN, Rejection.UNAVAILABLE])
def test_an_account_group_that_loses_a_range_without_any_page_shows_it(kind: Rejection) -> None:
    """Parked, or not answered, for longer than the API keeps sessions: watermark, gap, reason and loss are shown."""
    world = World(FakeApi(list(AIDS), make_sessions(AIDS, 60, 300.0)), progress=FORGETFUL)
    refusing(kind, world)

    async def main() -> None:
        told = world.diary = Told()
        await world.collect_for(900.0 + 4 * 3_600)
        group, ledger = told.group(BAD), durable(world, BAD)
        assert seconds(ledger.lost_ranges) > 3_600
        told.agrees_with(BAD, ledger)
        assert {gap["why"] for gap in group["gaps"]} - {"missed"} == (
            {"retention", "parked"} if kind is Rejection.FORBIDDEN else {"retention"}
        )
        told.agrees_with("12", durable(world, "12"))
        assert told.group("12")["lost_s"] == 0

    run(main)


def test_the_gap_of_a_parked_account_group_grows() -> None:
    """With each time that it is asked again, which is every ten minutes; its status does not stay as it was refused."""
    world = World(FakeApi(list(AIDS), make_sessions(AIDS, 60, 300.0)), progress=FORGETFUL)
    refusing(Rejection.FORBIDDEN, world)

    async def main() -> None:
        told = world.diary = Told()
        await world.collect_for(900.0 + 3_600.0)
        group = told.group(BAD)
        (gap,) = group["gaps"]
        assert (gap["why"], gap["detail"], group["parked"]) == ("parked", "forbidden", "forbidden")
        assert EPOCH + trio.current_time() - gap["end"] <= 700.0
        assert group["gap_s"] > 2_800

    run(main)


@pytest.mark.parametrize("lists", [True, False], ids=["the API lists", "the API is away"])
def test_what_was_restored_is_shown_before_any_page_comes(lists: bool) -> None:
    """A new process whose API answers no page, or nothing: it shows what is durable, and how far behind that is."""
    world = World(FakeApi(list(AIDS), make_sessions(AIDS, 60, 300.0)), progress=FORGETFUL)

    def away(request: PageRequest | None) -> SourceError | None:
        return None if request is None and lists else ApiRejected(Rejection.UNREACHABLE, "away", Answer(0))

    async def main() -> None:
        world.diary = Told()
        await world.collect_for(900.0)
        await anyio.sleep(1_800.0)
        world.api.fault = away
        told = world.diary = Told()
        await world.collect_for(30.0)
        for aid in AIDS:
            ledger = durable(world, aid)
            told.agrees_with(aid, ledger)
            assert told.group(aid)["pages"] == 0
            assert told.group(aid)["behind_s"] == pytest.approx(EPOCH + trio.current_time() - ledger.newest, abs=2.0)
            assert 1_700 < told.group(aid)["behind_s"] < 2_500

    run(main)


def test_an_account_group_that_is_listed_again_shows_what_is_durable_of_it() -> None:
    """It was gone for a while, and the API answers no page of it yet."""
    world = World(FakeApi(list(AIDS), make_sessions(AIDS, 60, 300.0)), progress=FORGETFUL)

    async def main() -> None:
        told = world.diary = Told()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.collect_for, 1_300.0)
            await anyio.sleep(100.0)
            world.api.aids.remove(BAD)
            await anyio.sleep(500.0)
            assert told.metric("covered_until_timestamp_seconds", BAD) is None
            world.api.fault = lambda request: ApiRejected(Rejection.UNAVAILABLE, "503") if request else None
            world.api.aids.append(BAD)
        told.agrees_with(BAD, durable(world, BAD))
        assert told.group(BAD)["pages"] == 0

    run(main)
