"""v7 rows of the page and network lists, and the detail of a session.

One rule: facts come from `details.py`; this module only names and arranges them as the v7 reference does.
"""

from typing import Any

import orjson

from collector.simulator import details
from collector.simulator.fleet import SITES
from collector.simulator.rows_v7 import session_fields
from collector.simulator.sessions import AccountGroup, SessionRow
from collector.simulator.times import iso_z


def encode_pages(group: AccountGroup, row: SessionRow, changed: bool) -> bytes:
    """The rows of `real-user-tests/pages/filter` for one session: one a page, separated by commas."""
    agent_id = group.fleet[row.agent].agent_id
    return b",".join(
        orjson.dumps(
            {
                "agentId": agent_id,
                "id": row.session_id,
                "loadDate": iso_z(page.loaded),
                "pageId": page.page_id,
                "pageTimings": details.page_timings(page),
                "pageTitle": page.title,
                "pageUrl": page.url,
                "responseCode": page.response_code,
                "responseTime": page.response_ms,
                "roundId": row.round_id,
                "systemMetrics": details.system_metrics(row),
            }
        )
        for page in details.pages_of(row, changed)
    )


def encode_network(group: AccountGroup, row: SessionRow, changed: bool) -> bytes:
    """The row of `real-user-tests/networks/filter` for one session."""
    agent = group.fleet[row.agent]
    fields: dict[str, Any] = {
        "agentId": agent.agent_id,
        "date": iso_z(row.date),
        "destination": details.metrics(row, "destination", SITES[row.site].address),
        "id": row.session_id,
        "roundId": row.round_id,
        "systemMetrics": details.system_metrics(row),
    }
    if agent.vpn_target:
        fields["vpn"] = details.metrics(row, "vpn", agent.vpn_target)
    if agent.proxy_target:
        fields["proxy"] = details.metrics(row, "proxy", agent.proxy_target)
    return orjson.dumps(fields)


def session_detail(group: AccountGroup, rows: list[SessionRow], changed: bool) -> dict[str, Any]:
    """The detail of a session: its list row without the page, its pages, browser, place and network."""
    row, agent = rows[0], group.fleet[rows[0].agent]
    fields = session_fields(group, row, changed)
    fields.pop("pageId", None)
    pages = [page for each in rows for page in details.pages_of(each, changed)]
    return fields | {
        "browser": details.browser(row),
        "coordinates": details.coordinates(agent),
        "pages": [
            {
                "pageId": page.page_id,
                "pageTitle": page.title,
                "pageUrl": page.url,
                "loadDate": iso_z(page.loaded),
                "responseCode": page.response_code,
                "pageTimings": details.page_timings(page),
            }
            for page in pages
        ],
        "network": details.network(row, agent),
    }
