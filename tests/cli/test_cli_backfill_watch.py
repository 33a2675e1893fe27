"""What a person is shown and told while a backfill job is waited for, and how it is drawn."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from collector.cli.backfill_standing import NOT_TAKEN_TELL_S, QUIET_TELL_S, Standing
from collector.cli.backfill_view import LINE_EVERY_S, JobBar, JobLines, time_left
from collector.cli.wording import listed
from collector.core.backfill import BackfillJob, BackfillRequest, Counts, JobState
from collector.core.model import MonoS
from collector.errors import StartRefused
from collector.kafka.state import News

NOW = 1_790_000_000.0
COLUMNS = 80


def request(job: str = "ours", requested_at: float = NOW) -> BackfillRequest:
    """A day of two account groups."""
    return BackfillRequest(job, "acme", int(NOW) - 86_400, int(NOW), ("11", "22"), 0.2, requested_at)


def waiting(job: str = "ours", requested_at: float = NOW) -> BackfillJob:
    """A job that a worker took."""
    return BackfillJob(request(job, requested_at), NOW, NOW)


def running(job: str = "ours", pages: int = 0, requested_at: float = NOW) -> BackfillJob:
    """A job that runs, a quarter of it done per 100 pages."""
    begun = waiting(job, requested_at).begun(("11", "22"), NOW)
    return begun.walked("11", int(NOW) - 86_400 + pages * 432, Counts(pages, pages * 100, pages * 2), NOW)


class Page:
    """A view that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.standing = ""
        self.job: BackfillJob | None = None

    def show(self, job: BackfillJob, now: MonoS) -> None:
        self.job = job

    def tell(self, standing: str, now: MonoS) -> None:
        self.standing = standing

    def say(self, line: str) -> None:
        self.said.append(line)


class Watched:
    """A job that is watched, a second after the other."""

    def __init__(self, *jobs: BackfillJob) -> None:
        self.page, self.now = Page(), 1_000.0
        known = {job.request.job: job for job in jobs}
        self.standing = Standing(request(), known, self.page, MonoS(self.now), "te.state")

    def news(self, job: BackfillJob) -> None:
        """The state topic says so."""
        self.standing.heard(News(job.request.key, job.to_bytes()), MonoS(self.now))

    def silence(self, duration_s: float, *, is_away: bool = False) -> None:
        """Nothing comes for so long."""
        for _ in range(round(duration_s)):
            self.now += 1.0
            self.standing.silence(MonoS(self.now), is_away=is_away)


def test_from_the_request_to_the_end() -> None:
    """Each stand in a word, and nothing is said beside it while all goes well."""
    watched = Watched()
    stands = [watched.page.standing]
    for job in (waiting(), running(), running(pages=200).ended(JobState.DONE, NOW)):
        watched.news(job)
        stands.append(watched.page.standing)
    assert stands == ["waiting for its worker", "about to begin", "running", "done"]
    assert watched.standing.is_over
    assert watched.page.said == []


def test_a_request_that_nobody_takes_is_explained_once() -> None:
    """After some seconds, with what to look at; and no more once a worker has it."""
    watched = Watched()
    watched.silence(NOT_TAKEN_TELL_S - 1)
    assert watched.page.said == []
    watched.silence(NOT_TAKEN_TELL_S)
    assert len(watched.page.said) == 1
    assert "does a collector run that collects acme" in watched.page.said[0]


def test_whom_it_waits_for_is_named() -> None:
    """The one job that comes first by its name, several by their number; later requests are none of them."""
    watched = Watched(running("first", requested_at=NOW - 10), waiting("second", NOW - 5), waiting("later", NOW + 5))
    assert watched.page.standing == "waiting behind 2 jobs"
    watched.silence(NOT_TAKEN_TELL_S * 2)
    assert watched.page.said == []  # it is known why it waits
    watched.news(running("first", requested_at=NOW - 10).ended(JobState.DONE, NOW))
    assert watched.page.standing == "waiting behind second"
    watched.news(waiting("second", NOW - 5).ended(JobState.CANCELLED, NOW))
    watched.news(waiting())
    assert watched.page.standing == "about to begin"


def test_a_job_that_stands_still_is_told_each_time_once() -> None:
    """Its worker may be dead: said after a minute, shown as long as it lasts, and again when it happens again."""
    watched = Watched(running())
    watched.silence(QUIET_TELL_S - 1)
    assert (watched.page.standing, watched.page.said) == ("running", [])
    watched.silence(30)
    assert watched.page.standing == "running, no news for 80 s"
    assert len(watched.page.said) == 1
    assert "gone" in watched.page.said[0]
    watched.news(running(pages=1))
    assert watched.page.standing == "running"
    watched.silence(QUIET_TELL_S)
    assert len(watched.page.said) == 2


def test_kafka_that_is_away_is_told_and_so_is_its_return() -> None:
    """Nothing is said about the worker meanwhile: nobody knows."""
    watched = Watched(running())
    watched.silence(QUIET_TELL_S * 2, is_away=True)
    assert watched.page.standing == "Kafka does not answer"
    watched.silence(1)
    assert watched.page.standing == "running"
    assert [line.split(";")[0] for line in watched.page.said] == ["Kafka does not answer", "Kafka answers again"]


def test_a_job_that_was_forgotten_waits_for_its_worker_again() -> None:
    """A tombstone takes it away."""
    watched = Watched(running())
    watched.standing.heard(News(request().key, None), MonoS(watched.now))
    assert watched.standing.job is None


def test_a_job_of_another_version_is_told_while_another_one_is_watched() -> None:
    """As it is where jobs are listed."""
    watched = Watched(running())
    with pytest.raises(StartRefused, match=r"te\.state holds what this version cannot read at .*/theirs"):
        watched.standing.heard(News(request("theirs").key, b'{"version":99}'), MonoS(watched.now))


def test_the_bar_fits_a_terminal_of_80_columns() -> None:
    """Share and time left beside the bar, the figures below it; drawn once when it ends."""
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=COLUMNS, color_system=None, legacy_windows=False)
    with JobBar(request(), console) as bar:
        bar.tell("waiting behind 20261125T170302-47bc", MonoS(0.0))
        bar.show(running(pages=1_000), MonoS(10.0))
        bar.show(running(pages=40_000), MonoS(40.0))
        bar.tell("running, no news for 120 s", MonoS(40.0))
        shown = Console(file=io.StringIO(), width=COLUMNS)
        with shown.capture() as screen:
            shown.print(*bar._progress.get_renderables(), sep="\n")
    lines = screen.get().splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].startswith("acme: running, no news for 120 s ")
    assert "50%" in lines[0]
    assert lines[1].strip() == "40,000 pages, 78,000 pages/min, 4,000,000 sessions published, 80,000 known"
    assert drawn.getvalue().rstrip().count("40,000 pages,") == 1


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One when it does something else, one every half a minute while it runs; no bar, no escape, nothing on stdout."""
    now = 0.0
    with JobLines(request()) as view:
        for _ in range(20):
            view.tell("waiting for its worker", MonoS(now))
            now += 1.0
        for second in range(int(LINE_EVERY_S) * 2 + 1):
            view.show(running(pages=second), MonoS(now))
            view.tell("running", MonoS(now))
            now += 1.0
        view.show(running(pages=100).ended(JobState.DONE, NOW), MonoS(now))
        view.tell("done", MonoS(now))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "te-collector: acme: waiting for its worker",
        "te-collector: acme: running, 0%, 0 pages, 0 sessions published",
        "te-collector: acme: running, 8%, 30 pages, 60 pages/min, 3,000 sessions published, 60 known, 6m left",
        "te-collector: acme: running, 15%, 60 pages, 60 pages/min, 6,000 sessions published, 120 known, 6m left",
        "te-collector: acme: done, 25%, 100 pages, 10,000 sessions published, 200 known",
    ]


def test_the_time_left_is_no_more_exact_than_it_is() -> None:
    """Seconds in the last minute, else minutes; nothing when it is unknown or over."""
    assert time_left(running(), 41.4) == "41s left"
    assert time_left(running(), 7_777.0) == "2h10m left"
    assert time_left(running(), None) == ""
    assert time_left(running().ended(JobState.FAILED, NOW), 10.0) == ""


def test_of_many_words_the_first_are_named() -> None:
    """An organization may have hundreds of account groups; a line has room for ten."""
    assert listed(["1", "2"]) == "1, 2"
    assert listed([str(n) for n in range(500)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 490 more"
