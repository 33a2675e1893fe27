"""The verdict of the demonstration: it must fail whenever something is missing, twice or invented."""

from collections import Counter

import pytest

from collector.demo.comparison import EXAMPLES_MAX, Offered, OfferedSession, Verdict, compare, is_complete, offered

SESSIONS = {f"07625:60:{number:08d}": OfferedSession("7625", 60 + number, 62 + number) for number in range(3)}
BAD_ROWS = {b'{"marker":"bad-1"}': "bad-1", b'"bad-2"': "bad-2"}
TRUTH = Offered(SESSIONS, BAD_ROWS)
FIRST, SECOND, THIRD = SESSIONS


def verdict(events: dict[str, int], dead_letters: dict[bytes, int] | None = None) -> Verdict:
    """The verdict about these records; by default every bad row has its dead letter."""
    return compare(TRUTH, events, dict.fromkeys(BAD_ROWS, 1) if dead_letters is None else dead_letters, kills=3)


def test_everything_once() -> None:
    """Every session and every bad row once is good, and the summary has its promised form."""
    found = verdict(dict.fromkeys(SESSIONS, 1))
    assert found.is_good
    assert found.summary == "offered=3 events=3 missing=0 duplicates=0 dead_letters=2/2 kills=3"
    assert found.examples() == []


@pytest.mark.parametrize(
    ("events", "dead_letters", "summary", "example"),
    [
        (
            {FIRST: 1, SECOND: 1},
            None,
            "offered=3 events=2 missing=1 duplicates=0 dead_letters=2/2 kills=3",
            f"missing: session {THIRD} of account group 7625, took place 1970-01-01T00:01:02Z, committed 2 s later",
        ),
        (
            {FIRST: 1, SECOND: 3, THIRD: 1},
            None,
            "offered=3 events=5 missing=0 duplicates=2 dead_letters=2/2 kills=3",
            f"duplicate: session {SECOND} is there 3 times",
        ),
        (
            {FIRST: 1, SECOND: 1, THIRD: 1, "other": 1},
            None,
            "offered=3 events=4 missing=0 duplicates=0 dead_letters=2/2 kills=3",
            "invented: session other is there (1 times), but the API never offered it",
        ),
        (
            dict.fromkeys(SESSIONS, 1),
            {b'"bad-2"': 1},
            "offered=3 events=3 missing=0 duplicates=0 dead_letters=1/2 kills=3",
            "missing: bad row bad-1 has no dead letter",
        ),
        (
            dict.fromkeys(SESSIONS, 1),
            {**dict.fromkeys(BAD_ROWS, 1), b'"bad-2"': 2},
            "offered=3 events=3 missing=0 duplicates=0 dead_letters=2/2 kills=3",
            'dead letter of bad-2 2 times: "bad-2"',
        ),
        (
            dict.fromkeys(SESSIONS, 1),
            {**dict.fromkeys(BAD_ROWS, 1), b"\xff": 1},
            "offered=3 events=3 missing=0 duplicates=0 dead_letters=2/2 kills=3",
            "dead letter of no bad row: �",
        ),
    ],
    ids=["missing", "duplicate", "invented", "bad row missing", "bad row twice", "dead letter of nothing"],
)
def test_anything_wrong_fails(
    events: dict[str, int], dead_letters: dict[bytes, int] | None, summary: str, example: str
) -> None:
    """One missing, repeated or invented record is enough to fail, and it is named."""
    found = verdict(events, dead_letters)
    assert not found.is_good
    assert found.summary == summary
    assert found.examples() == [example]


def test_a_loss_is_not_made_up_for_by_a_duplicate() -> None:
    """As many events as sessions is no proof: one is missing and another is twice."""
    found = verdict({FIRST: 2, SECOND: 1})
    assert not found.is_good
    assert found.summary == "offered=3 events=3 missing=1 duplicates=1 dead_letters=2/2 kills=3"


def test_examples_are_few() -> None:
    """A total loss is shown by a few examples."""
    many = {str(number): OfferedSession("1", 0, 0) for number in range(1000)}
    assert len(compare(Offered(many, {}), {}, {}, kills=0).examples()) == EXAMPLES_MAX


@pytest.mark.parametrize("absent", [*SESSIONS, *BAD_ROWS], ids=repr)
def test_waits_for_the_last_record(absent: str | bytes) -> None:
    """Nothing is complete while a single session or bad row has not been read."""
    events, letters = Counter(SESSIONS.keys()), Counter(BAD_ROWS.keys())
    assert is_complete(TRUTH, events, letters)
    del (events if isinstance(absent, str) else letters)[absent]
    assert not is_complete(TRUTH, events, letters)


def test_reads_the_truth_of_all_organizations() -> None:
    """Sessions and bad rows of every account group of every organization count."""

    def group(aid: int) -> dict[str, object]:
        row = {"marker": f"bad-{aid}", "v7": f'"bad-{aid}"', "v6": "another"}
        return {"aid": aid, "sessions": [{"id": f"id-{aid}", "date": aid, "committed": aid + 1}], "bad": [row]}

    truth = {"organizations": [{"accountGroups": [group(1), group(2)]}, {"accountGroups": [group(3)]}]}
    assert offered(truth) == Offered(
        {f"id-{aid}": OfferedSession(str(aid), aid, aid + 1) for aid in (1, 2, 3)},
        {f'"bad-{aid}"'.encode(): f"bad-{aid}" for aid in (1, 2, 3)},
    )
