"""One run: workers between the simulated API and a real Kafka, the faults of a plan, a calm end, and the verdict.

One rule: a run ends by progress, never because a time is over; who made none for long has not finished.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from confluent_kafka import KafkaException

from collector.local_kafka import LocalKafka
from tests.chaos.api import OVERLAP_S, Api, Load, open_api
from tests.chaos.brokers import Brokers
from tests.chaos.crew import Crew, Worker, log_errors, open_crew
from tests.chaos.modes import Expectation, Mode
from tests.chaos.plan import Kind, Step
from tests.chaos.verify import Follower, Truth, Verdict, judge, read_everything, truth_of, wait_until_settled
from tests.kafka.librdkafka import alter_topic

SHARDS = 4
SESSION_TIMEOUT_S = 6.0
"""Short for a broker by default, and long enough for workers on a starved machine."""

NO_PROGRESS_S = 180.0
"""In the calm: the longest pause of a healthy worker is a quota minute and a back-off of half a minute."""

STILL_S = 45.0
PUT_OFF_S = (960.0, 3_660.0)
"""A round that could not be read is put off for a quarter of an hour, then for an hour. When nothing has moved for so
long, the API's clock is moved on instead of waiting."""

LOOK_EVERY_S = 1.0
FIRST_EVENTS_DEADLINE_S = 180.0
THAW_DEADLINE_S = 60.0

COMPACTED_OFTEN = {"segment.ms": "3000", "min.cleanable.dirty.ratio": "0.01"}
"""Of the state topic: what happens in production within hours happens within seconds."""

COMPACTED_SHARE_MAX = 0.4
"""Of the state's offsets that still hold a record, once it was compacted again and again; 0.6 were seen before."""

ASKED_AGAIN = 40
"""Requests an account group: some walks of a dozen pages."""

ASKED_AGAIN_DEADLINE_S = 300.0
"""With a quota that others have spent, and workers in a quarrel."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be run.

    Args:
        mode: what is broken, and what is expected of it.
        plan: the faults.
        workers: how many at the start.
        load: what the API offers.
        seed: of the simulator; the plan was made of it too.
        prefix: of the topics.
        folder: for files; empty.
        say: is told what happens.
        is_long: whether transactions must have been aborted and the state compacted by its end.
    """

    mode: Mode
    plan: list[Step]
    workers: int
    load: Load
    seed: int
    prefix: str
    folder: Path
    say: Callable[[str], None]
    is_long: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Args:
        run: what was run.
        brokers: how many there were.
        happened: faults by kind.
        verdict: the counts.
        unexplained: workers that died by themselves.
        api_faults: answers that were spoiled, by kind.
        takeovers: restores of shards, from the logs.
        duration_s: of it all.
    """

    run: Run
    brokers: int
    happened: Counter[str]
    verdict: Verdict
    unexplained: list[str]
    api_faults: dict[str, int]
    takeovers: int
    duration_s: float
    problems: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Hold it against what the mode promises."""
        planned = {step.label for step in self.run.plan}
        self.problems += [f"planned, and never happened: {kind}" for kind in sorted(planned - self.happened.keys())]
        self.problems += [f"died by itself: {text}" for text in self.unexplained]
        verdict, expectation = self.verdict, self.run.mode.expectation
        if verdict.unfinished:
            self.problems.append(f"not finished: {verdict.unfinished} sessions; no progress for {NO_PROGRESS_S:.0f} s")
        if verdict.expected == 0 or verdict.dead_letters_expected == 0:
            self.problems.append("nothing was offered")
        if self.run.is_long and not verdict.aborted:
            self.problems.append("no transaction with events was aborted: nobody died in the middle of one")
        if self.run.is_long and verdict.state_records > COMPACTED_SHARE_MAX * verdict.state_offsets:
            self.problems.append("the state was not compacted: restores never met a compacted log")
        match expectation:
            case Expectation.CLEAN if not verdict.is_clean:
                self.problems += ["not every session is there once", *verdict.examples]
            case Expectation.DUPLICATES if verdict.duplicates == 0:
                self.problems.append("broken so, it must duplicate, and did not: this suite is blind")
            case Expectation.LOSSES if verdict.lost == 0 or verdict.known_but_missing == 0:
                self.problems.append("broken so, it must lose, and did not: this suite is blind")

    def count(self, *words: str) -> int:
        """Faults whose name begins with one of these."""
        return sum(n for kind, n in self.happened.items() if kind.startswith(words))


async def execute(run: Run, bootstrap_servers: str, cluster: LocalKafka | None = None) -> Outcome:
    """Run it.

    Args:
        run: what.
        bootstrap_servers: of Kafka.
        cluster: the same, if its brokers may be disturbed.
    """
    began = time.monotonic()
    async with open_api(run.load, run.seed, run.folder) as api:
        config = run.folder / "collector.toml"
        config.write_text(_configuration(api, bootstrap_servers, run.prefix))
        async with open_crew(run.folder, config, run.mode.name) as crew:
            crew.set_size(1)
            await _until_something_arrives(bootstrap_servers, run.prefix)
            await alter_topic(bootstrap_servers, f"{run.prefix}.collector.state", COMPACTED_OFTEN)
            crew.set_size(run.workers)
            await crew.wait_until_all_belong(SHARDS)
            await _Chaos(run, crew, api, None if cluster is None else Brokers(cluster)).unleash()
            if run.mode.alone_at_the_end:
                await _until_asked_again(api)
            walked, truth = await _come_to_rest(run, crew, api, bootstrap_servers)
            await crew.end()
            api_faults = dict(await api.faults_that_happened())
    await to_thread.run_sync(wait_until_settled, bootstrap_servers, run.prefix)
    found = await to_thread.run_sync(read_everything, bootstrap_servers, run.prefix)
    outcome = Outcome(
        run=run,
        brokers=1 if cluster is None else len(cluster.brokers),
        happened=crew.happened,
        verdict=judge(truth, found, walked),
        unexplained=crew.unexplained,
        api_faults=api_faults,
        takeovers=log_errors(run.folder, "shard restored")["shard restored"],
        duration_s=time.monotonic() - began,
    )
    outcome.judge()
    return outcome


class _Chaos:
    """Carries out a plan; what happened is counted in the crew's counter."""

    def __init__(self, run: Run, crew: Crew, api: Api, brokers: Brokers | None) -> None:
        self._run = run
        self._crew = crew
        self._api = api
        self._brokers = brokers

    async def unleash(self) -> None:
        """All steps, one after the other; what lasts goes on beside the next ones."""
        async with anyio.create_task_group() as tasks:
            for number, step in enumerate(self._run.plan, 1):
                await anyio.sleep(step.after_s)
                happened = await self._act(step, tasks)
                label = step.label if happened else f"missed: {step.label}"
                self._crew.happened[label] += 1
                self._run.say(f"[{number}/{len(self._run.plan)}] {label}")

    async def _act(self, step: Step, tasks: TaskGroup) -> bool:
        """Returns whether it happened, or has begun."""
        crew = self._crew
        match step.kind:
            case Kind.KILL | Kind.FREEZE | Kind.STOP:
                if (victim := await self._victim(step.choice)) is None:
                    return False
                if step.kind is Kind.KILL:
                    await crew.kill(victim)
                elif step.kind is Kind.STOP:
                    tasks.start_soon(crew.stop, victim)
                else:
                    tasks.start_soon(crew.freeze, victim, step.lasts_s)
            case Kind.AIMED_KILL | Kind.AIMED_FREEZE:
                number = signal.SIGKILL if step.kind is Kind.AIMED_KILL else signal.SIGSTOP
                return await crew.aim(step.point, number, step.probability, step.lasts_s, step.choice)
            case Kind.SCALE:
                sizes = [size for size in range(1, self._run.workers + 2) if size != crew.size]
                crew.set_size(sizes[int(step.choice * len(sizes))])
            case Kind.BROKER_KILL | Kind.BROKER_FREEZE:
                if self._brokers is None:
                    return False
                await self._brokers.disturb(step)
            case _:
                tasks.start_soon(self._api.disturb, step)
        return True

    async def _victim(self, choice: float) -> Worker | None:
        """A living worker; they may all be down for a moment."""
        with anyio.move_on_after(THAW_DEADLINE_S):
            while (victim := self._crew.choose(choice)) is None:  # noqa: ASYNC110 - of other processes
                await anyio.sleep(0.05)
            return victim
        return None


async def _come_to_rest(run: Run, crew: Crew, api: Api, bootstrap_servers: str) -> tuple[set[str], Truth]:
    """No faults, nothing new: wait until all is there, or all was walked, or nothing moves any more.

    Returns the account groups that were walked to their end, and what was offered.
    """
    if run.mode.alone_at_the_end:
        await crew.kill_all()
    crew.set_size(1 if run.mode.alone_at_the_end else run.workers)
    frozen_at = await api.calm()
    truth = truth_of(await api.truth())
    groups = {*truth.sessions.values(), *truth.bad_rows.values()}
    run.say(f"calm: {len(truth.sessions)} sessions and {len(truth.bad_rows)} bad rows were offered")
    follower = await to_thread.run_sync(Follower, bootstrap_servers, run.prefix)
    try:
        covered: dict[str, int] = {}
        seen, moved_at, put_off = (-1, -1), time.monotonic(), list(PUT_OFF_S)
        while time.monotonic() - moved_at < NO_PROGRESS_S:
            await to_thread.run_sync(follower.read_on)
            if follower.has_all_of(truth):
                return groups, truth
            covered = await crew.covered_until()
            if all(covered.get(aid, 0) > frozen_at for aid in groups):
                return groups, truth
            reached = sum(min(covered.get(aid, 0), int(frozen_at) + 1) for aid in groups)
            if (now := (follower.records, reached)) != seen:
                seen, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > STILL_S and put_off:
                await api.control("clock", {"advance_s": put_off.pop(0)})
                run.say("calm: nothing moves; the API's clock goes on to when a collector tries again")
                moved_at = time.monotonic()
            await anyio.sleep(LOOK_EVERY_S)
        return {aid for aid in groups if covered.get(aid, 0) > frozen_at}, truth
    finally:
        follower.close()


async def _until_something_arrives(bootstrap_servers: str, prefix: str) -> None:
    """Before faults begin there must be something to break."""
    with anyio.fail_after(FIRST_EVENTS_DEADLINE_S):
        while True:
            try:
                follower = await to_thread.run_sync(Follower, bootstrap_servers, prefix)
            except (KeyError, KafkaException):  # the topics do not exist yet
                await anyio.sleep(LOOK_EVERY_S)
                continue
            await to_thread.run_sync(follower.read_on)
            follower.close()
            if follower.events:
                return


async def _until_asked_again(api: Api) -> None:
    """Workers that never let go share shards by now: they have time to show what comes of it."""
    before = await api.requests_by_group()
    with anyio.fail_after(ASKED_AGAIN_DEADLINE_S):
        while True:
            now = await api.requests_by_group()
            if all(count >= before.get(aid, 0) + ASKED_AGAIN for aid, count in now.items()):
                return
            await anyio.sleep(LOOK_EVERY_S)


def _configuration(api: Api, bootstrap_servers: str, prefix: str) -> str:
    """TOML. The history lies inside the first window, late sessions inside the overlap."""
    tables = [
        f'initial_lookback = "{api.load.history_s + 3600}s"\noverlap = "{OVERLAP_S}s"\nlog_format = "json"\n'
        f'[kafka]\nbootstrap_servers = "{bootstrap_servers}"\ntopic_prefix = "{prefix}"\nshards = {SHARDS}\n'
        f'event_partitions = 4\nsession_timeout = "{SESSION_TIMEOUT_S}s"\ntransaction_timeout = "20s"\n'
    ]
    tables += [
        f'[[organizations]]\nname = "org-{number}"\nbase_url = "{api.base_url}"\ntoken = "{api.token(number)}"\n'
        f'poll_interval_min = "1s"\n'
        for number in range(api.load.organizations)
    ]
    return "".join(tables)
