"""A collector that cannot begin says why, where whoever waits for it looks: `/readyz`, `/status`, the page."""

import re
from pathlib import Path

import httpx
import pytest

from collector.local_kafka.ports import choose_nodes
from tests.end_to_end.processes import end, start_collector, wait_until
from tests.end_to_end.test_run_once import NOBODY, write_config

pytestmark = pytest.mark.slow

DEADLINE_S = 60


@pytest.mark.timeout(150)
def test_a_collector_without_kafka_says_what_it_waits_for(tmp_path: Path) -> None:
    """Alive, not ready, with the address that does not answer and how often it was asked; SIGTERM ends it with 0."""
    (node,) = choose_nodes(1, 0)
    address = f"127.0.0.1:{node.client_port}"
    config = write_config(tmp_path, "http://127.0.0.1:1", bootstrap_servers=NOBODY)
    collector = start_collector(config, tmp_path / "collector.log", TE_COLLECTOR_ADMIN__LISTEN=address)
    answers: list[httpx.Response] = []

    def told() -> bool:
        try:
            answers.append(client.get("/readyz"))
        except httpx.ConnectError:  # it has not begun to listen
            return False
        tries = re.search(r"Kafka does not answer \(tries: (\d+)\)", answers[-1].text)
        return tries is not None and int(tries[1]) >= 2

    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=DEADLINE_S) as client:
            wait_until("two words about Kafka", told, DEADLINE_S, alive=[collector])
            assert {answer.status_code for answer in answers} == {503}
            assert answers[-1].text.startswith("not ready: ")
            assert NOBODY in answers[-1].text
            status = client.get("/status").json()
            assert (status["phase"], status["ready"], len(status["waits_for"])) == ("starting", False, 1)
            assert NOBODY in status["waits_for"][0]
            assert client.get("/livez").status_code == 200
    finally:
        assert end(collector) == 0
