"""Pages of sessions as the API would write them, made once and kept in a file.

The one rule: whoever is measured gets the same bytes. The rows are the simulator's, all of them valid.

Two views of the same sessions: ``all``, and ``most``, which lacks every tenth row. Whoever collected ``most`` finds
nine rows in ten of ``all`` published already, as when windows overlap.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from collector.simulator.fleet import Fleet
from collector.simulator.rows_v7 import encode_session
from collector.simulator.sessions import AccountGroup, SessionTruth
from collector.simulator.settings import SimulatorSettings
from tests.bench.layout import ACCOUNT_GROUPS, FIRST_AID, PAGE_ROWS, SESSIONS_PATH, pages_a_group

ROUND_S = 60
ROUND_ROWS = 200
"""Mean of one round: an account group of some 10,000 agents."""

AGENTS = 2_000
LEFT_OUT_EVERY = 10

_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Span:
    """Where a page stands in the file, bytes."""

    start: int
    size: int


Book = dict[tuple[str, str], list[Span]]
"""View and account group -> its pages in order."""


def write_pages(file: Path, *, records: int, origin: str, now_s: float, compressed: bool) -> Book:
    """Write the pages of all account groups.

    Args:
        file: is made.
        records: rows of the view ``all``, rounded up to whole pages in each account group.
        origin: scheme, host and port of the links.
        now_s: the newest rows are minutes older, seconds since 1970.
        compressed: write each page as gzip.
    """
    truth = SessionTruth(SimulatorSettings())
    book: Book = {}
    with file.open("xb") as out:
        for number in range(ACCOUNT_GROUPS):
            aid = str(FIRST_AID + number)
            rows = _rows(truth, int(aid), pages_a_group(records) * PAGE_ROWS, now_s)
            for page, first in enumerate(range(0, len(rows), PAGE_ROWS)):
                of_page = rows[first : first + PAGE_ROWS]
                last = first + PAGE_ROWS >= len(rows)
                most = [row for index, row in enumerate(of_page) if index % LEFT_OUT_EVERY]
                for view, shown in (("all", of_page), ("most", most)):
                    link = None if last else f"{origin}/{view}{SESSIONS_PATH}?aid={aid}&cursor={page + 1}"
                    body = _page(shown, link)
                    if compressed:
                        body = gzip.compress(body, _GZIP_LEVEL)
                    book.setdefault((view, aid), []).append(Span(out.tell(), len(body)))
                    out.write(body)
        body = gzip.compress(_page([], None)) if compressed else _page([], None)
        for number in range(ACCOUNT_GROUPS):
            book["none", str(FIRST_AID + number)] = [Span(out.tell(), len(body))]
        out.write(body)
    return book


def account_group_list() -> bytes:
    """The answer that lists the account groups."""
    groups = [
        {"aid": str(FIRST_AID + number), "accountGroupName": f"Branch {number + 1:03d}"}
        for number in range(ACCOUNT_GROUPS)
    ]
    return orjson.dumps({"accountGroups": groups})


def _rows(truth: SessionTruth, aid: int, count: int, now_s: float) -> list[bytes]:
    rows: list[bytes] = []
    for of_round in _rounds(truth, aid, count, now_s):
        rows.extend(of_round)
        if len(rows) >= count:
            return rows[:count]
    raise AssertionError("the rounds have fewer rows than their mean says")


def _rounds(truth: SessionTruth, aid: int, count: int, now_s: float) -> Iterator[list[bytes]]:
    group = AccountGroup(aid, "", "bench", ROUND_ROWS, Fleet(1, aid, AGENTS, ipv6_share=0.1))
    rounds = count // (ROUND_ROWS * 9 // 10) + 5  # the mean is ROUND_ROWS: never too few
    newest = truth.round_of(now_s) - ROUND_S
    for round_id in range(newest - rounds * ROUND_S, newest, ROUND_S):
        yield truth.round(group, round_id).encoded(encode_session)


def _page(rows: list[bytes], link: str | None) -> bytes:
    links = {"next": {"href": link}} if link is not None else {}
    return b'{"results":[' + b",".join(rows) + b'],"_links":' + orjson.dumps(links) + b"}"
