"""A collector process between the API of these tests and a real Kafka, and the comparison with the truth at the end.

One rule: what is compared comes from the API's own rows and from a reader that shares no code with the collector.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.processes import end, start_collector, wait_until
from tests.end_to_end.topics import Committed, read_committed
from tests.independent.api import Api
from tests.independent.wire import Listener, Spelling

# Sessions that are committed up to this late must be found: less than the configured overlap of ten minutes.
LATEST_COMMIT_S = 540.0


@dataclass
class Scenario:
    """One API, one configuration, and the topics of one prefix.

    Args:
        organization: TOML lines for the organization's table.
        top: TOML lines at the top.
    """

    api: Api
    folder: Path
    bootstrap_servers: str
    topic_prefix: str
    spelling: Spelling = field(default_factory=Spelling)
    organization: str = ""
    top: str = 'initial_lookback = "25m"\n'
    name: str = "acme"

    listener: Listener = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "collector.toml"

    @property
    def log(self) -> Path:
        """What every collector of this scenario said."""
        return self.folder / "collector.log"

    @property
    def token_file(self) -> Path:
        """Holds the token."""
        return self.folder / "token"

    @contextmanager
    def serving(self) -> Iterator["Scenario"]:
        """The API listens, and the configuration is written; at the end no process is left."""
        with Listener(self.api.handle, self.spelling) as self.listener:
            self.token_file.write_text(self.api.token + "\n")
            self.token_file.chmod(0o600)
            self.config.write_text(
                f"{self.top}"
                f'[kafka]\nbootstrap_servers = "{self.bootstrap_servers}"\ntopic_prefix = "{self.topic_prefix}"\n'
                f"event_partitions = 2\nshards = 2\n"
                f'[[organizations]]\nname = "{self.name}"\ntoken_file = "{self.token_file}"\n'
                f'base_url = "http://127.0.0.1:{self.listener.port}"\n{self.organization}'
            )
            try:
                yield self
            finally:
                if self.process is not None:
                    end(self.process)

    def start(self, *options: str) -> None:
        """Start a collector."""
        self.process = start_collector(self.config, self.log, *options)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the collector to stop; it must do so in peace."""
        assert self.process is not None
        code = end(self.process)
        assert code == 0, f"exit code {code}; its log:\n{self.log.read_text()[-3000:]}"

    def run_once(self, deadline_s: float = 60.0) -> None:
        """``run --once`` to its end."""
        self.start("--once")
        assert self.process is not None
        code = self.process.wait(deadline_s)
        assert code == 0, f"exit code {code}; its log:\n{self.log.read_text()[-3000:]}"

    def wait_until_all_was_shown(self, deadline_s: float) -> None:
        """Wait until every row was in a walk that began after it became visible, or in one that another followed."""
        assert self.process is not None
        last: list[object] = []

        def shown() -> bool:
            with self.api.lock:
                last[:] = [row for row in self.api.rows if not self.api.covered(row)]
            return not last

        try:
            wait_until("every row was shown", shown, deadline_s, alive=[self.process])
        except AssertionError as error:
            raise AssertionError(
                f"{error}; {len(last)} rows were not, such as {last[:1]}; its log:\n{self.log.read_text()[-3000:]}"
            ) from None

    def wait_for(self, what: str, seen: Callable[[], object], deadline_s: float) -> None:
        """Wait for a condition while the collector lives."""
        assert self.process is not None
        wait_until(what, seen, deadline_s, alive=[self.process])

    # -- the truth

    def events(self) -> Committed:
        """What is in the events topic."""
        return read_committed(self.bootstrap_servers, f"{self.topic_prefix}.user-sessions")

    def compare(self) -> None:
        """Every session once, every bad row once with its bytes, and no rule of the API broken."""
        if problems := self.problems():
            raise AssertionError("\n".join(problems))

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        committed = self.events()
        published = Counter((value["aid"], value["userSessionId"]) for value in map(json.loads, committed.values))
        truth = {(row.aid, row.session_id) for row in self.api.rows if row.session_id is not None}
        letters = Counter(read_committed(self.bootstrap_servers, f"{self.topic_prefix}.user-sessions.dlq").values)
        bad = {row.raw for row in self.api.rows if row.session_id is None}
        found = [
            f"missing: {len(missing)} of {len(truth)}, such as {sorted(missing)[:3]}"
            for missing in [truth - set(published)]
            if missing
        ]
        found += [f"{n} times: {key}" for key, n in published.items() if n > 1][:5]
        found += [f"never offered: {key}" for key in set(published) - truth][:5]
        found += [f"dead letter missing: {raw!r}" for raw in bad - set(letters)][:5]
        found += [f"dead letter {n} times: {raw!r}" for raw, n in letters.items() if n > 1][:5]
        found += [f"dead letter of a valid row: {raw!r}" for raw in set(letters) - bad][:5]
        return found + self.api.violations[:10]


def now_s(api: Api) -> float:
    """The server's clock in whole seconds, as a date can show it."""
    return float(int(api.now()))
