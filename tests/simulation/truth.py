"""What was promised, against what a reader of the topics sees.

Rule: the truth is the list of sessions and what the API served; nothing here asks the collector how it works. Every
record is judged when it becomes readable, what is missing at checkpoints, after a while without faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import orjson

from collector.core.backfill import KIND, BackfillJob, JobState, key_of
from collector.core.ledger_entries import Why
from collector.core.ledger_record import decode
from collector.core.model import Destination, Record
from collector.core.progress import ProgressSettings
from collector.core.seen import HOUR_S
from collector.core.windows import ROUND_S
from tests.core.pages import EPOCH
from tests.simulation.api import SimulatedApi, server_time, source_bytes
from tests.simulation.arrivals import DAY_S, Archive, Session, Version
from tests.simulation.trace import Trace, clock

SHOWN_MAX = 5

KEPT_LONGER_S = 3 * HOUR_S
"""Ids are kept by the hour, with an hour's margin, and dropped with the next page."""

SWEEP_EVERY_S = 3_600
"""How often what is not final is walked again; ids are kept as much longer."""

SETTLED_S = 1_800.0
"""What was shown this long before a checkpoint must be readable there, and every account group was visited since."""

PROMPT_S = 60.0
"""Sessions that were shown within a minute are found by the first walk over their time."""

OVERLAP_MAX_S = 3_600 + ROUND_S
EDGE_S = 600
"""How long a walk along the edge of what the API keeps may take."""

MARK_BYTES = 18
KEY_BYTES = 24
GROUP_BYTES = 1_200
GROUP_KEYS = 3
JOB_BYTES = 600
"""What an id, the head of a value, an account group and a backfill job take in the durable state, at most."""


class PromiseBroken(BaseException):
    """What the README promises did not hold. No ``except Exception`` of the collector stops it on its way out."""


def promised_lateness_s(settings: ProgressSettings) -> int:
    """How late after its date a session may be committed and must still be found, seconds."""
    return settings.late_horizon_s


class Reader:
    """A ``read_committed`` reader of both topics that knows what it should see of each organization."""

    def __init__(
        self, apis: Sequence[SimulatedApi], sessions: Iterable[Session], trace: Trace, overlap_s: int = 0
    ) -> None:
        self._trace, self._overlap_s = trace, overlap_s
        self._sources = {f"/thousandeyes/{api.name}/{aid}".encode() for api in apis for aid in api.aids}
        self.sessions: dict[str, Session] = {}
        self._broken: dict[bytes, Session] = {}
        for session in sessions:
            self.sessions[session.identifier] = session
            for version in session.versions:
                if version.broken:
                    self._broken[source_bytes(version.row)] = session
        self.events: Counter[str] = Counter()
        self.late = 0  # events that were committed later than the shortest overlap
        self._apis = {aid: api for api in apis for aid in api.aids}
        # What is not known to be readable yet: what was not shown yet, the next one last, and what was.
        self._to_come = {aid: sorted(archive.sessions, key=_shown, reverse=True) for aid, archive in _archives(apis)}
        self._open: dict[str, list[Session]] = {aid: [] for aid in self._apis}
        self._checkpoints: list[float] = []  # server time
        self.letters: Counter[bytes] = Counter()
        self.jobs_done: set[str] = set()

    def read(self, record: Record) -> None:
        """Judge a record that became readable."""
        if record.destination is Destination.EVENTS:
            self._event(record)
        else:
            self._letter(record)

    def _event(self, record: Record) -> None:
        identifier = record.key.decode()
        session = self.sessions.get(identifier)
        value = orjson.loads(record.value)
        headers = dict(record.headers)
        if session is None or value["userSessionId"] != identifier or headers["ce_id"] != record.key:
            raise PromiseBroken(f"invented: an event with the key {identifier}: {record.value!r}")
        offered = [v.row["version"] for v in session.versions if not v.broken and v.since <= server_time()]
        if value["aid"] != session.aid or value["version"] not in offered or headers["ce_source"] not in self._sources:
            raise PromiseBroken(f"invented: the API never said {record.value!r}; it said {session}")
        self.events[identifier] += 1
        if self.events[identifier] > 1:
            raise PromiseBroken(f"twice: {told(session)}")
        self.late += session.committed - session.date > self._overlap_s

    def _letter(self, record: Record) -> None:
        session = self._broken.get(record.value)
        if session is None:
            reason = dict(record.headers).get("te.errors.reason", b"").decode()
            raise PromiseBroken(f"a good row became a dead letter ({reason}): {record.value!r}")
        self.letters[record.value] += 1
        if self.letters[record.value] > 1 and not self._was_asked_for(session):
            raise PromiseBroken(f"dead letter twice: {record.value!r}, {told(session)}")

    def _was_asked_for(self, session: Session) -> bool:
        """Dead letters of a range that an operator asks for may be repeated."""
        asked = self._apis[session.aid].asked_before
        return any(first - ROUND_S <= session.date <= last + ROUND_S for _, _, first, last in asked)

    def published(self, source: str, start: int, end: int) -> set[str]:
        """The ids of the events of a source, by their time."""
        aid = source.rpartition("/")[2]
        since = self._apis[aid].archives[aid].since(start)
        return {one.identifier for one in since if one.date <= end and one.identifier in self.events}

    def _is_readable(self, session: Session, version: Version) -> bool:
        if version.broken:
            return source_bytes(version.row) in self.letters
        return session.identifier in self.events

    def missing(self, api: SimulatedApi, settings: ProgressSettings, lead_s: float, until: float) -> list[Session]:
        """Promised sessions of an organization that cannot be read.

        Args:
            api: the organization.
            settings: with what it was collected.
            lead_s: how far the API's own clock was ahead of its commits at most, seconds.
            until: those that the API showed before, seconds of virtual time.
        """
        lateness_s = promised_lateness_s(settings)
        found = []
        for aid, (_, begin) in sorted(api.first_windows.items()):
            for session in self._not_readable(aid, EPOCH + until):
                version = _counts(session)
                late_s = version.since - session.date + lead_s
                # What is later than the overlap waits for a sweep to begin, and to come there.
                found_by = EPOCH + until if late_s <= settings.overlap_s else EPOCH + until - SWEEP_EVERY_S
                if late_s > lateness_s or session.date < begin or version.since >= found_by:
                    continue
                if not self._was_gone(session, api.retention_s):
                    found.append(session)
        return found

    def _not_readable(self, aid: str, until: float) -> list[Session]:
        """What was shown before ``until``, server time, and cannot be read; what can be is not looked at again."""
        to_come, shown = self._to_come[aid], self._open[aid]
        while to_come and _shown(to_come[-1]) < until:
            shown.append(to_come.pop())
        left = self._open[aid] = [one for one in shown if not self._is_readable(one, _counts(one))]
        return left

    def _was_gone(self, session: Session, retention_s: float) -> bool:
        """Whether the API showed it only while nobody was well enough to look: no checkpoint lies in that time."""
        found_by, gone = _shown(session) + SWEEP_EVERY_S + SETTLED_S, session.date + retention_s
        return gone < server_time() and not any(found_by <= time <= gone for time in self._checkpoints)

    def require_loss_told(self, api: SimulatedApi, state: Mapping[str, bytes]) -> None:
        """What nobody looked at before the API dropped it is recorded as lost, and nothing that it still keeps is.

        Args:
            api: the organization.
            state: of its shard.
        """
        for aid, archive in api.archives.items():
            key = f"progress/{api.name}/{aid}"
            if key not in state:
                continue
            lost = decode(state[key]).lost
            for one in lost:
                if one.why is Why.RETENTION and one.end > one.at - api.retention_s + EDGE_S:
                    raise PromiseBroken(f"lost, and the API still had it: account group {aid}, {one}")
            begin = api.first_windows[aid][1]
            gone_before = server_time() - api.retention_s
            for session in self._open[aid]:
                if not begin <= session.date < gone_before or _shown(session) - session.date > PROMPT_S:
                    continue
                # What was walked just before, and not late enough, is no gap; the edge moves while a walk goes on.
                if not any(one.start - OVERLAP_MAX_S <= session.date < one.end + EDGE_S for one in lost):
                    raise PromiseBroken(f"lost and not told: {told(session)}, of {archive.retention_s} s; {lost}")

    def require_backfilled(self, api: SimulatedApi, state: Mapping[str, bytes], calm_since: float) -> None:
        """Jobs that are done have brought everything of their range, and none goes on for ever.

        Args:
            api: the organization.
            state: of its shard.
            calm_since: server time from which on everything worked.
        """
        for name, asked_at, first, last in api.asked_before:
            value = state.get(key_of(KIND, api.name, name))
            job = None if value is None else BackfillJob.parse(value)
            if job is None or not job.is_over:
                if calm_since - asked_at > 2 * DAY_S:
                    raise PromiseBroken(f"a backfill does not end: {api.name}, {name}, {job}")
                continue
            if job.state is not JobState.DONE or job.skipped_total or name in self.jobs_done:
                continue
            self.jobs_done.add(name)
            for position in job.positions:
                for session in api.archives[position.aid].since(first):
                    version = _counts(session)
                    gone = session.date + api.retention_s <= job.changed_at
                    if session.date > last or version.since >= job.taken_at or gone:
                        continue
                    if not self._is_readable(session, version):
                        raise PromiseBroken(f"not backfilled by {name}, {api.name}: {told(session)}; {job}")

    def passed(self) -> None:
        """A checkpoint lies behind us."""
        self._checkpoints.append(server_time())

    def require_nothing_missing(
        self, api: SimulatedApi, settings: ProgressSettings, lead_s: float, until: float
    ) -> None:
        """Raise with the first of the missing sessions."""
        missing = self.missing(api, settings, lead_s, until)
        if missing:
            shown = "\n  ".join(told(session) for session in missing[:SHOWN_MAX])
            raise PromiseBroken(f"missing, {api.name}: {len(missing)} sessions, such as\n  {shown}")

    def found_late(self, settings: ProgressSettings) -> int:
        """How many sessions were found that are later than promised."""
        lateness_s = promised_lateness_s(settings)
        return sum(
            self.sessions[identifier].committed - self.sessions[identifier].date > lateness_s
            for identifier in self.events
        )


def _archives(apis: Sequence[SimulatedApi]) -> list[tuple[str, Archive]]:
    return [(aid, archive) for api in apis for aid, archive in api.archives.items()]


def _counts(session: Session) -> Version:
    """A broken row that was put right need not have been seen before; a good one counts as it was first."""
    return session.versions[-1] if session.versions[0].broken else session.versions[0]


def _shown(session: Session) -> float:
    return _counts(session).since


def require_visited(api: SimulatedApi, since: float) -> None:
    """Every account group was walked to its end after ``since`` (virtual seconds)."""
    for aid in api.aids:
        if api.finished.get(aid, -1.0) < since:
            last = clock(api.finished[aid]) if aid in api.finished else "never"
            raise PromiseBroken(f"not visited, {api.name}: account group {aid}, walked to its end {last}")


def require_quota_kept(api: SimulatedApi) -> None:
    """No answer 429 that nothing explains, and never more than our share of a quota window."""
    if api.unexplained:
        shown = "\n  ".join(api.unexplained[:SHOWN_MAX])
        raise PromiseBroken(f"quota not kept: {len(api.unexplained)} times, such as\n  {shown}")


def told(session: Session) -> str:
    """A session in the words of the trace."""
    late = ", ".join(f"{version.since - session.date:.1f}" for version in session.versions)
    when = clock(session.date - EPOCH) if session.date >= EPOCH else f"{EPOCH - session.date} s before the begin"
    return f"{session.identifier} of account group {session.aid}, {when} [{session.date - EPOCH}], shown {late} s later"


def require_state_bounded(state: dict[str, bytes], apis: Sequence[SimulatedApi], settings: ProgressSettings) -> None:
    """The durable state of a shard holds the ids that are needed, and hardly more.

    Args:
        state: of the shard.
        apis: the organizations on it.
        settings: with what they are collected.
    """
    keep_from = server_time() - settings.late_horizon_s - settings.overlap_s - SWEEP_EVERY_S - KEPT_LONGER_S
    kept = [s for api in apis for archive in api.archives.values() for s in archive.since(keep_from)]
    groups = sum(len(api.aids) for api in apis)
    hours = (server_time() - keep_from) / HOUR_S + 1
    bytes_max = sum(MARK_BYTES + 2 * len(s.identifier) * (not s.identifier[0].isdigit()) for s in kept)
    jobs = sum(len(api.asked_before) for api in apis)  # those that are over are shown for 30 days
    bytes_max += groups * GROUP_BYTES + len(state) * KEY_BYTES + jobs * JOB_BYTES
    keys_max = groups * (hours + GROUP_KEYS) + len(kept) / 8 + jobs
    size = sum(map(len, state.values()))
    if size > bytes_max or len(state) > keys_max:
        raise PromiseBroken(
            f"the state grows: {len(state)} keys (at most {keys_max:.0f}), {size} bytes (at most {bytes_max})"
        )
