"""What the API asks of its clients: credentials, hosts and the quota, seen from the server's side."""

import random
import time
from pathlib import Path

import pytest

from tests.independent.api import Api
from tests.independent.quota import Quota
from tests.independent.scenario import Scenario, now_s
from tests.independent.sessions import Row, make_row
from tests.independent.wire import Answer, Listener, Request, Spelling
from tests.kafka_fixtures import KafkaCluster

pytestmark = pytest.mark.kafka

DEADLINE_S = 60.0
FAST = 'poll_interval_min = "1s"\n'
# A server may answer 401 to what was under way when the first one came; one for each of four connections and one more.
UNDER_WAY = 5


def sessions(api: Api, count: int, aids: tuple[str, ...]) -> list[Row]:
    """Sessions of the last minutes, visible from now on."""
    rng, now = random.Random(count), now_s(api)
    return [make_row(rng, rng.choice(aids), now - rng.randint(10, 500), api.now()) for _ in range(count)]


def plentiful(aids: tuple[str, ...] = ("7625", "7626")) -> Api:
    """An API whose quota does not matter."""
    api = Api(quota=Quota(clock=time.time, limit=lambda now: 60_000), groups=dict.fromkeys(aids, 0.0), page_size=10)
    api.rows = sessions(api, 60, aids)
    return api


def test_refused_credentials_stop_the_organization_until_the_token_file_changes(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """After a 401 no more than what was under way is sent; a new token in the file is taken up without a restart."""
    api = plentiful()
    scenario = Scenario(api, tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, organization=FAST)
    with scenario.serving():
        scenario.start()
        scenario.wait_for("the first walks", lambda: len(api.complete_since) == 2, DEADLINE_S)
        with api.lock:
            api.accepted = {"rotated-token"}
            api.rows = [*api.rows, *sessions(api, 20, ("7625", "7626"))]
        scenario.wait_for("a 401", lambda: api.statuses[401] >= 1, DEADLINE_S)
        time.sleep(4)  # several poll intervals, in which nothing may be sent
        assert api.statuses[401] <= UNDER_WAY
        scenario.token_file.write_text("rotated-token\n")
        scenario.wait_until_all_was_shown(DEADLINE_S)
        scenario.stop()
    scenario.compare()


def test_a_next_link_to_another_host_is_not_followed(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """The token never goes to a host that a page names; once the links are right again, nothing is missing."""
    api = plentiful()
    scenario = Scenario(api, tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, organization=FAST)
    with Listener(lambda request: Answer(200), Spelling()) as elsewhere, scenario.serving():
        api.next_host = f"127.0.0.1:{elsewhere.port}"
        scenario.start()
        scenario.wait_for("pages with such links", lambda: api.statuses[200] >= 4, DEADLINE_S)
        with api.lock:
            api.next_host = None
        scenario.wait_until_all_was_shown(DEADLINE_S)
        scenario.stop()
        assert elsewhere.connections == 0
    scenario.compare()


def test_a_redirect_is_not_followed(kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path) -> None:
    """A redirection to another host carries the token nowhere, whichever request it answers."""
    api = plentiful(("7625", "7626"))
    scenario = Scenario(api, tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, organization=FAST)
    with Listener(lambda request: Answer(200), Spelling()) as elsewhere, scenario.serving():

        def redirect(request: Request) -> Answer | None:
            in_mid_walk = "cursor" in dict(request.query)
            location = f"http://127.0.0.1:{elsewhere.port}{request.target}"
            return (
                Answer(302 + 5 * in_mid_walk, headers={"Location": location})
                if "aid=7626" in request.target or in_mid_walk
                else None
            )

        api.fault = redirect
        scenario.start()
        scenario.wait_for("both redirections", lambda: api.statuses[302] and api.statuses[307], DEADLINE_S)
        scenario.wait_for("what follows", lambda: api.statuses[200] >= 4, DEADLINE_S)
        scenario.stop()
        assert elsewhere.connections == 0
    assert api.violations == []


def test_an_account_group_that_is_forbidden_does_not_stop_the_others(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """403 for one account group concerns that group only."""
    api = plentiful(("7625", "7626", "7627"))
    api.forbidden = {"7626"}
    api.rows = [row for row in api.rows if row.aid != "7626"]
    scenario = Scenario(api, tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, organization=FAST)
    with scenario.serving():
        scenario.start()
        scenario.wait_until_all_was_shown(DEADLINE_S)
        assert api.statuses[403] <= UNDER_WAY
        scenario.stop()
    scenario.compare()


def test_what_others_need_of_the_quota_is_left(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """A long walk over a minute's change, while others spend: no 429, and a fifth of the quota is theirs in all."""
    skew_s = 60 - time.time() % 60 - 6  # the server's minute ends six seconds after the start
    api = Api(
        quota=Quota(clock=lambda: time.time() + skew_s, limit=lambda now: 240, others_per_s=0.5),
        skew_s=skew_s,
        groups={"7625": 0.0},
        page_size=1,
    )
    api.rows = sessions(api, 60, ("7625",))
    spelling = Spelling(date_skew_s=skew_s)
    scenario = Scenario(api, tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, spelling, FAST)
    with scenario.serving():
        scenario.start()
        scenario.wait_until_all_was_shown(DEADLINE_S)
        scenario.stop()
    assert api.statuses[429] == 0
    assert all(window.ours <= 192 for window in api.quota.windows.values())
    scenario.compare()
