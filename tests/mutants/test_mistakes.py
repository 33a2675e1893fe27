"""The seeded mistakes still apply: a mistake whose line is gone would prove nothing, in silence."""

import pytest

from tests.mutants.mistakes import MISTAKES
from tests.mutants.runner import PROJECT, Mistake


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_line_that_a_mistake_breaks_stands_exactly_once(mistake: Mistake) -> None:
    """`make mutants` can seed it, and the tests that must catch it exist."""
    assert (PROJECT / mistake.file).read_text().count(mistake.old) == 1
    for node in mistake.caught_by:
        file, _, test = node.partition("::")
        name, text = test.partition("[")[0].partition("::")[0], (PROJECT / file).read_text()
        assert f"def {name}(" in text or f"\n{name} = " in text


def test_no_two_mistakes_have_the_same_name() -> None:
    """A name is how a mistake is chosen and reported."""
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)


def test_no_mistake_is_there_twice() -> None:
    """The count of mistakes is a count of different ones."""
    assert len({(mistake.file, mistake.old, mistake.new) for mistake in MISTAKES}) == len(MISTAKES)
