"""`Lateness`: an estimate that is never below the truth, and an overlap that follows it between its bounds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.lateness import BUCKETS, HALF_LIFE_S, SESSIONS_MIN, Lateness, bucket_of, latenesses, longest_s
from collector.core.model import EpochS, Row
from tests.core.pages import EPOCH

FLOOR_S, CEILING_S = 600, 3_600


def session(committed: str | None, date: str = "2023-11-14T23:00:10Z") -> Row:
    """A session in the form of the schema, as far as it is looked at."""
    return {"date": date} if committed is None else {"date": date, "committed": committed}


def counts(*latenesses_s: float) -> list[tuple[int, int]]:
    """One session of each lateness."""
    return [(bucket_of(lateness_s), 1) for lateness_s in latenesses_s]


@given(lateness_s=st.floats(0.0, 4_000_000.0))
def test_a_bucket_holds_its_lateness_and_is_a_fifth_wide(lateness_s: float) -> None:
    """The longest of the bucket is no shorter than the lateness, and at most a fifth longer."""
    longest = longest_s(bucket_of(lateness_s))
    assert longest >= lateness_s * (1 - 1e-9)
    assert longest <= max(1.0, lateness_s * 1.2)


@given(late=st.lists(st.floats(0.0, 80_000.0), min_size=1, max_size=300), share=st.sampled_from([0.5, 0.9, 0.999]))
def test_a_quantile_is_never_below_the_truth(late: list[float], share: float) -> None:
    """As many sessions as it says are no later, and no shorter lateness of a bucket would do."""
    lateness = Lateness(0, 10**9)
    lateness.observe(counts(*late), EpochS(EPOCH))
    found = lateness.quantile(share)
    assert found is not None
    assert sum(late_s <= found * (1 + 1e-9) for late_s in late) >= share * len(late)
    exact = sorted(late)[min(len(late) - 1, int(share * len(late) + 1e-6))]
    assert found <= max(1.0, exact * 1.2)


@pytest.mark.parametrize(
    ("date", "committed", "lateness_s"),
    [
        ("2023-11-14T23:00:10Z", "2023-11-14T23:00:13Z", 3),
        ("2023-11-14T23:00:58Z", "2023-11-14T23:01:01Z", 3),
        ("2023-11-14T23:00:10.500Z", "2023-11-14T23:00:13Z", 2.5),
        ("2023-11-14T23:00:10Z", "2023-11-15T05:00:10Z", 21_600),
        ("2023-11-14T23:00:10Z", "2023-11-14T22:00:10Z", 0),
    ],
)
def test_lateness_is_from_the_date_to_the_commit(date: str, committed: str, lateness_s: float) -> None:
    """Within a minute, across one, with fractions, hours; an agent whose clock runs ahead is not late."""
    assert latenesses([session(committed, date)]) == ((bucket_of(lateness_s), 1),)


def test_sessions_without_a_commit_time_say_something_when_a_sweep_finds_them() -> None:
    """Found an hour after its date although it was walked before: at most that late. Otherwise nothing is known."""
    assert latenesses([session(None)]) == ()
    date_s = 1_700_002_810.0
    assert latenesses([session(None)], date_s + 3_600.0) == ((bucket_of(3_600.0), 1),)


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    """A leap second passes the schema; it must not stop a page."""
    assert latenesses([session("2016-12-31T23:59:60Z"), session("2023-11-14T23:00:10Z")]) == ((0, 1),)


def test_the_overlap_follows_the_lateness_between_its_bounds() -> None:
    """A few seconds: the floor. 1 % at twenty minutes: twenty and a fifth at most. 1 % at five hours: the ceiling."""
    rng = Random(1)
    for late_s, expected in ((2.0, (FLOOR_S, FLOOR_S)), (1_200.0, (1_200, 1_440)), (18_000.0, (CEILING_S, CEILING_S))):
        lateness = Lateness(FLOOR_S, CEILING_S)
        assert lateness.overlap_s == FLOOR_S
        lateness.observe(counts(*(late_s if rng.random() < 0.01 else 2.0 for _ in range(5_000))), EpochS(EPOCH))
        assert expected[0] <= lateness.overlap_s <= expected[1]
        assert lateness.overlap_s % 60 == 0


def test_one_in_ten_thousand_does_not_move_the_overlap() -> None:
    """That is what sweeps are for."""
    lateness = Lateness(FLOOR_S, CEILING_S)
    lateness.observe([(bucket_of(2.0), 20_000), (bucket_of(3_000.0), 2)], EpochS(EPOCH))
    assert lateness.overlap_s == FLOOR_S


def test_what_was_late_once_is_forgotten_within_a_day_or_two() -> None:
    """After a few half lives of punctual sessions the overlap is at its floor again."""
    lateness, now = Lateness(FLOOR_S, CEILING_S), float(EPOCH)
    lateness.observe([(bucket_of(2.0), 900), (bucket_of(3_000.0), 100)], EpochS(now))
    assert lateness.overlap_s > FLOOR_S
    while lateness.overlap_s > FLOOR_S:
        now += 600.0
        lateness.observe([(bucket_of(2.0), 100)], EpochS(now))
        assert now - EPOCH <= 8 * HALF_LIFE_S


def test_a_new_process_shrinks_nothing_before_it_has_seen_enough() -> None:
    """It begins with the overlap that was in force; some punctual sessions prove nothing, a late one grows it."""
    lateness = Lateness(FLOOR_S, CEILING_S, 1_800)
    lateness.observe([(bucket_of(2.0), SESSIONS_MIN - 2)], EpochS(EPOCH))
    assert lateness.overlap_s == 1_800
    lateness.observe(counts(2_400.0), EpochS(EPOCH))
    assert lateness.overlap_s >= 2_400
    fresh = Lateness(FLOOR_S, CEILING_S, 1_800)
    fresh.observe([(bucket_of(2.0), SESSIONS_MIN)], EpochS(EPOCH))
    assert fresh.overlap_s == FLOOR_S


@pytest.mark.parametrize("stored", [60, 600, 9_999_999])
def test_another_configuration_bounds_what_was_in_force(stored: int) -> None:
    """An overlap that was durable lies within today's bounds."""
    assert FLOOR_S <= Lateness(FLOOR_S, CEILING_S, stored).overlap_s <= CEILING_S


def test_a_clock_that_goes_back_loses_nothing() -> None:
    """Counts stay what they are; no decay, no growth."""
    lateness = Lateness(FLOOR_S, CEILING_S)
    lateness.observe([(5, 100)], EpochS(EPOCH))
    lateness.observe([(5, 100)], EpochS(EPOCH - 50_000.0))
    assert lateness.sessions == 200
    assert bucket_of(float("1e12")) == BUCKETS - 1
