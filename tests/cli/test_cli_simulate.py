"""`te-collector simulate`."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request

import pytest
from pydantic import BaseModel

from collector.simulator.settings import SimulatorSettings
from collector.simulator.switches import Faults, InferredBehaviour
from tests.cli.conftest import Run, Start, ended


def _options(model: type[BaseModel], prefix: str = "") -> list[str]:
    groups = {"faults", "inferred", "organizations"}
    return [f"--{prefix}{name.replace('_', '-')}" for name in model.model_fields if name not in groups]


def test_every_switch_is_an_option(run_command: Run) -> None:
    """With the names of the settings, those of a group with the group in front."""
    shown = run_command("simulate", "--help").out
    written = set(re.findall(r"--[a-z0-9-]+", shown))
    expected = {*_options(SimulatorSettings), *_options(Faults, "fault-"), *_options(InferredBehaviour, "inferred-")}
    assert expected - written == set()
    assert {"--port", "--host", "--quota"} - written == set()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_with_its_switches_until_it_is_stopped(start_command: Start, stop: signal.Signals) -> None:
    """Numbers, flags and values of groups reach the simulator; a signal ends it with exit code 0."""
    arguments = ["--port", "0", "--account-groups", "2", "--quota", "7", "--token", "canary", "--no-v6-enabled"]
    with start_command("simulate", *arguments, "--inferred-v7-foreign-aid-status", "404") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = re.search(r"http://\S+", line)
        assert url is not None
        request = urllib.request.Request(f"{url[0]}/v7/account-groups", headers={"Authorization": "Bearer canary"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.headers["X-Organization-Rate-Limit-Limit"] == "7"
            assert len(json.load(answer)["accountGroups"]) == 2
        process.send_signal(stop)
        done = ended(process)
    assert (done.code, done.err) == (0, "")


def test_a_port_in_use(run_command: Run) -> None:
    """One line, exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = run_command("simulate", "--port", str(port))
    assert shown.code == 1
    assert shown.err == (
        f"te-collector: cannot listen: 127.0.0.1:{port} is in use by another process; choose another with --port\n"
    )
