"""`DueQueue` against the plainest queue there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.core.due import DueQueue
from collector.core.model import MonoS

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcdef"), st.integers(0, 5)),
        st.tuples(st.just("remove"), st.sampled_from("abcdef"), st.just(0)),
    ),
    max_size=200,
)


@given(STEPS)
def test_the_earliest_comes_first_and_of_equals_who_waits_longest(steps: list[tuple[str, str, int]]) -> None:
    """Whatever is put in, put in again, and taken out."""
    queue, plain = DueQueue(), dict[str, int]()  # a dict keeps the order in which keys came
    for step, aid, due in steps:
        if step == "remove":
            queue.remove(aid)
            plain.pop(aid, None)
        else:
            queue.put(aid, MonoS(due))
            if plain.get(aid) != due:
                plain.pop(aid, None)
                plain[aid] = due
        expected = min(plain.items(), key=lambda item: item[1], default=None)
        assert queue.first() == (None if expected is None else (expected[1], expected[0]))
        assert len(queue) == len(plain)
        assert ("a" in queue) == ("a" in plain)
