"""The durable form of a `Ledger`: one JSON object with a version, ranges as flat lists of seconds.

Rule: what `encode` writes `decode` reads back as the same value; anything else is an error, never a fresh start.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import orjson

from collector.core.ledger import Ledger
from collector.core.ledger_entries import Cause, LastWalk, Lost, Parked, SweepRun, Unreadable, Why
from collector.core.model import Lane
from collector.core.ranges import Ranges, as_ranges

STATE_VERSION = 2


def encode(ledger: Ledger) -> bytes:
    """The ledger's durable form."""
    return orjson.dumps(
        {
            "version": STATE_VERSION,
            "begins": ledger.begins,
            "floor": ledger.floor,
            "overlap_s": ledger.overlap_s,
            "walked": _flat(ledger.walked),
            "settled": _flat(ledger.settled),
            "final": _flat(ledger.final),
            "hot_from": ledger.hot_from,
            "kept_from": ledger.kept_from,
            "lost": [list(one) for one in ledger.lost],
            "unreadable": [list(one) for one in ledger.unreadable],
            "causes": [list(one) for one in ledger.causes],
            "parked": None if ledger.parked is None else list(ledger.parked),
            "sweeps": [list(one) for one in ledger.sweeps],
            "last": [list(one) for one in ledger.last],
        }
    )


def decode(value: bytes) -> Ledger:
    """The ledger that was made durable.

    Raises:
        ValueError, KeyError, TypeError: the value is none of ours, or of another version.
    """
    stored = orjson.loads(value)
    if stored["version"] != STATE_VERSION:
        raise ValueError(f"progress of version {stored['version']}, this collector reads and writes {STATE_VERSION}")
    hot_from, parked = stored["hot_from"], stored["parked"]
    return Ledger(
        begins=int(stored["begins"]),
        floor=int(stored["floor"]),
        overlap_s=int(stored["overlap_s"]),
        walked=_ranges(stored["walked"]),
        settled=_ranges(stored["settled"]),
        final=_ranges(stored["final"]),
        hot_from=None if hot_from is None else int(hot_from),
        kept_from=int(stored["kept_from"]),
        lost=tuple(Lost(int(a), int(b), Why(why), str(text), int(at)) for a, b, why, text, at in stored["lost"]),
        unreadable=tuple(
            Unreadable(int(a), int(b), str(text), int(tries), int(retry_at))
            for a, b, text, tries, retry_at in stored["unreadable"]
        ),
        causes=tuple(Cause(int(a), int(b), Why(why)) for a, b, why in stored["causes"]),
        parked=None if parked is None else Parked(int(parked[0]), str(parked[1])),
        sweeps=tuple(SweepRun(int(began), int(position), int(end)) for began, position, end in stored["sweeps"]),
        last=tuple(LastWalk(Lane(lane), int(a), int(b), int(at)) for lane, a, b, at in stored["last"]),
    )


def _flat(ranges: Ranges) -> list[int]:
    return list(chain.from_iterable(ranges))


def _ranges(flat: list[Any]) -> Ranges:
    starts, ends = flat[::2], flat[1::2]
    return as_ranges([(int(start), int(end)) for start, end in zip(starts, ends, strict=True)])
