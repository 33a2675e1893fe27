"""What a person is told while a backfill job is waited for: what it does, what it waits for, and what may be wrong.

Rule: it decides from what was heard and the time, and says each trouble once.
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.cli.backfill_jobs import read_job
from collector.cli.backfill_view import View
from collector.cli.wording import plural
from collector.core.backfill import BackfillJob, BackfillRequest, JobState, parts_of
from collector.core.model import MonoS
from collector.kafka.state import News

NOT_TAKEN_TELL_S = 15.0
"""When no worker took a request so soon, it is said why that may be; a worker looks every three seconds."""

QUIET_TELL_S = 60.0
"""When nothing came of a running job for so long, it is said why that may be."""


class Standing:
    """How one job stands. Mutable: the jobs of its organization, when one of them last changed, and what was said.

    Args:
        request: the job's.
        jobs: what is known of all jobs of the organization, its own left out until a worker took it.
        view: where it is shown.
        now: local time.
        topic: the state topic, for what is said.
    """

    def __init__(
        self, request: BackfillRequest, jobs: Mapping[str, BackfillJob], view: View, now: MonoS, topic: str
    ) -> None:
        self._request = request
        self._jobs = dict(jobs)
        self._view = view
        self._topic = topic
        self._heard_at = now
        self._is_away = False
        self._said: set[str] = set()
        self._show(now)

    @property
    def job(self) -> BackfillJob | None:
        """The job as it is known; None: no worker took it yet."""
        return self._jobs.get(self._request.job)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.job is not None and self.job.is_over

    def heard(self, news: News, now: MonoS) -> None:
        """A job of the organization has changed.

        Raises:
            StartRefused: it is none that this version can read.
        """
        parts = parts_of(news.key)
        if parts is None:
            return
        if news.value is None:
            self._jobs.pop(parts[2], None)
        else:
            self._jobs[parts[2]] = read_job(self._topic, news.key, news.value)
        self._heard_at = now  # one job of an organization runs at a time: this one, or one that it waits for
        self._said.discard("quiet")
        self._answers(now)

    def silence(self, now: MonoS, *, is_away: bool) -> None:
        """Nothing has changed; ``is_away``: and Kafka does not answer."""
        if not is_away:
            self._answers(now)
            return
        if not self._is_away:
            self._is_away = True
            self._view.say("Kafka does not answer; the job goes on when it is back, and so does this")
        self._view.tell("Kafka does not answer", now)

    def _answers(self, now: MonoS) -> None:
        if self._is_away:
            self._is_away = False
            self._heard_at = now
            self._view.say("Kafka answers again")
        self._show(now)

    def _show(self, now: MonoS) -> None:
        if self.job is not None:
            self._view.show(self.job, now)
        self._view.tell(self._words(now), now)

    def _words(self, now: MonoS) -> str:
        job, silent_s = self.job, now - self._heard_at
        if job is not None and job.is_over:
            return job.state.value
        quiet = ""
        if silent_s >= QUIET_TELL_S and any(one.state is JobState.RUNNING for one in self._jobs.values()):
            quiet = f", no news for {silent_s // 10 * 10:.0f} s"
            self._say_once(
                "quiet",
                f"nothing came of the running job for {silent_s:.0f} s. Its worker may wait for quota, or read back "
                f"what was published; or it is gone, and another one goes on as soon as it runs. The status page tells",
            )
        if job is not None and job.state is JobState.RUNNING:
            return f"running{quiet}"
        if ahead := self._ahead():
            return f"waiting behind {ahead[0] if len(ahead) == 1 else plural(len(ahead), 'job')}{quiet}"
        if job is None and silent_s >= NOT_TAKEN_TELL_S:
            self._say_once(
                "not taken",
                f"no worker took it yet: does a collector run that collects {self._request.organization}, with this "
                f"configuration? The request waits seven days for one",
            )
        return "waiting for its worker" if job is None else "about to begin"

    def _ahead(self) -> list[str]:
        """The jobs that come first: the one that runs, and those that were asked for before."""
        ours = (self._request.requested_at, self._request.job)
        return [
            name
            for name, job in self._jobs.items()
            if name != self._request.job
            and not job.is_over
            and (job.state is JobState.RUNNING or (job.request.requested_at, name) < ours)
        ]

    def _say_once(self, what: str, line: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._view.say(line)
