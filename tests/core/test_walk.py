"""`Walk`: what pages prove, and that every walk ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.model import EpochS, Window
from collector.core.walk import ORDER_PROOF_ROWS, UNTOLD, Commits, Step, Walk, WalkState
from tests.core.pages import AID, EPOCH, make_page, v6_time

WINDOW = Window(EPOCH, EPOCH + 3_600)
ORDERED = [EPOCH + 60 * minute for minute in range(ORDER_PROOF_ROWS)]


def make_walk(started_at: float = EPOCH + 3_600.0, pages_max: int = 100) -> Walk:
    """A walk over one hour."""
    return Walk(AID, WINDOW, started_at=EpochS(started_at), pages_max=pages_max)


def step(walk: Walk, rounds: list[int], continuation: str | None = "more", date: float | None = None) -> Step:
    """Take one page with these rounds, whose rows do not say when they were committed."""
    return walk.step(make_page([{}] * len(rounds), continuation, date=date), rounds, UNTOLD)


def test_rows_in_order_prove_what_lies_before_the_last() -> None:
    """Twenty rows oldest first, over more than a round: everything before the last one's round was shown."""
    walk = make_walk()
    assert step(walk, ORDERED[:5], "first") == Step(WalkState.GOES_ON, None)
    assert step(walk, ORDERED[5:], "second") == Step(WalkState.GOES_ON, ORDERED[-1])


def test_a_first_page_proves_nothing() -> None:
    """Its rows may be in order while the pages come newest first; that shows on the second one."""
    walk = make_walk()
    assert step(walk, [r + 3_000 for r in ORDERED], "newest").proven_until is None
    assert step(walk, ORDERED, "older").proven_until is None


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(ORDERED[::-1], id="newest first"),
        pytest.param([*ORDERED[10:], *ORDERED[:10]], id="shuffled"),
        pytest.param([*ORDERED, EPOCH], id="the last one goes back"),
        pytest.param([EPOCH] * 30, id="one round"),
        pytest.param(ORDERED[:-1], id="too few"),
        pytest.param([r - 3_600 for r in ORDERED], id="before the window"),
        pytest.param([r + 7_200 for r in ORDERED], id="after the window"),
        pytest.param([], id="empty"),
    ],
)
def test_other_rows_prove_nothing(rounds: list[int]) -> None:
    """Only the end of the walk counts when the order of its rows is not shown."""
    walk = make_walk()
    half = len(rounds) // 2
    assert step(walk, rounds[:half], "first") == Step(WalkState.GOES_ON, None)
    assert step(walk, rounds[half:], "second") == Step(WalkState.GOES_ON, None)


def test_a_row_that_goes_back_ends_the_proof_for_good() -> None:
    """Pages that are each in order, but not with each other, prove nothing from then on."""
    walk = make_walk()
    assert step(walk, ORDERED[:5], "a").proven_until is None
    assert step(walk, ORDERED[5:], "b").proven_until == ORDERED[-1]
    assert step(walk, ORDERED, "c").proven_until is None
    assert step(walk, [ORDERED[-1] + 60] * 30, "d").proven_until is None


def commits(rounds: list[int], late_s: int = 0) -> Commits:
    """Rows that were committed a second after their rounds, the last one later."""
    times = [v6_time(round_id + 1) for round_id in rounds[:-1]] + [v6_time(rounds[-1] + 1 + late_s)]
    return Commits(min(times), max(times), in_order=times == sorted(times))


@pytest.mark.parametrize("late_s", [0, 3_000])
def test_rows_that_may_come_by_commit_prove_nothing(late_s: int) -> None:
    """In round order and in commit order alike: what was committed late may stand at the end of the walk."""
    walk = make_walk()
    for page, (begin, end) in enumerate([(0, 5), (5, 20)]):
        rows = ORDERED[begin:end]
        step = walk.step(make_page([], f"{page}"), rows, commits(rows, late_s if end == 20 else 0))
        assert step == Step(WalkState.GOES_ON, None)
    assert walk.step(make_page([]), [EPOCH], commits([EPOCH])).proven_until == EPOCH + 3_600


@pytest.mark.parametrize("at_the_border", [False, True])
def test_a_row_committed_before_one_in_front_of_it_shows_the_order(at_the_border: bool) -> None:
    """A late row stands where its round does, on the same page as the next or at the end of one: so rounds decide."""
    walk = make_walk()
    first = commits(ORDERED[:5], 3_000 if at_the_border else 0)
    late = Commits(v6_time(EPOCH), v6_time(EPOCH + 3_000), in_order=False)
    assert walk.step(make_page([], "a"), ORDERED[:5], first).proven_until is None
    second = commits(ORDERED[5:]) if at_the_border else late
    assert walk.step(make_page([], "b"), ORDERED[5:], second).proven_until == ORDERED[-1]
    third = [ORDERED[-1] + 60]
    assert walk.step(make_page([], "c"), third, commits(third)).proven_until == third[0], "it stays shown"


def test_single_rows_prove_together() -> None:
    """The proof is of rows, not of a page: twenty pages of one row are as good as one of twenty."""
    walk = make_walk()
    steps = [step(walk, [round_id], str(round_id)) for round_id in ORDERED]
    assert [s.proven_until for s in steps] == [None] * (ORDER_PROOF_ROWS - 1) + [ORDERED[-1]]


@pytest.mark.parametrize(
    ("started_at", "date", "until"),
    [
        (EPOCH + 9_000.0, None, EPOCH + 3_600),
        (EPOCH + 9_000.0, EPOCH + 99.0, EPOCH + 99),
        (EPOCH + 50.5, None, EPOCH + 50),
    ],
)
def test_the_end_covers_no_more_than_the_server_knew(started_at: float, date: float | None, until: int) -> None:
    """A finished walk covers its window, but nothing that lies after the server's own time at its start."""
    assert step(make_walk(started_at), ORDERED, None, date) == Step(WalkState.FINISHED, until)


def test_a_proof_reaches_no_further_than_the_server_knew() -> None:
    """A row from the future (an agent's wrong clock) proves nothing."""
    walk = make_walk(EPOCH + 600.0)
    step(walk, ORDERED[:5], "first")
    assert step(walk, ORDERED[5:], "second").proven_until is None


@given(links=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12))
def test_every_walk_ends(links: list[str]) -> None:
    """A link that was followed is a circle; a walk has at most ``pages_max`` pages."""
    walk, followed = make_walk(pages_max=4), []
    for page_number, link in enumerate(links, start=1):
        expected = (
            WalkState.LOOPED if link in followed else WalkState.TOO_LONG if page_number >= 4 else WalkState.GOES_ON
        )
        assert step(walk, [], link).state is expected
        if expected is not WalkState.GOES_ON:
            return
        followed.append(link)
        assert walk.request.continuation == link
