"""`SeenSessions`: chunks that fill up, restores in any order, and how much memory an id takes."""

from __future__ import annotations

import random

import pytest

from collector.core.seen import CHUNK_BYTES, HOT_IDS_MAX, HOUR_S, Marks, SeenSessions
from tests.core.pages import AID, EPOCH, regular_id, suffix

PREFIX = "seen/example/7625/"


def publish(seen: SeenSessions, durable: dict[str, bytes], marks: Marks, expire_to: int = 0) -> None:
    """Commit and apply."""
    writes, expiry = seen.write(marks), seen.expire(expire_to)
    for key, value in (*writes.changes, *expiry.changes):
        if value is None:
            durable.pop(key, None)
        else:
            durable[key] = value
    seen.apply(writes, expiry)


def filled(pages: int = 30, ids_a_page: int = 100) -> tuple[SeenSessions, dict[str, bytes]]:
    """Ids of one hour that take several chunks."""
    seen, durable = SeenSessions(PREFIX, AID), {}
    for page in range(pages):
        marks = Marks(regular={EPOCH + page % 60 * 60: [suffix(page * ids_a_page + i) for i in range(ids_a_page)]})
        publish(seen, durable, marks)
    return seen, durable


def test_small_pages_share_chunks() -> None:
    """3,000 ids in 30 pages: as few keys as their bytes need, each within its bound."""
    _, durable = filled()
    assert len(durable) == -(-3_000 * 10 // (CHUNK_BYTES // 1_000 * 1_000))
    assert max(map(len, durable.values())) <= CHUNK_BYTES


@pytest.mark.parametrize("seed", range(5))
def test_a_restore_takes_chunks_in_any_order(seed: int) -> None:
    """A compacted topic gives keys in the order of their last writing: the next write overwrites no full chunk."""
    seen, durable = filled()
    items = list(durable.items())
    random.Random(seed).shuffle(items)
    restored = SeenSessions(PREFIX, AID)
    for key, value in items:
        restored.restore(key, value)
    publish(restored, durable, Marks(regular={EPOCH: [suffix(90_000 + number) for number in range(100)]}))
    again = SeenSessions(PREFIX, AID)
    for key, value in durable.items():
        again.restore(key, value)
    assert len(again) == len(seen) + 100
    assert all(again.has_id(regular_id(EPOCH + page % 60 * 60, suffix(page * 100 + 7))) for page in range(30))


def test_a_chunk_written_while_its_hour_expires_is_removed_later() -> None:
    """One publication may write a new chunk of an hour and expire that hour: the next expiry removes that chunk too."""
    seen, durable = filled(pages=8)
    publish(seen, durable, Marks(regular={EPOCH: [suffix(10_000 + i) for i in range(800)]}), EPOCH + HOUR_S)
    publish(seen, durable, Marks(), EPOCH + 2 * HOUR_S)
    assert durable == {}


def test_many_ids_of_one_round_move_into_an_array() -> None:
    """A round with more ids than sets should hold keeps all of them, and tells none for another."""
    seen, durable = SeenSessions(PREFIX, AID), {}
    count = HOT_IDS_MAX * 2 + 10
    publish(seen, durable, Marks(regular={EPOCH: [suffix(2 * number) for number in range(count)]}))
    publish(seen, durable, Marks(regular={EPOCH: [suffix(2 * number) for number in range(count, count + 10)]}))
    known = seen.regular(EPOCH)
    assert len(known.frozen) >= count
    assert all(known.has(suffix(2 * number)) for number in range(count + 10))
    assert not any(known.has(suffix(2 * number + 1)) for number in range(count + 10))


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_broken_chunk_is_refused(cut: int) -> None:
    """A chunk that is broken off anywhere is an error, unless the cut falls between two entries."""
    marks = Marks(regular={EPOCH + 60: [suffix(1)]}, other_ids={EPOCH: ["other"]}, digests={EPOCH: [b"x" * 16]})
    value = marks.encode(EPOCH)
    borders = {10, 10 + 5 + 5}
    seen = SeenSessions(PREFIX, AID)
    if cut in borders:
        seen.restore(f"{PREFIX}{EPOCH}/0", value[:cut])
    else:
        with pytest.raises(ValueError, match="broken off"):
            seen.restore(f"{PREFIX}{EPOCH}/0", value[:cut])


@pytest.mark.parametrize("key", [PREFIX, f"{PREFIX}x/0", f"{PREFIX}{EPOCH}/", f"{PREFIX}{EPOCH}"])
def test_a_foreign_key_is_refused(key: str) -> None:
    """A key that this version did not write is an error."""
    with pytest.raises(ValueError):
        SeenSessions(PREFIX, AID).restore(key, b"")
