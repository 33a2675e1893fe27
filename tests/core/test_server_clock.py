"""`ServerClock`: never ahead, not moved by one wild ``Date``, and free of the local clock once the server spoke."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.core.model import EpochS, MonoS
from collector.core.server_clock import JUMP_S, ServerClock
from tests.core.pages import EPOCH

Answers = list[tuple[float, float]]
"""Seconds since the answer before, and how long it was on its way."""

answers = st.lists(st.tuples(st.floats(0.0, 500.0), st.floats(0.0, 30.0)), min_size=1, max_size=10)


def hear(clock: ServerClock, told: Answers, mono: float = 0.0) -> float:
    """Let answers arrive whose ``Date`` is true when they leave, in whole seconds; returns the time of the last."""
    for after_s, way_s in told:
        mono += after_s + way_s
        clock.observe(EpochS(float(int(EPOCH + mono - way_s))), MonoS(mono))
    return mono


@given(told=answers, skew_s=st.floats(-40_000.0, 40_000.0))
def test_the_estimate_is_never_ahead_and_at_most_the_way_behind(told: Answers, skew_s: float) -> None:
    """After an answer the estimate is behind by its way and less than a second, whatever the local clock said."""
    clock = ServerClock(EPOCH + skew_s, MonoS(0.0))
    mono = hear(clock, told)
    behind = EPOCH + mono - clock.now(MonoS(mono))
    assert -1e-6 <= behind <= 1.0 + told[-1][1] + 1e-6
    assert clock.observed


@given(told=answers, skew_s=st.sampled_from([-90.0, 90.0]))
def test_a_wrong_local_clock_changes_nothing(told: Answers, skew_s: float) -> None:
    """90 s of local skew: the same server time, to the bit."""
    right, wrong = ServerClock(EPOCH, MonoS(0.0)), ServerClock(EPOCH + skew_s, MonoS(0.0))
    mono = hear(right, told)
    assert hear(wrong, told) == mono
    assert right.now(MonoS(mono)) == wrong.now(MonoS(mono))


@given(told=answers, wild_s=st.floats(2 * JUMP_S, 1e8) | st.floats(-1e8, -2 * JUMP_S))
def test_one_wild_date_moves_nothing(told: Answers, wild_s: float) -> None:
    """A proxy's or a broken node's ``Date`` between good ones is not believed."""
    clock = ServerClock(EPOCH, MonoS(0.0))
    mono = hear(clock, told)
    before = clock.now(MonoS(mono))
    clock.observe(EpochS(EPOCH + mono + wild_s), MonoS(mono))
    assert clock.now(MonoS(mono)) == before
    mono = hear(clock, told, mono)
    clock.observe(EpochS(EPOCH + mono + wild_s), MonoS(mono))
    assert EPOCH + mono - 32.0 <= clock.now(MonoS(mono)) <= EPOCH + mono


@given(told=answers, jump_s=st.floats(2 * JUMP_S, 1e6) | st.floats(-1e6, -2 * JUMP_S))
def test_a_jump_that_is_told_twice_is_followed(told: Answers, jump_s: float) -> None:
    """A clock that was set right is believed at its second ``Date``."""
    clock = ServerClock(EPOCH, MonoS(0.0))
    mono = hear(clock, told)
    for _ in range(2):
        clock.observe(EpochS(EPOCH + mono + jump_s), MonoS(mono))
    assert abs(clock.now(MonoS(mono)) - (EPOCH + mono + jump_s)) <= 1e-3


def test_before_the_first_answer_the_local_clock_counts() -> None:
    """Nothing heard: the local clock, no skew, and answers without ``Date`` change nothing."""
    clock = ServerClock(EPOCH + 5.0, MonoS(100.0))
    clock.observe(None, MonoS(101.0))
    assert clock.now(MonoS(102.0)) == EPOCH + 7.0
    assert clock.skew_s == 0.0
    assert not clock.observed


def test_the_skew_is_told() -> None:
    """The server is ahead of the local clock by what its ``Date`` says."""
    clock = ServerClock(EPOCH, MonoS(0.0))
    clock.observe(EpochS(EPOCH + 95.0), MonoS(5.0))
    assert clock.skew_s == 90.0
