"""What the API offered against what readers of the topics found: the verdict.

The one rule: pure values in, one verdict out. Everything offered must be there exactly once, and nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

EXAMPLES_MAX = 10
"""Examples that are shown of what is wrong: enough to look for a pattern."""


@dataclass(frozen=True, slots=True)
class OfferedSession:
    """A session that the API showed; times are epoch seconds."""

    aid: str
    date: int
    committed: int


@dataclass(frozen=True, slots=True)
class Offered:
    """What the API showed.

    Args:
        sessions: by session id.
        bad_rows: the exact bytes of each row that can be no valid event, and its name.
    """

    sessions: Mapping[str, OfferedSession]
    bad_rows: Mapping[bytes, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether everything offered is in the topics exactly once.

    Args:
        offered: sessions that the API showed.
        events: records in the events topic.
        missing: offered sessions without an event.
        duplicates: sessions with more than one event, and how many there are too many.
        invented: events of sessions that were never offered.
        bad_rows: rows offered that can be no valid event.
        missing_rows: those of them without a dead letter.
        strange_letters: dead letters that are no bad row, or its repetition.
        kills: how often the collector was killed.
    """

    offered: int
    events: int
    missing: Mapping[str, OfferedSession]
    duplicates: Mapping[str, int]
    invented: Mapping[str, int]
    bad_rows: int
    missing_rows: Mapping[bytes, str]
    strange_letters: Mapping[bytes, str]
    kills: int

    @property
    def is_good(self) -> bool:
        """Whether nothing is missing, twice or invented, dead letters included."""
        wrong = (self.missing, self.duplicates, self.invented, self.missing_rows, self.strange_letters)
        return not any(wrong)

    @property
    def summary(self) -> str:
        """The one line that says it all; its form is stable, for scripts."""
        return (
            f"offered={self.offered} events={self.events} missing={len(self.missing)} "
            f"duplicates={sum(self.duplicates.values())} "
            f"dead_letters={self.bad_rows - len(self.missing_rows)}/{self.bad_rows} kills={self.kills}"
        )

    def examples(self) -> list[str]:
        """Up to ten of the things that are wrong, one line each."""
        return list(islice(self._complaints(), EXAMPLES_MAX))

    def _complaints(self) -> Iterator[str]:
        for identifier, session in self.missing.items():
            yield (
                f"missing: session {identifier} of account group {session.aid}, took place {_time(session.date)}, "
                f"committed {session.committed - session.date} s later"
            )
        for identifier, count in self.duplicates.items():
            yield f"duplicate: session {identifier} is there {count + 1} times"
        for identifier, count in self.invented.items():
            yield f"invented: session {identifier} is there ({count} times), but the API never offered it"
        for name in self.missing_rows.values():
            yield f"missing: bad row {name} has no dead letter"
        for value, why in self.strange_letters.items():
            yield f"dead letter {why}: {value[:200].decode(errors='replace')}"


def offered(truth: Mapping[str, Any]) -> Offered:
    """Read the simulator's list of everything it shows; for its form see `collector.simulator.truth_list`."""
    sessions: dict[str, OfferedSession] = {}
    bad_rows: dict[bytes, str] = {}
    for organization in truth["organizations"]:
        for group in organization["accountGroups"]:
            aid = str(group["aid"])
            for session in group["sessions"]:
                sessions[session["id"]] = OfferedSession(aid, session["date"], session["committed"])
            for row in group["bad"]:
                bad_rows[row["v7"].encode()] = row["marker"]
    return Offered(sessions, bad_rows)


def compare(truth: Offered, events: Mapping[str, int], dead_letters: Mapping[bytes, int], *, kills: int) -> Verdict:
    """Hold what was read against what was offered.

    Args:
        truth: what was offered.
        events: how many records each session id has in the events topic.
        dead_letters: how many records each value has in the topic of dead letters.
        kills: for the summary.
    """
    return Verdict(
        offered=len(truth.sessions),
        events=sum(events.values()),
        missing={id_: session for id_, session in truth.sessions.items() if not events.get(id_)},
        duplicates={id_: count - 1 for id_, count in events.items() if count > 1 and id_ in truth.sessions},
        invented={id_: count for id_, count in events.items() if id_ not in truth.sessions},
        bad_rows=len(truth.bad_rows),
        missing_rows={value: name for value, name in truth.bad_rows.items() if not dead_letters.get(value)},
        strange_letters={
            value: "of no bad row" if value not in truth.bad_rows else f"of {truth.bad_rows[value]} {count} times"
            for value, count in dead_letters.items()
            if value not in truth.bad_rows or count > 1
        },
        kills=kills,
    )


def is_complete(truth: Offered, events: Mapping[str, int], dead_letters: Mapping[bytes, int]) -> bool:
    """Whether nothing is missing any more."""
    return truth.sessions.keys() <= events.keys() and truth.bad_rows.keys() <= dead_letters.keys()


def _time(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat().replace("+00:00", "Z")
