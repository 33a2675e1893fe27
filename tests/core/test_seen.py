"""`SeenSessions`: chunks that fill up, restores in any order, and how much memory an id takes."""

from __future__ import annotations

import random

import pytest

from collector.core.chunks import HOUR_S, Marks, OtherId, head
from collector.core.identity import Identity, IdentityForm
from collector.core.rounds import DIFFERENT, HOT_IDS_MAX, SAME, UNKNOWN, Rounds
from collector.core.seen import CHUNK_BYTES, SESSION, SeenSessions
from tests.core.pages import AID, EPOCH, regular_id, suffix

PREFIX = "seen/example/7625/"
ENTRY_BYTES = 16


def entries(*numbers: int) -> list[tuple[str, int]]:
    """Ids with made-up checks."""
    return [(suffix(number), (number % 7) << 32 | number * 977) for number in numbers]


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
        numbers = range(page * ids_a_page, (page + 1) * ids_a_page)
        marks = Marks(regular={EPOCH + page % 60 * 60: entries(*numbers)})
        publish(seen, durable, marks)
    return seen, durable


def test_small_pages_share_chunks() -> None:
    """3,000 ids in 30 pages: as few keys as their bytes need, each within its bound."""
    _, durable = filled()
    pages_a_chunk = (CHUNK_BYTES - len(head(SESSION))) // (100 * ENTRY_BYTES)
    assert len(durable) == -(-30 // pages_a_chunk)
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
    publish(restored, durable, Marks(regular={EPOCH: entries(*range(90_000, 90_100))}))
    again = SeenSessions(PREFIX, AID)
    for key, value in durable.items():
        again.restore(key, value)
    assert len(again) == len(seen) + 100
    assert all(again.find(regular_id(EPOCH + page % 60 * 60, suffix(page * 100 + 7))) for page in range(30))


def test_a_chunk_written_while_its_hour_expires_is_removed_later() -> None:
    """One publication may write a new chunk of an hour and expire that hour: the next expiry removes that chunk too."""
    seen, durable = filled(pages=8)
    publish(seen, durable, Marks(regular={EPOCH: entries(*range(10_000, 10_800))}), EPOCH + HOUR_S)
    publish(seen, durable, Marks(), EPOCH + 2 * HOUR_S)
    assert durable == {}


def test_many_ids_of_one_round_move_into_an_array() -> None:
    """A round with more ids than sets should hold keeps all of them, and tells none for another."""
    seen, durable = SeenSessions(PREFIX, AID), {}
    count = HOT_IDS_MAX * 2 + 10
    publish(seen, durable, Marks(regular={EPOCH: entries(*range(2 * count - 2, -2, -2))}))
    publish(seen, durable, Marks(regular={EPOCH: entries(*range(2 * count + 18, 2 * count - 2, -2))}))
    for minute in (1, 2):  # newer rounds: the first one moves as a whole
        publish(seen, durable, Marks(regular={EPOCH + minute * 60: entries(1)}))
    known = seen.regular(EPOCH)
    assert len(known.frozen) == 2 * (count + 10)
    assert all(known.look(suffix(number), number * 977) == SAME for number in range(0, 2 * count + 20, 2))
    assert not any(known.look(suffix(number), number * 977) for number in range(1, 2 * count + 20, 2))


BROKEN_FORM = IdentityForm(basis="v7 json")
BROKEN = Marks(
    regular={EPOCH + 60: entries(1)},
    other_ids={EPOCH: [OtherId("other", 5, 5)]},
    digests={EPOCH: [b"x" * 16]},
)


@pytest.mark.parametrize("cut", range(1, 78))
def test_a_broken_chunk_is_refused(cut: int) -> None:
    """A chunk that is broken off anywhere is an error, unless the cut falls between two entries."""
    begins = len(head(BROKEN_FORM))
    value = head(BROKEN_FORM) + BROKEN.encode(EPOCH, BROKEN_FORM)
    borders = {begins, begins + ENTRY_BYTES, begins + ENTRY_BYTES + 5 + 8 + 5, len(value)}
    assert len(value) == 77
    seen = SeenSessions(PREFIX, AID, form=BROKEN_FORM)
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


def first_format(*, round_id: int = EPOCH + 60) -> bytes:
    """A chunk as the first release wrote it: a regular id, another one, a digest."""
    second = (round_id - EPOCH).to_bytes(2, "big")
    return second + suffix(1).encode() + b"\xff\xff\x00\x00\x05other" + b"\xff\xff\x01\x00\x10" + b"x" * 16


def test_chunks_of_the_first_format_are_known_by_session_id() -> None:
    """They have no checks, so whatever comes back of their sessions is seen; the chunk is not written again."""
    seen, durable = SeenSessions(PREFIX, AID), {f"{PREFIX}{EPOCH}/0": first_format()}
    for key, value in durable.items():
        seen.restore(key, value)
    assert seen.has_former(regular_id(EPOCH + 60, suffix(1)))
    assert seen.has_former("other")
    assert not seen.has_former(regular_id(EPOCH + 60, suffix(2)))
    assert seen.has_digest(b"x" * 16)
    assert len(seen) == 3
    publish(seen, durable, Marks(regular={EPOCH: entries(2)}))
    assert durable[f"{PREFIX}{EPOCH}/0"] == first_format()
    assert f"{PREFIX}{EPOCH}/1" in durable
    publish(seen, durable, Marks(), EPOCH + HOUR_S)
    assert durable == {}
    assert len(seen) == 0
    assert not seen.has_former(regular_id(EPOCH + 60, suffix(1)))


@pytest.mark.parametrize("head_bytes", [b"\xff\xff\x02\x00\x06future", b"\xff\xff\x07\x00\x00"])
def test_a_chunk_of_a_later_version_is_refused(head_bytes: bytes) -> None:
    """What cannot be read is never taken for nothing: sessions would be published again."""
    with pytest.raises(ValueError):
        SeenSessions(PREFIX, AID).restore(f"{PREFIX}{EPOCH}/0", head_bytes)


@pytest.mark.parametrize("identity", Identity)
def test_how_much_memory_an_id_takes(identity: Identity) -> None:
    """Once a round is no longer new, an id with its checks is 16 bytes, and 24 where its page is part of it."""
    seen = SeenSessions(PREFIX, AID, form=IdentityForm(identity))
    page = "page0000" if seen.form.by_page else ""
    for minute in range(3):
        marks = Marks(regular={EPOCH + minute * 60: [(suffix(n) + page, n) for n in range(1_000)]})
        seen.apply(seen.write(marks))
    frozen = seen.regular(EPOCH).frozen
    assert len(frozen) * frozen.itemsize == 1_000 * (24 if seen.form.by_page else 16)
    assert len(seen) == 3_000


def test_nothing_stays_of_an_hour_that_is_over() -> None:
    """Several contents of one id, new and no longer new, are forgotten with their hour."""
    seen, durable = SeenSessions(PREFIX, AID), {}
    for minute in range(4):
        publish(seen, durable, Marks(regular={EPOCH + minute * 60: [*entries(1), (suffix(1), 5), (suffix(1), 6)]}))
    assert len(seen) == 12
    publish(seen, durable, Marks(), EPOCH + HOUR_S)
    assert len(seen) == 0


@pytest.mark.parametrize("identity", ["00009:{}:{}", "07625:0{}:{}", "07625:+{}:{}", "x7625:{}:{}", "07625:{}:{}x"])
def test_what_looks_like_a_regular_id_and_is_none(identity: str) -> None:
    """Another account group, another way of writing the round: another id, and not the one that was published."""
    seen, durable = SeenSessions(PREFIX, AID), {}
    publish(seen, durable, Marks(regular={EPOCH: entries(1)}))
    assert seen.find(regular_id(EPOCH, suffix(1)))
    assert seen.find(identity.format(EPOCH, suffix(1))) is None


def test_contents_of_an_id_survive_the_move_into_an_array() -> None:
    """All of them, and what is none of them is still told apart."""
    rounds = Rounds(by_page=False)
    rounds.add(0, [("aaaaaaaa", 1), ("bbbbbbbb", 2)])
    rounds.add(0, [("aaaaaaaa", 3)])
    for newer in (60, 120, 180):
        rounds.add(newer, [("cccccccc", 9)])
    rounds.settle()
    known = rounds.known(0, f"{AID}:0:")
    assert not known.hot
    assert sorted(known.versions("aaaaaaaa")) == [1, 3]
    looks = [("aaaaaaaa", 1), ("aaaaaaaa", 3), ("aaaaaaaa", 4), ("bbbbbbbb", 2), ("bbbbbbbb", 5), ("zzzzzzzz", 1)]
    assert [known.look(*look) for look in looks] == [SAME, SAME, DIFFERENT, SAME, DIFFERENT, UNKNOWN]
