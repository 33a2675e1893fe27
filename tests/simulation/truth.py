"""What was promised, against what a reader of the topics sees.

Rule: the truth is the list of sessions and what the API served; nothing here asks the collector how it works. Every
record is judged when it becomes readable, what is missing at checkpoints, after a while without faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import orjson

from collector.core.model import Destination, Record
from collector.core.progress import ProgressSettings
from collector.core.seen import HOUR_S
from tests.core.pages import EPOCH
from tests.simulation.api import SimulatedApi, server_time, source_bytes
from tests.simulation.arrivals import Session
from tests.simulation.trace import Trace, clock

SHOWN_MAX = 5

KEPT_LONGER_S = 3 * HOUR_S
"""Ids are kept by the hour, with an hour's margin, and dropped with the next page."""

SWEEP_EVERY_S = 3_600
"""How often what is not final is walked again; ids are kept as much longer."""

MARK_BYTES = 18
KEY_BYTES = 24
GROUP_BYTES = 1_200
GROUP_KEYS = 3
"""What an id, the head of a value and an account group take in the durable state, at most."""


class PromiseBroken(BaseException):
    """What the README promises did not hold. No ``except Exception`` of the collector stops it on its way out."""


def promised_lateness_s(settings: ProgressSettings) -> int:
    """How late after its date a session may be committed and must still be found, seconds."""
    return settings.late_horizon_s


class Reader:
    """A ``read_committed`` reader of both topics that knows what it should see of each organization."""

    def __init__(self, apis: Sequence[SimulatedApi], sessions: Iterable[Session], trace: Trace) -> None:
        self._trace = trace
        self._sources = {f"/thousandeyes/{api.name}/{aid}".encode() for api in apis for aid in api.aids}
        self.sessions: dict[str, Session] = {}
        self._broken: dict[bytes, Session] = {}
        for session in sessions:
            self.sessions[session.identifier] = session
            for version in session.versions:
                if version.broken:
                    self._broken[source_bytes(version.row)] = session
        self.events: Counter[str] = Counter()
        self.letters: Counter[bytes] = Counter()

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

    def _letter(self, record: Record) -> None:
        session = self._broken.get(record.value)
        if session is None:
            reason = dict(record.headers).get("te.errors.reason", b"").decode()
            raise PromiseBroken(f"a good row became a dead letter ({reason}): {record.value!r}")
        self.letters[record.value] += 1
        if self.letters[record.value] > 1:
            raise PromiseBroken(f"dead letter twice: {record.value!r}, {told(session)}")

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
            for session in api.archives[aid].sessions:
                # A broken row that was put right need not have been seen before; a good one counts as it was first.
                version = session.versions[-1] if session.versions[0].broken else session.versions[0]
                late_s = version.since - session.date + lead_s
                # What is later than the overlap waits for a sweep to begin, and to come there.
                found_by = until if late_s <= settings.overlap_s else until - SWEEP_EVERY_S
                if late_s > lateness_s or session.date < begin or version.since >= EPOCH + found_by:
                    continue
                if version.broken:
                    readable = source_bytes(version.row) in self.letters
                else:
                    readable = session.identifier in self.events
                if not readable:
                    found.append(session)
        return found

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
    kept = [s for api in apis for archive in api.archives.values() for s in archive.sessions if s.date >= keep_from]
    groups = sum(len(api.aids) for api in apis)
    hours = (server_time() - keep_from) / HOUR_S + 1
    bytes_max = sum(MARK_BYTES + 2 * len(s.identifier) * (not s.identifier[0].isdigit()) for s in kept)
    bytes_max += groups * GROUP_BYTES + len(state) * KEY_BYTES
    keys_max = groups * (hours + GROUP_KEYS) + len(kept) / 8
    size = sum(map(len, state.values()))
    if size > bytes_max or len(state) > keys_max:
        raise PromiseBroken(
            f"the state grows: {len(state)} keys (at most {keys_max:.0f}), {size} bytes (at most {bytes_max})"
        )
