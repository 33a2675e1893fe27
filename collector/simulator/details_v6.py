"""v6 rows of the web and network lists, and the detail of a session.

One rule: facts come from `details.py`; this module only names and arranges them as the v6 reference does.
Source: the v6 reference, endpoint data.
"""

from typing import Any

import orjson

from collector.simulator import details
from collector.simulator.details import VisitedPage
from collector.simulator.fleet import SITES, Agent
from collector.simulator.rows_v6 import session_fields
from collector.simulator.sessions import AccountGroup, SessionRow
from collector.simulator.times import spaced

_PING_FIELDS = ("pktsSent", "pktsReceived", "minRtt", "avgRtt", "maxRtt", "meanDevRtt", "error")


def web_rows(group: AccountGroup, row: SessionRow, changed: bool) -> list[dict[str, Any]]:
    """The rows of `user-sessions/web` for one session: one a page."""
    agent_id = group.fleet[row.agent].agent_id
    return [
        {
            "agentId": agent_id,
            "date": spaced(page.loaded),
            "pageId": page.page_id,
            "pageTimings": details.page_timings(page),
            "pageTitle": page.title,
            "pageUrl": page.url,
            "responseCode": page.response_code,
            "responseTime": page.response_ms,
            "roundId": row.round_id,
            "systemMetrics": details.system_metrics(row),
            "userSessionId": row.session_id,
        }
        for page in details.pages_of(row, changed)
    ]


def network_rows(group: AccountGroup, row: SessionRow, changed: bool) -> list[dict[str, Any]]:
    """The row of `user-sessions/network` for one session."""
    destination = details.metrics(row, "destination", SITES[row.site].address)
    latency = destination["latency"]
    return [
        {
            "agentId": group.fleet[row.agent].agent_id,
            "date": spaced(row.date),
            "destination": destination | {"avgRtt": latency, "maxRtt": latency + 9, "meanDevRtt": 2},
            "roundId": row.round_id,
            "systemMetrics": details.system_metrics(row),
            "userSessionId": row.session_id,
        }
    ]


def encode_web(group: AccountGroup, row: SessionRow, changed: bool) -> bytes:
    """`web_rows` as JSON, separated by commas."""
    return orjson.dumps(web_rows(group, row, changed))[1:-1]


def encode_network(group: AccountGroup, row: SessionRow, changed: bool) -> bytes:
    """`network_rows` as JSON."""
    return orjson.dumps(network_rows(group, row, changed))[1:-1]


def session_detail(group: AccountGroup, rows: list[SessionRow], changed: bool) -> dict[str, Any]:
    """The detail of a session: its list row, its pages, browser, place and network."""
    row, agent = rows[0], group.fleet[rows[0].agent]
    return session_fields(group, row, changed) | {
        "browser": details.browser(row),
        "coordinates": details.coordinates(agent),
        "pages": [
            {
                "id": page.page_id,
                "title": page.title,
                "startedDateTime": spaced(page.loaded),
                "responseCode": page.response_code,
                "pageTimings": details.page_timings(page),
            }
            for each in rows
            for page in details.pages_of(each, changed)
        ],
        "network": _network(row, agent),
    }


def network_profile(agent: Agent) -> dict[str, Any]:
    """`networkProfile`: v6 also has the type of the interface."""
    return details.network_profile(agent) | {"type": agent.connection.capitalize()}


def har(group: AccountGroup, row: SessionRow, page: VisitedPage) -> dict[str, Any]:
    """A HAR log; v6 has the agent's metrics beside the log."""
    log: dict[str, Any] = details.har(group, row, page)
    return log | {"_systemMetrics": log["log"].pop("systemMetrics")}


def _network(row: SessionRow, agent: Agent) -> dict[str, Any]:
    v7 = details.network(row, agent)
    return {
        "networkProfile": network_profile(agent),
        "systemMetrics": v7["systemMetrics"],
        "gatewayPing": _ping(v7["gatewayPing"]),
        "ping": _ping(v7["ping"]),
        "traceroute": v7["traceroute"],
        "connect": {"rtt": v7["connectRtt"]},
        "icmpBlocked": v7["isIcmpBlocked"],
        "errors": v7["errors"],
    }


def _ping(v7: dict[str, Any]) -> dict[str, Any]:
    return {name: v7[name] for name in _PING_FIELDS if name in v7}
