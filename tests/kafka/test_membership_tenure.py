"""How long a member may believe what it was told, and which settings are refused. No broker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ConfigurationError
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.tenure import Tenure
from tests.kafka.publications import settings_for

SESSION_S = 10.0
REBALANCE_S = 6.0
MINE = frozenset({1, 2})


def tenure() -> Tenure:
    """One with an assignment made at 100 s."""
    made = Tenure(session_timeout_s=SESSION_S, rebalance_timeout_s=REBALANCE_S)
    made.assigned(MINE, 100.0)
    return made


def test_nothing_is_owned_before_an_assignment() -> None:
    """A new member owns nothing, also while its first join is under way."""
    new = Tenure(session_timeout_s=SESSION_S, rebalance_timeout_s=REBALANCE_S)
    assert new.owned(0.0) == frozenset()
    new.rebalance_began(0.0)
    assert new.owned(0.0) == frozenset()
    assert new.changes_in_s(0.0) is None


def test_assignment_lasts_a_session_after_the_last_sign_of_life() -> None:
    """What is owned is owned until the broker may have given it to others, counted from the sending of a heartbeat."""
    mine = tenure()
    mine.alive(104.0)
    mine.alive(103.0)  # an answer that was overtaken
    assert mine.owned(113.9) == MINE
    assert mine.changes_in_s(113.0) == 1.0
    assert mine.owned(114.0) == frozenset()
    assert mine.changes_in_s(114.0) is None


def test_late_sign_of_life_gives_everything_back() -> None:
    """When the broker still knows us after all, nobody else was given our shards."""
    mine = tenure()
    assert mine.owned(111.0) == frozenset()
    mine.alive(111.0)
    assert mine.owned(111.0) == MINE


def test_rebalance_does_not_interrupt_but_is_bounded() -> None:
    """Work goes on through a rebalance, for its timeout and a session; further attempts to join prolong nothing."""
    mine = tenure()
    mine.rebalance_began(101.0)
    mine.rebalance_began(110.0)
    mine.alive(112.0)
    assert mine.owned(116.9) == MINE
    assert mine.owned(117.0) == frozenset()
    mine.assigned({2, 3}, 120.0)
    assert mine.owned(120.0) == {2, 3}
    assert not mine.rebalancing


def test_end_is_immediate() -> None:
    """A member that the broker does not know any more owns nothing, whatever it hears afterwards."""
    mine = tenure()
    mine.ended()
    mine.alive(101.0)
    assert mine.owned(101.0) == frozenset()


@given(st.lists(st.tuples(st.sampled_from(["assigned", "rebalance", "alive", "ended"]), st.floats(0, 20)), max_size=30))
def test_silence_always_ends_in_nothing(steps: list[tuple[str, float]]) -> None:
    """Whatever happened: after both timeouts without another word nothing is owned, and the end was announced."""
    mine, now_s = tenure(), 100.0
    for step, after_s in steps:
        now_s += after_s
        match step:
            case "assigned":
                mine.assigned(MINE, now_s)
            case "rebalance":
                mine.rebalance_began(now_s)
            case "alive":
                mine.alive(now_s)
            case "ended":
                mine.ended()
    in_s = mine.changes_in_s(now_s)
    assert (in_s is None) == (not mine.owned(now_s))
    bound_s = SESSION_S + REBALANCE_S + 1e-6  # sums of floats
    assert in_s is None or in_s <= bound_s
    assert mine.owned(now_s + bound_s) == frozenset()


def test_group_follows_from_the_state_topic() -> None:
    """Workers share shards exactly if they share state, unless the group is named."""
    kafka = settings_for("a:1", "x")
    assert MembershipSettings().group(kafka) == "x.state.workers"
    assert MembershipSettings(group_id="g").group(kafka) == "g"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"session_timeout_s": 0}, "session_timeout_s: must be greater than 0"),
        ({"heartbeat_interval_s": 4.0}, "heartbeat_interval_s: 4 s leaves less than 3"),
        ({"rebuild_silence_s": 15.0}, "rebuild_silence_s: 15 s is shorter"),
        ({"rebuild_errors": 0}, "rebuild_errors: must be at least 1"),
        ({"instance_id": ""}, "instance_id: must not be empty"),
        ({"backoff_first_s": 20.0}, "backoff_first_s: must not be greater"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], complaint: str) -> None:
    """Each refusal names the setting."""
    with pytest.raises(ConfigurationError, match=complaint):
        MembershipSettings(**values)
