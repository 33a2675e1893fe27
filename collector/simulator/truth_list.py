"""The truth, listed: what every account group's sessions are, for a verifier to compare with what a reader got.

One rule: it is written from the same rounds as the API's answers, by range of `date`, round by round, so that a list of
any size needs the memory of one round.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from collector.simulator.bad_rows import marker
from collector.simulator.paging import Visible
from collector.simulator.rows_v6 import encode_session as encode_v6
from collector.simulator.rows_v7 import encode_session as encode_v7
from collector.simulator.sessions import AccountGroup, SessionRow
from collector.simulator.world import World


@dataclass(frozen=True, slots=True)
class TruthQuery:
    """What of the truth is listed."""

    visible: Visible
    """Range and horizon; a horizon in the far future lists sessions that are not committed yet."""
    aids: frozenset[int] | None = None
    """Account groups; None: all."""
    ids_only: bool = False


def truth_chunks(world: World, query: TruthQuery) -> Iterator[bytes]:
    """Writes the truth as one JSON object, in pieces.

    Its form: `{"serverTime", "origin", "frozenAt", "from", "to", "organizations": [{"name", "accountGroups": [{"aid",
    "sessions": [{"id", "date", "committed", "rows", ...}], "bad": [{"marker", "kind", "v7", "v6", ...}]}]}]}`. Times
    are epoch seconds. A session has `late` and `changedAt` where they apply and `pageIds` when it has several rows;
    with `ids_only`, `sessions` are bare ids. `v7` and `v6` of a bad row are its exact text in an answer.
    """
    range_ = query.visible.range
    head = {
        "serverTime": world.now(),
        "origin": world.origin,
        "frozenAt": world.frozen_at,
        "from": range_.start,
        "to": range_.end,
    }
    yield orjson.dumps(head)[:-1] + b',"organizations":['
    for number, organization in enumerate(world.organizations):
        yield (b"," if number else b"") + b'{"name":' + orjson.dumps(organization.name) + b',"accountGroups":['
        groups = [g for g in organization.groups.values() if query.aids is None or g.aid in query.aids]
        for index, group in enumerate(groups):
            yield (b"," if index else b"") + b'{"aid":%d,"sessions":[' % group.aid
            yield from _group(world, group, query)
            yield b"}"
        yield b"]}"
    yield b"]}"


def _group(world: World, group: AccountGroup, query: TruthQuery) -> Iterator[bytes]:
    bad: list[bytes] = []
    separator = b""
    range_, truth = query.visible.range, world.truth
    for round_id in range(truth.round_of(range_.start), range_.end + 1, truth.round_s):
        round_ = truth.round(group, round_id)
        rows = [round_.rows[index] for index in query.visible.of(round_)]
        bad += [orjson.dumps(_bad(group, row)) for row in rows if row.bad]
        sessions = _sessions([row for row in rows if not row.bad], ids_only=query.ids_only)
        if sessions:
            yield separator + orjson.dumps(sessions)[1:-1]
            separator = b","
    yield b'],"bad":[' + b",".join(bad) + b"]"


def _sessions(rows: list[SessionRow], *, ids_only: bool) -> list[object]:
    by_id: dict[str, list[SessionRow]] = {}
    for row in rows:
        by_id.setdefault(row.session_id, []).append(row)
    if ids_only:
        return list(by_id)
    return [_session(same) for same in by_id.values()]


def _session(rows: list[SessionRow]) -> dict[str, object]:
    first = rows[0]
    session: dict[str, object] = {"id": first.session_id, "date": first.date, "committed": first.committed}
    if first.late:
        session["late"] = True
    if first.changed_at:
        session["changedAt"] = first.changed_at
    if len(rows) > 1:
        session["pageIds"] = [row.page_id for row in rows]
    return session


def _bad(group: AccountGroup, row: SessionRow) -> dict[str, object]:
    changed = False
    return {
        "marker": marker(group.aid, row.round_id, row.ordinal),
        "kind": row.bad,
        "date": row.date,
        "committed": row.committed,
        "late": row.late,
        "id": None if row.bad in ("id-missing", "id-number", "row-text", "row-array") else row.session_id,
        "v7": encode_v7(group, row, changed).decode(),
        "v6": encode_v6(group, row, changed).decode(),
    }
