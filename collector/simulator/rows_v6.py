"""v6 endpoint user session rows of the list.

One rule: a field is written as the v6 reference names and types it; what is odd about a row was decided in
`sessions.py`.
Source: https://developer.thousandeyes.com/v6/endpoint/ (endpoint user session list).
"""

from typing import Any

import orjson

from collector.simulator.bad_rows import marker, spoil
from collector.simulator.rows_v7 import session_fields as v7_fields
from collector.simulator.sessions import AccountGroup, SessionRow
from collector.simulator.times import spaced

_RENAMED = {"id": "userSessionId", "sourceAddress": "sourceAddr", "organizationName": "orgName"}


def permalink(aid: int, round_id: int) -> str:
    """The link to the web application; it names the round, not the session."""
    return (
        "https://app.thousandeyes.com/view/endpoint-agent/"
        f"?roundId={round_id}&scenarioId=sessionDetails&binSize=300000&__aid={aid}"
    )


def session_fields(group: AccountGroup, row: SessionRow, changed: bool) -> dict[str, Any]:
    """One row as v6 shows it, before anything spoils it."""
    fields = {_RENAMED.get(name, name): value for name, value in v7_fields(group, row, changed).items()}
    fields |= {
        "committed": spaced(row.committed),
        "date": spaced(row.date),
        "permalink": permalink(group.aid, row.round_id),
    }
    return fields


def session_rows(group: AccountGroup, row: SessionRow, changed: bool) -> list[object]:
    """One row as v6 shows it: an object, unless the row is bad in a way that makes it something else."""
    fields = session_fields(group, row, changed)
    if row.bad:
        return [spoil(fields, row.bad, marker(group.aid, row.round_id, row.ordinal), "userSessionId")]
    return [fields]


def encode_session(group: AccountGroup, row: SessionRow, changed: bool) -> bytes:
    """One row of `endpoint-data/user-sessions`."""
    return orjson.dumps(session_rows(group, row, changed))[1:-1]
