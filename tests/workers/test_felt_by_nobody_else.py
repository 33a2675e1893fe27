"""Two organizations on one shard of a real worker: whatever is wrong with one, the events of the other keep coming."""

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.processes import Simulator, simulator
from tests.kafka_fixtures import KafkaCluster
from tests.workers.fleet import Fleet, Worker, fleet

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

HERE, OTHER = "bad", range(1)
TENANT = (
    *("--account-groups", "2", "--first-aid", "9000", "--quota", "6000", "--sessions-per-minute", "120"),
    *("--history-s", "120", "--late-share", "0", "--bad-share", "0.1"),
)


def test_the_events_of_the_other_keep_coming(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """A wrong token, bad rows, an API that hangs, pages that are none, in this order."""
    with (
        simulator(*TENANT, log=tmp_path / "bad.log") as api,
        fleet(tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka="shards = 1\n") as workers,
    ):
        token = tmp_path / "token"
        token.write_text("another-token")
        config = tmp_path / "two.toml"
        config.write_text(
            workers.configuration(OTHER) + f'[[organizations]]\nname = "{HERE}"\nbase_url = "{api.base_url}"\n'
            f'token_file = "{token}"\npoll_interval_min = "1s"\nrequest_timeout = "1s"\n'
        )
        one = workers.worker(config)

        def felt(what: str, sign: Any) -> None:
            """Wait until the one suffers, then until the other has all that it offers by then, and something new."""
            workers.wait_for(what, lambda: (found := shown(one, HERE)) is not None and sign(found))
            before = workers.truth(OTHER)
            workers.wait_for("new sessions", lambda: workers.truth(OTHER) - before)
            offered = workers.truth(OTHER)
            workers.wait_for(f"events of the other one: {what}", lambda: offered <= set(workers.events().ids))

        felt("a wrong token", lambda found: found["stopped"])
        token.write_text("simulator-token")
        felt("bad rows", lambda found: dead_letters(found) > 0)
        trouble(api, slow=1.0, slow_s=60.0)
        felt("an API that hangs", lambda found: found["failures"].get("unreachable"))
        trouble(api, slow=0.0, malformed=1.0)
        felt("pages that are none", lambda found: found["failures"].get("page_malformed"))
        assert one.said("shard restored") == 1
        trouble(api, malformed=0.0)
        works_again(workers, one)
        workers.check_every_session_once(OTHER)


def trouble(api: Simulator, **faults: Any) -> None:
    """Put faults in force."""
    api.control("faults", faults)


def works_again(workers: Fleet, worker: Worker) -> None:
    """Wait until pages of the one are published again."""
    was = pages(worker)
    workers.wait_for("it works again", lambda: pages(worker) > was)


def shown(worker: Worker, name: str) -> dict[str, Any] | None:
    """What the status says of an organization."""
    status = worker.status() or {"organizations": []}
    return next((one for one in status["organizations"] if one["organization"] == name), None)


def dead_letters(found: dict[str, Any]) -> int:
    """Of all account groups."""
    return sum(sum(group["dead_letters"].values()) for group in found["account_groups"])


def pages(worker: Worker) -> int:
    """Published of the one."""
    found = shown(worker, HERE)
    return 0 if found is None else sum(group["pages"] for group in found["account_groups"])
