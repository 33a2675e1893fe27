"""The promise itself, against an API that was written from the documentation alone: every session once, killed or not.

One rule: what is expected follows from the API's rows, never from what the collector said.
"""

import random
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.independent import paging
from tests.independent.api import Api
from tests.independent.quota import Quota
from tests.independent.scenario import LATEST_COMMIT_S, Scenario, now_s
from tests.independent.sessions import Encoding, IdForm, Row, bad_rows, documented_id, make_row, strange_id, uuid_id
from tests.independent.wire import Answer, Spelling
from tests.kafka_fixtures import KafkaCluster

pytestmark = pytest.mark.kafka

GROUPS = {"7625": 0.0, "12": 0.0, "212281": 0.0}
# For this long after the start, rows become visible that took place earlier.
LATE_FOR_S = 5.0
DEADLINE_S = 60.0
FAST = 'poll_interval_min = "1s"\nrequest_timeout = "5s"\n'


@dataclass(frozen=True)
class World:
    """A way in which an API could be built that the documentation allows."""

    cut: paging.Cut = paging.by_offset
    newest_first: bool = False
    page_size: int = 1000
    skew_s: float = 0.0
    next_form: str = "absolute"
    last_links: str = "missing"
    encoding: Encoding = field(default_factory=Encoding)
    spelling: Spelling = field(default_factory=Spelling)
    id_form: IdForm = documented_id
    hidden_headers: tuple[str, ...] = ()
    faults: float = 0.0
    options: str = ""

    def api(self) -> Api:
        """The server, with rows of the last twenty minutes and some that come late."""
        api = Api(
            quota=Quota(clock=lambda: time.time() + self.skew_s, limit=lambda now: 60_000),
            skew_s=self.skew_s,
            groups=dict(GROUPS),
            cut=self.cut,
            order=(lambda rows: rows[::-1]) if self.newest_first else (lambda rows: rows),
            page_size=self.page_size,
            next_form=self.next_form,
            last_links=self.last_links,
            encoding=self.encoding,
            hidden_headers=self.hidden_headers,
            headers_on_errors=False,
        )
        rng = random.Random(11)
        api.rows = rows_of(api, rng, 40 if self.page_size == 1 else 150, self.id_form)
        api.fault = lambda request: fault(rng, self.faults)
        return api


def rows_of(api: Api, rng: random.Random, count: int, id_form: IdForm) -> list[Row]:
    """Sessions of every account group: late ones, several rows a session, absent or null fields, no sessions."""
    now, rows = now_s(api), []
    absent: list[dict[str, Any]] = [
        {},
        {},
        {},
        {"experienceScore": ...},
        {"orgName": None, "pageId": None},
        {"committed": ...},
        {"port": 443.0},
    ]
    for number in range(count):
        aid = rng.choice(list(GROUPS))
        visible_at = now + rng.uniform(0, LATE_FOR_S) if rng.random() < 0.4 else now
        date = int(visible_at - rng.uniform(0, LATEST_COMMIT_S)) if visible_at > now else now - rng.randint(1, 1200)
        row = make_row(rng, aid, date, visible_at, id_form, **rng.choice(absent))
        rows.append(row)
        if number % 10 == 0:
            other_page = {**row.fields, "pageId": f"other{number}"}
            rows.append(Row(aid, date, visible_at + number % 2, row.session_id, other_page))
    if api.encoding.version == 7:
        rows += bad_rows("12", now - 200, now + 1, "letter")
    return rows


def fault(rng: random.Random, share: float) -> Answer | None:
    """What a gateway or a maintenance does to a share of the requests."""
    if rng.random() >= share:
        return None
    return rng.choice(
        [
            Answer(500, b'{"timestamp":1,"httpStatus":"INTERNAL_SERVER_ERROR","errors":["e"],"path":"p"}'),
            Answer(502, b"<html>Bad gateway</html>", content_type="text/html"),
            Answer(503, b"Service unavailable", content_type="text/plain"),
            Answer(200, broken="dropped"),
            Answer(200, b'{"results":[],"_links":{}}' + b" " * 100, broken="half"),
            Answer(200, b'{"results":[{"id":'),
            Answer(200, b'{"errorMessage":"sorry"}'),
            Answer(200, b""),
        ]
    )


WORLDS = {
    "late rows shift the pages": World(
        page_size=7, skew_s=-3600, faults=0.15, last_links="empty", spelling=Spelling(date_skew_s=-3600)
    ),
    "newest first, one row a page": World(
        newest_first=True,
        page_size=1,
        cut=paging.by_offset_repeating,
        skew_s=90,
        next_form="query",
        id_form=uuid_id,
        encoding=Encoding(date_form="fraction"),
        spelling=Spelling("lower", "chunked", date_skew_s=90),
    ),
    "no order, odd ids": World(
        cut=paging.of_a_snapshot,
        page_size=30,
        skew_s=5 * 3600,
        next_form="path",
        last_links="next-null",
        id_form=strange_id,
        encoding=Encoding(date_form="plus-two", nested_unknown=True),
        spelling=Spelling("mixed", "close", compress=True, date_skew_s=5 * 3600),
    ),
    "rounds repeated at borders": World(
        cut=paging.by_round_inclusive,
        page_size=10,
        last_links="null",
        encoding=Encoding(date_form="offset", ascii_only=True),
        spelling=Spelling("documented", "http10", date_skew_s=None),
        hidden_headers=("Reset",),
        faults=0.1,
    ),
    "v6 in JSON": World(
        cut=paging.by_round,
        page_size=20,
        encoding=Encoding(version=6, nested_unknown=True),
        options='api_version = "v6"\n',
        last_links="empty",
        faults=0.1,
    ),
}


def scenario_of(world: World, folder: Path, cluster: KafkaCluster, prefix: str) -> Scenario:
    """The world's API and a collector for it."""
    api = world.api()
    return Scenario(api, folder, cluster.bootstrap_servers, prefix, world.spelling, FAST + world.options)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_every_session_is_published_once(
    world: World, kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """However the API orders, cuts and spells its lists: each session once, each bad row once with its bytes."""
    scenario = scenario_of(world, tmp_path, kafka_cluster, kafka_topic_prefix)
    with scenario.serving():
        scenario.start()
        scenario.wait_until_all_was_shown(DEADLINE_S)
        scenario.stop()
    scenario.compare()


def seen(api: Api, count: int) -> bool:
    """Whether so many requests have arrived."""
    return len(api.requests) >= count


@pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
def test_killed_in_mid_walk(
    newest_first: bool, kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """kill -9 between two pages of the first walk loses nothing, whichever end of the range came first."""
    scenario = scenario_of(World(newest_first=newest_first, page_size=7), tmp_path, kafka_cluster, kafka_topic_prefix)
    scenario.api.page_delay_s = 0.2
    with scenario.serving():
        for pages in (4, 12, 24):
            scenario.start()
            scenario.wait_for(f"{pages} requests", partial(seen, scenario.api, pages), DEADLINE_S)
            scenario.kill()
        scenario.api.page_delay_s = 0.0
        scenario.start()
        # Not until a whole walk has shown it all: what a killed one has proven is not asked for again.
        scenario.wait_for("every session, once", lambda: not scenario.problems(), DEADLINE_S)
        scenario.stop()
    scenario.compare()


def test_two_account_groups_may_use_the_same_id(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """An id identifies a session within its account group; the same id in another group is another session."""
    world = World()
    scenario = scenario_of(world, tmp_path, kafka_cluster, kafka_topic_prefix)
    now, rng = now_s(scenario.api), random.Random(1)
    twin = uuid_id("12", 0, rng)
    scenario.api.rows = [make_row(rng, aid, now - 60, now - 30, userSessionId=twin) for aid in GROUPS]
    with scenario.serving():
        scenario.run_once()
    scenario.compare()
