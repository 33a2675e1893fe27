"""What is known of a session beyond its list row: pages, network, machine; as v7 names it.

One rule: everything is a pure function of the row and its agent, so that the list, the detail and the page and network
lists of one session agree. Numbers are integers where the v7 reference declares integers, unless the row is unusual:
the older API had fractions there (`minRtt` 6.909912109375 in a published sample).
Source: the v7 reference, real user test detail, pages and networks.
"""

from dataclasses import dataclass
from typing import Any

from collector.simulator.entropy import draw
from collector.simulator.fleet import SITES, Agent
from collector.simulator.sessions import AccountGroup, SessionRow
from collector.simulator.times import iso_z

_GIB = 1 << 30
_FRACTIONAL_RTT_MS = 6.909912109375
_TITLES = ("Sign in", "Dashboard", "Inbox", "Report", "Search results")


@dataclass(frozen=True, slots=True)
class VisitedPage:
    """One page of a session."""

    page_id: str
    title: str
    url: str
    loaded: int
    """Epoch second."""
    response_code: int
    response_ms: int
    content_ms: int
    load_ms: int


def pages_of(row: SessionRow, changed: bool) -> list[VisitedPage]:
    """The pages of a session; a row that has siblings stands for its own page only."""
    count = 1 if row.several else row.pages + changed
    stem = row.page_id[:-1]
    # A session has at most five pages, so the digits that the first id does not end in are enough.
    others = [stem + digit for digit in "0123456789" if not row.page_id.endswith(digit)]
    page_ids = [row.page_id, *others[: count - 1]]
    return [_page(row, page_id, number) for number, page_id in enumerate(page_ids)]


def _page(row: SessionRow, page_id: str, number: int) -> VisitedPage:
    data = draw(8, "page", row.session_id, page_id)
    site = SITES[row.site]
    response_ms = 20 + data[0]
    content_ms = response_ms + 4 * data[1]
    return VisitedPage(
        page_id=page_id,
        title=_TITLES[data[2] % len(_TITLES)],
        url=f"{site.protocol}://{site.visited_site}/{_TITLES[data[2] % len(_TITLES)].lower().replace(' ', '-')}",
        loaded=row.date + number,
        response_code=200 if data[3] > 8 else 503,
        response_ms=response_ms,
        content_ms=content_ms,
        load_ms=content_ms + 8 * data[4],
    )


def page_timings(page: VisitedPage) -> dict[str, int]:
    """`pageTimings`, milliseconds."""
    return {"onContentLoad": page.content_ms, "onLoad": page.load_ms}


def metrics(row: SessionRow, kind: str, target: str) -> dict[str, Any]:
    """`destination`, `vpn` or `proxy` of a network row: loss in percent, times in milliseconds."""
    data = draw(4, kind, row.session_id)
    return {"jitter": data[0] % 10, "latency": 5 + data[1], "loss": float(data[2] % 5), "target": target}


def ping(row: SessionRow, kind: str) -> dict[str, Any]:
    """A ping; about one in sixteen failed and has nothing but an error."""
    data = draw(4, "ping", kind, row.session_id)
    if data[0] < 16:
        return {"error": "No response from target"}
    shortest = 1 + data[1] % 40
    return {
        "avgRtt": shortest + 3,
        "loss": 0.0,
        "maxRtt": shortest + 9,
        "meanDevRtt": 2,
        "minRtt": _FRACTIONAL_RTT_MS if row.unusual else shortest,
        "pktsReceived": 10,
        "pktsSent": 10,
    }


def system_metrics(row: SessionRow) -> dict[str, Any]:
    """`systemMetrics`: shares of the processor, bytes of memory, and when they were measured."""
    data = draw(4, "system", row.session_id)
    busy = data[0] / 512
    used = _GIB * (4 + data[1] % 8)
    return {
        "startTimeMs": row.date * 1000,
        "endTimeMs": (row.date + 10) * 1000,
        "cpuUtilization": {
            "min": busy,
            "max": busy + 0.4,
            "mean": busy + 0.1,
            "median": busy + 0.1,
            "stdDev": 0.05,
            "count": 10,
        },
        "physicalMemoryUsedBytes": {
            "min": used,
            "max": used + _GIB,
            "mean": used,
            "median": used,
            "stdDev": 1024.0,
            "count": 10,
        },
        "physicalMemoryTotalBytes": 16 * _GIB,
    }


def network_profile(agent: Agent) -> dict[str, Any]:
    """`networkProfile` of an agent."""
    subnet = agent.gateway.rpartition(".")[0] or "192.168.0"
    profile: dict[str, Any] = {
        "ipAddress": f"{subnet}.20",
        "subnetMask": "255.255.255.0",
        "publicIpAddress": agent.public_address,
        "localPrefix": f"{subnet}.0/24",
        "publicIpRange": "198.51.100.0/24",
        "dnsServers": [agent.gateway],
        "hardwareType": agent.connection,
        "interfaceName": "wlan0" if agent.ssid else "eth0",
        "gateway": agent.gateway,
    }
    if agent.ssid:
        profile["wirelessProfile"] = {
            "ssid": agent.ssid,
            "bssid": agent.bssid,
            "channel": 36,
            "phyMode": "802.11ax",
            "rssi": -58,
            "noise": -92,
            "snr": 34,
            "quality": 84,
            "txRate": 866,
            "vendor": "Example Networks",
        }
    else:
        profile["ethernetProfile"] = {"linkSpeed": 1000}
    if agent.proxy_target:
        profile["proxyProfile"] = {"method": "manual", "proxies": [{"bypass": "", "proxy": agent.proxy_target}]}
    return profile


def traceroute(row: SessionRow, agent: Agent) -> dict[str, Any]:
    """The way to the site, two hops long."""
    address = SITES[row.site].address
    hops = [
        {"hop": 1, "ipAddress": agent.gateway, "prefix": "192.168.0.0/16", "delay": 2, "mpls": [], "name": "gateway"},
        {
            "hop": 2,
            "ipAddress": address,
            "prefix": "203.0.113.0/24",
            "asn": 64496,
            "delay": 18,
            "mpls": [],
            "name": address,
        },
    ]
    return {"destination": address, "infoFlags": [], "internalErrors": [], "hops": hops}


def network(row: SessionRow, agent: Agent) -> dict[str, Any]:
    """`network` of a session's detail."""
    measured: dict[str, Any] = {
        "networkProfile": network_profile(agent),
        "systemMetrics": system_metrics(row),
        "gatewayPing": ping(row, "gateway"),
        "ping": ping(row, "target"),
        "traceroute": traceroute(row, agent),
        "connectRtt": 11.5,
        "isIcmpBlocked": False,
        "errors": [],
    }
    if agent.vpn_target:
        measured["vpnPing"] = ping(row, "vpn")
        measured["vpnTraceroute"] = {"destination": agent.vpn_target, "infoFlags": [], "internalErrors": [], "hops": []}
    return measured


def browser(row: SessionRow) -> dict[str, str]:
    """`browser` of a session's detail."""
    return {"name": ("Chrome", "Edge", "Safari")[draw(1, "browser", row.session_id)[0] % 3], "version": "128.0"}


def coordinates(agent: Agent) -> dict[str, Any]:
    """`coordinates` of a session's detail."""
    return {"latitude": agent.latitude, "longitude": agent.longitude, "location": agent.location}


def har(group: AccountGroup, row: SessionRow, page: VisitedPage) -> dict[str, Any]:
    """A HAR 1.2 log of one page with one entry, and the agent's metrics inside it."""
    started = iso_z(page.loaded)
    exchange = {
        "url": page.url,
        "httpVersion": "HTTP/1.1",
        "headers": [],
        "cookies": [],
        "headersSize": -1,
        "bodySize": -1,
    }
    entry = {
        "pageref": page.page_id,
        "startedDateTime": started,
        "time": page.response_ms,
        "request": exchange | {"method": "GET", "queryString": []},
        "response": exchange
        | {
            "status": page.response_code,
            "statusText": "",
            "redirectURL": "",
            "content": {"size": 0, "mimeType": "text/html"},
        },
        "cache": {},
        "timings": {"send": 0, "wait": page.response_ms, "receive": 0},
        "serverIPAddress": SITES[row.site].address,
    }
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "ThousandEyes endpoint agent", "version": "1.0"},
            "pages": [
                {"id": page.page_id, "title": page.title, "startedDateTime": started, "pageTimings": page_timings(page)}
            ],
            "entries": [entry],
            "systemMetrics": system_metrics(row),
        }
    }
