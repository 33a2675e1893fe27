"""An organization whose API serves poison: whatever stands in its rows, the events of the other one keep coming."""

import random
import time
from pathlib import Path

import pytest

from tests.kafka_fixtures import KafkaCluster
from tests.workers.fleet import Fleet, fleet
from tests.workers.poison import poison_api

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

OTHER = range(1)
BUSY = ("--sessions-per-minute", "1200")
"""Of the other organization and the nine that nobody collects here: there is always something new."""

PAGES = 1
"""More pages than this with each poison: the worker came to an end with one, and asked again."""


def poisons() -> dict[str, list[bytes]]:
    """What an API can serve instead of sessions; rows of now that lack nothing else where the id is the poison."""
    now = int(time.time()) // 60 * 60
    session = b'{"id":%%s,"roundId":%d,"date":"%s"}' % (now, time.strftime("%FT%TZ", time.gmtime(now)).encode())
    rng = random.Random(1)
    return {
        "rows that are no objects": [b"1", b'"text"', b"null", b"[]", b"true"],
        "a text of five megabytes": [b'{"id":"%s"}' % (b"x" * 5_000_000)],
        "no numbers": [session % b'"a"', b'{"id":"b","roundId":NaN}', b'{"id":"c","roundId":-Infinity}'],
        "numbers beyond all bounds": [b'{"id":"d","roundId":1e999}', b'{"id":"e","roundId":%s}' % (b"9" * 100_000)],
        "half of a surrogate pair": [rb'{"id":"\ud800","roundId":1700000000}', rb'{"\udfff":1}'],
        "bytes that are no UTF-8": [b'{"id":"\xff\xfe","roundId":1700000000}'],
        "nested 100,000 times": [b'{"id":"f","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
        "ids of 100 kB": [session % (b'"%s"' % rng.randbytes(50_000).hex().encode()) for _ in range(20)],
        "ten thousand empty rows": [b"{}"] * 10_000,
        "more rows than a page may have": [b"{}"] * 100_000,
    }


def new_sessions_arrive(workers: Fleet, what: str) -> None:
    """Wait for something new of the other one, and for its events."""
    before = workers.truth(OTHER)
    workers.wait_for("new sessions", lambda: workers.truth(OTHER) - before)
    offered = workers.truth(OTHER)
    workers.wait_for(f"events of the other one beside {what}", lambda: offered <= set(workers.events().ids))


def test_poison_of_one_is_not_felt_by_the_other(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """One shard, one worker: nobody starts over, nothing crashes, and the other one's sessions arrive all the time."""
    with (
        poison_api() as api,
        fleet(
            tmp_path, kafka_cluster.bootstrap_servers, kafka_topic_prefix, kafka="shards = 1\n", options=BUSY
        ) as workers,
    ):
        config = tmp_path / "two.toml"
        config.write_text(
            workers.configuration(OTHER) + f'[[organizations]]\nname = "poisoned"\nbase_url = "{api.base_url}"\n'
            'token = "any"\npoll_interval_min = "1s"\n'
        )
        one = workers.worker(config)
        for what, rows in poisons().items():
            api.serve(rows)
            workers.wait_for(f"pages of {what}", lambda: api.served > PAGES)
            new_sessions_arrive(workers, what)
        assert one.said("shard restored") == 1
        assert one.said("organization starts over") == 0
        assert one.said("could not be processed") == 0
        api.serve([])
        workers.wait_for("an answer without poison", lambda: api.served > PAGES)
        workers.check_every_session_once(OTHER)
