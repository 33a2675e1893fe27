"""The rules of the chaos suite itself: what a plan is, what counts as lost, what fails a run."""

import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.chaos import aims
from tests.chaos.api import Load
from tests.chaos.modes import FENCING_ALONE, GOOD, NO_FENCING, NO_RESTORE, STATE_FIRST, Mode, control_plan
from tests.chaos.plan import WEIGHTS, Kind, PlanSettings, Step, make_plan
from tests.chaos.run import SESSION_TIMEOUT_S, Outcome, Run
from tests.chaos.verify import Content, Truth, Verdict, judge

LONG = PlanSettings(120.0, SESSION_TIMEOUT_S, 3.0, WEIGHTS)
TRUTH = Truth({"07625:1800000060:aaaaaaaa": "7625", "07626:1800000060:bbbbbbbb": "7626"}, {b"bad": "7625"})
WALKED = {"7625", "7626"}


def found(**changed: object) -> Content:
    """What a reader finds when all is well, with changes."""
    return replace(Content(Counter(TRUTH.sessions), dead_letters=Counter([b"bad"])), **changed)  # type: ignore[arg-type]


def once() -> Content:
    return found(events=Counter(dict.fromkeys(TRUTH.sessions, 1)))


def outcome(mode: Mode, content: Content, happened: Counter[str] | None = None, walked: set[str] = WALKED) -> Outcome:
    plan = [Step(Kind.KILL, 0.0, 0.0, 0.0)]
    run = Run(mode, plan, 1, Load(), 1, "chaos", Path("nowhere"), print)
    done = Counter({"kill -9": 1}) if happened is None else happened
    made = Outcome(run, 1, done, judge(TRUTH, content, walked), [], {}, 0, 0.0)
    made.judge()
    return made


def verdict(content: Content, walked: set[str] = WALKED) -> Verdict:
    return judge(TRUTH, content, walked)


def test_a_seed_is_a_plan() -> None:
    """The same seed gives the same faults, another one others."""
    assert make_plan(1, LONG) == make_plan(1, LONG)
    assert make_plan(1, LONG) != make_plan(2, LONG)


def test_a_plan_holds_every_kind_at_every_point() -> None:
    """A long run aims at each point with each aimed kind, and lasts as long as it was asked to."""
    plan = make_plan(7, LONG)
    assert {step.kind for step in plan} == set(Kind)
    for kind in (Kind.AIMED_KILL, Kind.AIMED_FREEZE):
        assert {step.point for step in plan if step.kind is kind} == {*aims.OPENING, *aims.PUBLISHING}
    assert sum(step.after_s for step in plan) >= LONG.seconds


def test_the_pair_with_and_without_fencing_has_the_same_faults() -> None:
    """What tells the two apart is the fencing, and nothing else."""
    with_fencing, without = (
        make_plan(3, control_plan(mode, SESSION_TIMEOUT_S)) for mode in (FENCING_ALONE, NO_FENCING)
    )
    assert with_fencing == without


def test_everything_once_is_clean() -> None:
    """Each session and each bad row once, and nothing else."""
    assert verdict(once()).is_clean
    assert outcome(GOOD, once()).problems == []


def test_what_is_missing_is_lost_only_when_it_was_offered_in_full() -> None:
    """A session of an account group that was not walked to its end is unfinished, which fails the run too."""
    missing = found(events=Counter({"07625:1800000060:aaaaaaaa": 1}))
    lost, unfinished = verdict(missing), verdict(missing, {"7625"})
    assert (lost.lost, lost.unfinished) == (1, 0)
    assert (unfinished.lost, unfinished.unfinished) == (0, 1)
    assert not lost.is_clean
    assert outcome(GOOD, missing, walked={"7625"}).problems


def test_what_is_there_twice_or_was_never_offered_is_counted() -> None:
    """Duplicates, inventions and wrong dead letters each make a run unclean."""
    twice = found(events=Counter(dict.fromkeys(TRUTH.sessions, 2)))
    assert verdict(twice).duplicates == 2
    invented = found(events=Counter([*TRUTH.sessions, "07625:1800000060:zzzzzzzz"]))
    assert verdict(invented).invented == 1
    strange = replace(once(), strange=1)
    letters = [
        found(events=once().events, dead_letters=Counter(values)) for values in ([], [b"bad"] * 2, [b"bad", b"x"])
    ]
    assert [verdict(content).dead_letters_wrong for content in letters] == [1, 1, 1]
    assert not any(verdict(content).is_clean for content in (twice, invented, strange, *letters))


def test_an_id_in_the_state_without_its_event_is_counted() -> None:
    """The state says published, and the topic does not have it."""
    hour = 1800000060 // 3600 * 3600
    chunk = {(0, f"seen/org/7626/{hour}/0".encode()): struct.pack(">H", 1800000060 - hour) + b"bbbbbbbb"}
    content = found(events=Counter({"07625:1800000060:aaaaaaaa": 1}), state=chunk)
    assert verdict(content).known_but_missing == 1


def test_a_control_that_passes_although_broken_fails_the_run() -> None:
    """A suite that cannot see proves nothing."""
    for mode in (NO_FENCING, NO_RESTORE, STATE_FIRST):
        assert "blind" in outcome(mode, once()).problems[0]
    assert outcome(FENCING_ALONE, once()).problems == []


def test_a_run_that_lacks_a_planned_fault_fails() -> None:
    """What did not happen was not survived."""
    assert outcome(GOOD, once(), happened=Counter({"missed: kill -9": 1})).problems == [
        "planned, and never happened: kill -9"
    ]
