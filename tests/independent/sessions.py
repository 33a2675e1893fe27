"""What the API of these tests knows: rows of sessions, when each becomes visible, and its bytes on the wire.

One rule: written from the documentation of the API alone, by somebody who did not write the collector. Nothing here
imports the collector or its simulator.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

ROUND_S = 60
# The form of an id, from account group, round and a random source.
IdForm = Callable[[str, int, random.Random], str]
V7_NAMES = {"userSessionId": "id", "sourceAddr": "sourceAddress", "orgName": "organizationName"}


def documented_id(aid: str, round_id: int, rng: random.Random) -> str:
    """As in the samples: 07625:1490529480:aVDViw0i."""
    return f"{int(aid):05d}:{round_id}:{''.join(rng.choices('abcdefghXYZ0123456789', k=8))}"


def uuid_id(aid: str, round_id: int, rng: random.Random) -> str:
    """Opaque, without account group and round."""
    return f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4abc-8def-{rng.getrandbits(48):012x}"


def strange_id(aid: str, round_id: int, rng: random.Random) -> str:
    """Documented front, then what nobody promised not to send: spaces, quotes, other scripts, many characters."""
    ends = ['sess"ion', "žluťoučký", "日本語", "😀", "a b\tc", "x" * 120, "../../%2F?&#", "<a>&amp;"]
    return f"{int(aid):05d}:{round_id}:{rng.choice(ends)}{rng.getrandbits(40):010x}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the list.

    Args:
        aid: its account group.
        date: when the session took place, server epoch seconds.
        visible_at: from when the API shows it, server epoch seconds.
        session_id: None when the row is not a valid session.
        fields: under the names of v6; a dateTime is epoch seconds.
        raw: the row's JSON instead of ``fields``, for rows that are not valid.
    """

    aid: str
    date: float
    visible_at: float
    session_id: str | None
    fields: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)
    raw: bytes | None = None

    @property
    def round_id(self) -> int:
        """Start of its round."""
        return int(self.date) // ROUND_S * ROUND_S


@dataclass(frozen=True, slots=True)
class Encoding:
    """How rows are written.

    Args:
        version: 6 or 7.
        date_form: v7 only: "z", "fraction", "offset" or "plus-two".
        ascii_only: whether JSON escapes other characters.
        nested_unknown: whether rows have fields that no documentation names.
    """

    version: int = 7
    date_form: str = "z"
    ascii_only: bool = False
    nested_unknown: bool = False

    def time(self, epoch_s: float) -> str:
        """A dateTime of the version."""
        moment = datetime.fromtimestamp(int(epoch_s), UTC)
        if self.version == 6:
            return moment.strftime("%Y-%m-%d %H:%M:%S")
        text = moment.strftime("%Y-%m-%dT%H:%M:%S")
        if self.date_form == "plus-two":
            return datetime.fromtimestamp(int(epoch_s) + 7200, UTC).strftime("%Y-%m-%dT%H:%M:%S+02:00")
        return text + {"z": "Z", "fraction": ".250000Z", "offset": "+00:00"}[self.date_form]

    def named(self, row: Row) -> dict[str, Any]:
        """The row's fields under the names of the version."""
        result = {}
        for name, value in row.fields.items():
            shown = self.time(value) if name in {"date", "committed"} and value is not None else value
            result[V7_NAMES.get(name, name) if self.version == 7 else name] = shown
        if self.version == 7:
            result.pop("permalink", None)
        if self.nested_unknown:
            result["vpn"] = {"tunnels": [{"name": "t1", "mtu": 1380.5}, None], "on": True, "big": 2**70}
        return result

    def json_row(self, row: Row) -> bytes:
        """The row as JSON."""
        if row.raw is not None:
            return row.raw
        return json.dumps(self.named(row), ensure_ascii=self.ascii_only).encode()

    def xml_row(self, row: Row) -> bytes:
        """The row as XML: an element for each field."""
        inside = "".join(f"<{k}>{escape(str(v))}</{k}>" for k, v in self.named(row).items() if v is not None)
        return f"<userSessions>{inside}</userSessions>".encode()


def make_row(
    rng: random.Random, aid: str, date: float, visible_at: float, id_form: IdForm = documented_id, **changed: Any
) -> Row:
    """A valid row; ``changed`` replaces fields, and a value of ``...`` removes one."""
    round_id = int(date) // ROUND_S * ROUND_S
    session_id = id_form(aid, round_id, rng)
    fields: dict[str, Any] = {
        "agentId": f"3fde6422-f119-40e1-ae32-{rng.getrandbits(48):012x}",
        "committed": visible_at,
        "date": date,
        "experienceScore": rng.choice([0, 1, 0.5, 0.987654321, 1.0]),
        "numberOfPages": rng.randint(1, 9),
        "orgName": rng.choice(["T-2 Access Network", "Größe & Söhne", ""]),
        "pageId": f"{rng.getrandbits(32):08x}",
        "permalink": f"https://app.thousandeyes.com/view/endpoint-agent/?roundId={round_id}&__aid={aid}",
        "port": rng.choice([80, 443]),
        "protocol": "https",
        "roundId": round_id,
        "sourceAddr": rng.choice(["84.255.241.1", "2001:db8::1"]),
        "userSessionId": session_id,
        "visitedSite": "www.example.com",
    }
    fields.update(changed)
    shown = {name: value for name, value in fields.items() if value is not ...}
    return Row(aid, date, visible_at, fields["userSessionId"], shown)


def bad_rows(aid: str, date: float, visible_at: float, mark: str) -> Iterator[Row]:
    """Rows that nobody could take for a session, with spacing and escapes that only the original bytes have."""
    at = datetime.fromtimestamp(int(date), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for raw in (
        f'{{"date" :"{at}",  "roundId":{int(date)} , "note":"no id {mark}"}}',
        f'{{"id":"{mark}-no-date","roundId":{int(date)}}}',
        f'{{"id":"{mark}-score","date":"{at}","roundId":{int(date)},"experienceScore": 1.50}}',
        f'{{ "id":"{mark}-port","date":"{at}","roundId":{int(date)},"port":70000}}',
        f'{{"id":"{mark}-\\u00e9-when","date":"yesterday","roundId":{int(date)}}}',
        f'"just text \\/ {mark}"',
        f'[1, 2,  3.0, "{mark}"]',
    ):
        yield Row(aid, date, visible_at, None, raw=raw.encode())
