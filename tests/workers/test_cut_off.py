"""A worker whose network to Kafka swallows everything: it lets go in time, another takes over, and nothing is twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafkaSettings, local_kafka
from collector.local_kafka.ports import choose_nodes
from tests.end_to_end.processes import end
from tests.kafka.test_failures import PROJECT
from tests.workers.fleet import fleet

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

QUICK = 'session_timeout = "8s"\n'
"""Long enough for a busy machine, short enough to wait for."""


@contextmanager
def relay(port: int, target_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A network that is a black hole while the process is stopped."""
    arguments = [sys.executable, "-m", "tests.workers.hole", str(port), str(target_port)]
    process = subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"relaying\n"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        end(process)


def test_a_worker_that_is_cut_off_is_replaced_and_comes_back(tmp_path: Path, kafka_topic_prefix: str) -> None:
    """Connections open and hang, nothing is refused: it lets go by itself, and what arrives late counts no more."""
    broker, far = choose_nodes(2, 0)
    near = f"127.0.0.1:{broker.client_port}"
    settings = LocalKafkaSettings(
        data_dir=tmp_path / "kafka",
        port=broker.client_port,
        listeners={"FAR": (far.client_port, "PLAINTEXT")},
        properties={
            **FAST_TEST_PROPERTIES,
            "advertised.listeners": f"PLAINTEXT://{near},FAR://127.0.0.1:{far.controller_port}",
        },
    )
    with (
        start_blocking_portal("asyncio", name="kafka") as portal,
        portal.wrap_async_context_manager(local_kafka(settings)),
        relay(far.controller_port, far.client_port) as network,
        fleet(tmp_path, near, kafka_topic_prefix, kafka=QUICK) as workers,
    ):
        config = tmp_path / "far.toml"
        config.write_text(workers.configuration().replace(near, f"127.0.0.1:{far.controller_port}"))
        cut, other = workers.worker(config), workers.worker()
        workers.wait_until_shared(cut, other)
        assert cut.organizations()
        network.send_signal(signal.SIGSTOP)
        workers.wait_until_shared(other)
        workers.wait_for("the one that is cut off lets go", lambda: cut.said('"owned": []'))
        assert cut.get("/readyz") is None
        workers.wait_for("its shards end", lambda: cut.said("shard released"))
        assert cut.organizations() == set()
        offered = workers.truth()
        workers.wait_for("sessions from the other one", lambda: offered <= set(workers.events().ids))
        network.send_signal(signal.SIGCONT)
        workers.wait_until_shared(cut, other)
        workers.check_every_session_once()
