"""v7 real user test rows of the list.

One rule: a field is written as the v7 reference names and types it; what is odd about a row was decided in
`sessions.py`.
Source: https://developer.cisco.com/docs/thousandeyes/ (endpoint test results, real user tests).
"""

from typing import Any

import orjson

from collector.simulator.bad_rows import marker, spoil
from collector.simulator.fleet import SITES
from collector.simulator.sessions import ORGANIZATION_ABSENT, PAGE_ABSENT, SCORE_ABSENT, AccountGroup, SessionRow
from collector.simulator.times import iso_z

UNKNOWN_PROTOCOL = "quic"
"""Not in any published sample."""


def session_fields(group: AccountGroup, row: SessionRow, changed: bool) -> dict[str, Any]:
    """One row as v7 shows it, before anything spoils it."""
    agent, site = group.fleet[row.agent], SITES[row.site]
    fields: dict[str, Any] = {
        "agentId": agent.agent_id,
        "committed": iso_z(row.committed),
        "date": iso_z(row.date),
        "experienceScore": row.score,
        "id": row.session_id,
        "numberOfPages": row.pages,
        "organizationName": agent.provider,
        "pageId": row.page_id,
        "port": site.port,
        "protocol": site.protocol,
        "roundId": row.round_id,
        "sourceAddress": agent.public_address,
        "visitedSite": site.visited_site,
    }
    if row.absent:
        if row.absent & SCORE_ABSENT:
            del fields["experienceScore"]
        if row.absent & ORGANIZATION_ABSENT:
            del fields["organizationName"]
        if row.absent & PAGE_ABSENT:
            del fields["pageId"]
    if changed:
        fields["numberOfPages"] += 1
        fields["experienceScore"] = round(1.0 - row.score, 2)
    if row.unusual:
        fields |= {"port": float(site.port), "protocol": UNKNOWN_PROTOCOL, "simulatorExtra": {"nested": [1, None]}}
    return fields


def encode_session(group: AccountGroup, row: SessionRow, changed: bool) -> bytes:
    """One row of `real-user-tests/filter`."""
    fields = session_fields(group, row, changed)
    if row.bad:
        return orjson.dumps(spoil(fields, row.bad, marker(group.aid, row.round_id, row.ordinal), "id"))
    return orjson.dumps(fields)
