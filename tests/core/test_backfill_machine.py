"""A job of an operator through any sequence of letters, pages, trouble, crashes and restores."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from collector.core.backfill import CANCEL_KIND, BackfillJob, BackfillRequest, Counts, JobState, key_of
from collector.core.backfill_jobs import REQUEST_VALID_S, BackfillJobs, JobChange, Letter

NAME = "a b/c"
START, END = 1_000, 2_000
AIDS = ("1", "2", "3")
JOBS = ("one", "two", "three")


class JobsMachine(RuleBasedStateMachine):
    """The jobs of one organization, beside a plain model of what must have become of them."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, bytes] = {}
        self.jobs = BackfillJobs(NAME)
        self.letters: list[Letter] = []
        self.now = 10_000.0
        self.over: dict[str, BackfillJob] = {}  # jobs that were over, as they were then
        self.pages: Counter[str] = Counter()
        self.until: dict[tuple[str, str], int] = {}
        self.taken: Counter[str] = Counter()

    def commit(self, changes: list[JobChange], *, crash: bool) -> None:
        """Make changes durable; the process may die before it knows."""
        for one in changes:
            key, value = one.change
            if value is None:
                self.state.pop(key)
            else:
                self.taken[key] += key not in self.state
                self.state[key] = value
        if crash:
            self.restore()
        else:
            for one in changes:
                self.jobs.apply(one)

    @rule()
    def restore(self) -> None:
        """A new process, which knows what is durable."""
        self.jobs = BackfillJobs(NAME)
        self.jobs.restore(self.state)

    @rule(job=st.sampled_from(JOBS), aids=st.none() | st.lists(st.sampled_from((*AIDS, "9")), min_size=1))
    def asked(self, job: str, aids: list[str] | None) -> None:
        """An operator asks, perhaps again."""
        groups = None if aids is None else tuple(aids)
        request = BackfillRequest(job, NAME, START, END, groups, 0.2, self.now)
        self.letters.append(Letter(request.key, request.to_bytes(), self.now))

    @rule(job=st.sampled_from(JOBS))
    def cancelled(self, job: str) -> None:
        """An operator changes his mind."""
        self.letters.append(Letter(key_of(CANCEL_KIND, NAME, job), b"{}", self.now))

    @rule(value=st.binary(max_size=20), key=st.sampled_from([f"backfill/{NAME}/x", "backfill/other/x", "origin"]))
    def foreign(self, key: str, value: bytes) -> None:
        """Records of others, and broken ones."""
        self.letters.append(Letter(key, value, self.now))

    @rule(crash=st.booleans(), skip=st.integers(0, 3))
    def look(self, crash: bool, skip: int) -> None:
        """The worker reads letters, from the first or from later on."""
        self.commit(self.jobs.heed(self.letters[skip:], self.now), crash=crash)

    @rule(crash=st.booleans(), aids=st.lists(st.sampled_from(AIDS), min_size=1, unique=True))
    def begin(self, crash: bool, aids: list[str]) -> None:
        """The next job begins, or cannot."""
        change = self.jobs.begin(aids, self.now, 1e9)
        self.commit([] if change is None else [change], crash=crash)

    @precondition(lambda self: self.jobs.current is not None)
    @rule(crash=st.booleans(), aid=st.sampled_from(AIDS), until=st.none() | st.integers(START, END), bad=st.booleans())
    def page(self, crash: bool, aid: str, until: int | None, bad: bool) -> None:
        """A page of the job that runs, or a range that cannot be read."""
        current = self.jobs.current
        assert current is not None
        name = current.request.job
        if current.state is not JobState.RUNNING:
            return
        if bad:
            change = self.jobs.pass_over(name, aid, START, START + 60, self.now)
        else:
            change = self.jobs.page(name, aid, until, Counts(1, 2, 3, 4), self.now)
            self.pages[name] += 1
        assert change is not None
        until = START + 60 if bad else until
        if until is not None and any(one.aid == aid for one in current.positions):
            self.until[name, aid] = max(until, self.until.get((name, aid), START))
        self.commit([change], crash=crash)

    @rule(seconds=st.sampled_from([1.0, 60.0, REQUEST_VALID_S / 2]))
    def time_passes(self, seconds: float) -> None:
        """Letters grow old."""
        self.now += seconds

    @invariant()
    def memory_is_what_is_durable(self) -> None:
        """After each commit and each crash."""
        assert {job.request.key: job.to_bytes() for job in self.jobs.all} == self.state

    @invariant()
    def a_job_is_taken_once_and_stays_over(self) -> None:
        """Whatever is read again; a job that is over never changes."""
        assert all(count == 1 for count in self.taken.values())
        for job in self.jobs.all:
            name = job.request.job
            assert self.over.get(name, job) == job
            if job.is_over:
                self.over[name] = job

    @invariant()
    def pages_count_once_and_positions_only_go_forward(self) -> None:
        """A job's counts are those of its durable pages."""
        for job in self.jobs.all:
            name = job.request.job
            assert job.counts == Counts(*(n * self.pages[name] for n in (1, 2, 3, 4)))
            for aid, until in job.positions:
                assert until == self.until.get((name, aid), START)
            if job.state is JobState.DONE:
                assert all(until >= END for _, until in job.positions)
            if job.state is JobState.RUNNING:
                assert job.unfinished()

    @invariant()
    def one_runs(self) -> None:
        """And it is the one that was asked for first."""
        running = [job for job in self.jobs.all if job.state is JobState.RUNNING]
        assert len(running) <= 1


TestJobs = JobsMachine.TestCase


def running() -> BackfillJob:
    """A job over two account groups that has begun."""
    request = BackfillRequest("one", NAME, START, END, None, 0.2, 1.0)
    return BackfillJob(request, 1.0, 1.0).begun(("1", "2"), 2.0)


def test_positions_only_go_forward() -> None:
    """A page that proves less than was walked already, as after a smaller window, takes nothing back."""
    job = running().walked("1", START + 500, Counts(1, 2, 3, 4), 3.0).walked("1", START + 100, Counts(1, 0, 0, 0), 4.0)
    assert job.left("1") == (START + 500, END)
    assert job.left("2") == (START, END)
    assert job.counts == Counts(2, 2, 3, 4)
    assert job.share_done == 0.25


def test_it_is_done_when_all_of_it_was_walked() -> None:
    """With the page that reaches the end of the last account group; what is left out counts as walked, and is told."""
    job = running().walked("2", END, Counts(1, 0, 0, 0), 3.0)
    assert (job.state, job.unfinished()) == (JobState.RUNNING, ("1",))
    job = job.passed_over("1", END - 60, END, 4.0)
    assert (job.state, job.share_done, job.skipped_total) == (JobState.DONE, 1.0, 1)
    assert BackfillJob.parse(job.to_bytes()) == job


TIMES = [("request", "start"), ("request", "end"), ("request", "requested_at"), ("taken_at",), ("changed_at",)]


@pytest.mark.parametrize("time_s", [-1, 253_402_300_800, 10**18, 1e300])
@pytest.mark.parametrize("path", [*TIMES, ("positions", 0, 1), ("skipped", 0, 1), ("skipped", 0, 2)])
def test_a_time_without_a_date_is_no_time(path: tuple[str | int, ...], time_s: float) -> None:
    """Whoever shows a job could not write it down, and nobody can walk a range of it."""
    stored = orjson.loads(running().passed_over("1", 10, 20, 3.0).to_bytes())
    assert BackfillJob.parse(orjson.dumps(stored)).skipped_total == 1
    place = stored
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = time_s
    with pytest.raises(ValueError, match="no time"):
        BackfillJob.parse(orjson.dumps(stored))
