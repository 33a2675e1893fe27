"""Several workers that share ten organizations: real processes, started, killed, frozen and stopped as operators do.

One rule: who collects what is asked of the workers' own status pages; what arrived is read by another library.
"""

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.local_kafka.ports import choose_nodes
from tests.end_to_end.processes import Simulator, end, simulator, start_collector, wait_until
from tests.end_to_end.topics import Committed, read_committed

ORGANIZATIONS = 10
SETTLED_DEADLINE_S = 150.0
"""For workers to start, join, and restore what they are given, on a machine that does much else."""

DELIVERED_DEADLINE_S = 150.0
ASK_TIMEOUT_S = 5.0

TENANTS = (
    *("--organization-count", str(ORGANIZATIONS), "--account-groups", "1", "--quota", "6000"),
    *("--sessions-per-minute", "120", "--history-s", "120", "--late-share", "0", "--page-size", "200"),
)


def name_of(number: int) -> str:
    """The name of an organization, from 0."""
    return f"org-{number}"


def organization(number: int, base_url: str, more: str = "") -> str:
    """The TOML table of an organization of the simulator."""
    token = "simulator-token" + (f"-{number + 1}" if number else "")
    return (
        f'[[organizations]]\nname = "{name_of(number)}"\nbase_url = "{base_url}"\ntoken = "{token}"\n'
        f'poll_interval_min = "1s"\n{more}'
    )


@dataclass
class Worker:
    """One collector process; its log survives its restarts.

    Args:
        name: for its log file.
        config: its configuration file.
        folder: where its log is.
        port: of its status page.
        environment: more variables.
    """

    name: str
    config: Path
    folder: Path
    port: int
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it said, in all its lives."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it, or start it again."""
        self.process = start_collector(
            self.config, self.log, **{"TE_COLLECTOR_ADMIN__LISTEN": f"127.0.0.1:{self.port}", **self.environment}
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for its end in peace."""
        assert self.process is not None
        code = end(self.process)
        assert code == 0, f"exit code {code}; its log:\n{self.tail()}"

    @property
    def is_running(self) -> bool:
        """Whether there is a living process."""
        return self.process is not None and self.process.poll() is None

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-3000:] if self.log.exists() else "(none)"

    def said(self, text: str) -> int:
        """How often its log holds a text."""
        return self.log.read_text().count(text) if self.log.exists() else 0

    def status(self) -> dict[str, Any] | None:
        """Its status; None while it does not answer."""
        answer = self.get("/status")
        return None if answer is None else json.loads(answer)

    def get(self, path: str) -> bytes | None:
        """A page of it; None without an answer 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ASK_TIMEOUT_S) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError):
            return None

    def organizations(self) -> set[str]:
        """The organizations that it collects now."""
        status = self.status()
        shards = [] if status is None else status["shards"]
        return {name for shard in shards if shard["state"] == "owned" for name in shard["organizations"]}


@dataclass
class Fleet:
    """Workers of one group, and the simulator they collect from.

    Args:
        api: the simulator.
        folder: for files.
        bootstrap_servers: of Kafka.
        prefix: of the topics.
        kafka: more lines for ``[kafka]``.
    """

    api: Simulator
    folder: Path
    bootstrap_servers: str
    prefix: str
    kafka: str = ""
    workers: list[Worker] = field(default_factory=list)

    def configuration(self, numbers: Iterable[int] = range(ORGANIZATIONS), kafka: str = "", more: str = "") -> str:
        """The text of a configuration file, with these organizations."""
        tables = "".join(organization(number, self.api.base_url, more) for number in numbers)
        return (
            f'initial_lookback = "10m"\noverlap = "1m"\n[kafka]\nbootstrap_servers = "{self.bootstrap_servers}"\n'
            f'topic_prefix = "{self.prefix}"\n{self.kafka}{kafka}{tables}'
        )

    def worker(self, config: Path | None = None, **environment: str) -> Worker:
        """A worker, started; by default with the common configuration file."""
        if config is None:
            config = self.folder / "collector.toml"
            if not config.exists():
                config.write_text(self.configuration())
        made = Worker(f"worker-{len(self.workers)}", config, self.folder, free_port(), environment)
        made.start()
        self.workers.append(made)
        return made

    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Those that should be alive."""
        return [worker.process for worker in self.workers if worker.process is not None and worker.is_running]

    def wait_for(self, what: str, condition: Any, deadline_s: float = SETTLED_DEADLINE_S) -> None:
        """Wait for a condition; says what the workers said when it does not come."""
        try:
            wait_until(what, condition, deadline_s, alive=self.processes())
        except AssertionError as error:
            logs = "\n".join(f"--- {worker.name}\n{worker.tail()}" for worker in self.workers)
            raise AssertionError(f"{error}\n{logs}") from None

    def is_shared(self, *workers: Worker, numbers: Iterable[int] = range(ORGANIZATIONS)) -> bool:
        """Whether each organization is collected by exactly one of these workers, and each of them is ready."""
        collected = [name for worker in workers for name in worker.organizations()]
        wanted = sorted(name_of(number) for number in numbers)
        return sorted(collected) == wanted and all(worker.get("/readyz") is not None for worker in workers)

    def wait_until_shared(self, *workers: Worker, numbers: Iterable[int] = range(ORGANIZATIONS)) -> None:
        """Wait until these workers share the organizations."""
        wanted = list(numbers)
        self.wait_for("the organizations are shared", lambda: self.is_shared(*workers, numbers=wanted))

    def truth(self, numbers: Iterable[int] = range(ORGANIZATIONS)) -> set[str]:
        """Ids of all sessions that the API offers of these organizations."""
        organizations = self.api.control("truth")["organizations"]
        return {s["id"] for n in numbers for g in organizations[n]["accountGroups"] for s in g["sessions"]}

    def events(self) -> Committed:
        """What is in the events topic."""
        return read_committed(self.bootstrap_servers, f"{self.prefix}.user-sessions")

    def check_every_session_once(self, numbers: Iterable[int] = range(ORGANIZATIONS)) -> None:
        """Nothing new is offered; in the end each session is there once."""
        self.api.control("freeze", {})
        truth = self.truth(numbers)
        self.wait_for("every session", lambda: truth <= set(self.events().ids), DELIVERED_DEADLINE_S)
        for worker in self.workers:
            if worker.is_running:
                worker.stop()
        ids = self.events().ids
        assert truth <= set(ids)
        assert {identifier: count for identifier, count in ids.items() if count > 1} == {}


@contextmanager
def fleet(
    folder: Path, bootstrap_servers: str, prefix: str, *, kafka: str = "", options: Iterable[str] = ()
) -> Iterator[Fleet]:
    """A fleet without workers yet; at the end no process is left.

    Args:
        folder: for files.
        bootstrap_servers: of Kafka.
        prefix: of the topics.
        kafka: more lines for ``[kafka]``.
        options: more arguments of the simulator.
    """
    with simulator(*TENANTS, *options, log=folder / "simulator.log") as api:
        made = Fleet(api, folder, bootstrap_servers, prefix, kafka)
        try:
            yield made
        finally:
            for worker in made.workers:
                if worker.process is not None and worker.is_running:
                    worker.process.send_signal(signal.SIGCONT)  # a frozen one would not hear the next signal
                    worker.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    (node,) = choose_nodes(1, 0)
    return node.client_port
