"""Time ranges: what is accepted, what is refused, what is selected."""

from datetime import UTC, datetime

import pytest

from tests.simulator.api import START, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio


def iso(epoch_s: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime(form)


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%dT%H:%M:%S+00:00",
        "%Y-%m-%dT%H:%M:%S.%f+0000",
        "%Y-%m-%dT%H:%M:%S.000Z",
        "%Y-%m-%dT%H:%M:%S.123456789Z",
    ],
)
async def test_v7_accepts_zulu_offsets_and_fractions(api: Api, form: str) -> None:
    """All forms of one time select the same; the answer repeats it in whole seconds. A fraction rounds into the
    range."""
    answer = (await api.tests(startDate=iso(START - 300, form), endDate=iso(START, form))).json()
    shift = 1 if ".123456789" in form else 0
    assert (answer["startDate"], answer["endDate"]) == (iso(START - 300 + shift), iso(START))
    assert answer["results"]


async def test_v7_offsets_are_respected(api: Api) -> None:
    """09:00+01:00 is 08:00Z."""
    answer = (await api.tests(startDate="2027-01-15T08:55:00+01:00")).json()
    assert (answer["startDate"], answer["endDate"]) == ("2027-01-15T07:55:00Z", iso(START))


@pytest.mark.parametrize(
    "params",
    [
        {"startDate": "2027-01-15T07:55:00"},
        {"startDate": "2027-01-15"},
        {"startDate": "2027-13-15T07:55:00Z"},
        {"startDate": "1800000000"},
        {"endDate": "2027-01-15T07:55:00Z"},
        {"startDate": "2027-01-15T07:55:00Z", "endDate": "2027-01-15T07:54:59Z"},
        {"window": "5m", "startDate": "2027-01-15T07:55:00Z"},
        {"window": "5x"},
        {"window": "-5m"},
        {"window": ""},
    ],
)
async def test_v7_refuses(api: Api, params: dict[str, str]) -> None:
    """No offset, no time, no such month, no start, an inverted range, a window next to a start: 400."""
    assert (await api.tests(**params)).status_code == 400


async def test_v7_window_next_to_a_start_may_be_ignored(make_api: MakeApi) -> None:
    """The other reading: the window has no effect."""
    api = make_api(inferred={"v7_window_with_start": "ignore-window"})
    answer = (await api.tests(window="1m", startDate=iso(START - 300))).json()
    assert answer["startDate"] == iso(START - 300)


@pytest.mark.parametrize(
    "query",
    [
        "from=2027-01-15T07:55:00&to=2027-01-15T08:00:00",
        "from=2027-01-15%2007:55:00&to=2027-01-15%2008:00:00",
        "from=2027-01-15+07%3A55%3A00&to=2027-01-15+08%3A00%3A00",
        "from=2027-01-15T07:55:00",
        "window=300",
        "window=300s",
        "window=5m",
    ],
)
async def test_v6_accepts_t_space_plus_and_windows(api: Api, query: str) -> None:
    """All ways to ask for the last five minutes give the same body, with the range in it."""
    answer = (await api.get(f"{V6_SESSIONS}.json?{query}")).json()
    assert (answer["from"], answer["to"]) == ("2027-01-15 07:55:00", "2027-01-15 08:00:00")
    assert answer == (await api.get(f"{V6_SESSIONS}.json", window="5m")).json()


@pytest.mark.parametrize(
    "params",
    [
        {"to": "2027-01-15T08:00:00"},
        {"window": "5m", "from": "2027-01-15T07:55:00"},
        {"window": "5m", "to": "2027-01-15T07:55:00"},
        {"from": "2027-01-15"},
        {"from": "2027-01-15T07:55:00Z"},
        {"from": "2027-01-15T07:61:00"},
        {"window": "m"},
        {"lastRoundId": "x"},
    ],
)
async def test_v6_refuses(api: Api, params: dict[str, str]) -> None:
    """`to` alone, a window next to a range, a date without time, a zone: 400."""
    assert (await api.get(V6_SESSIONS, **params)).status_code == 400


async def test_ranges_are_inclusive(make_api: MakeApi) -> None:
    """A range of one second holds the rows of that second; both ends belong to a range."""
    api = make_api(sessions_per_minute=3000.0)
    [group] = (await api.truth(aid=7625))["organizations"][0]["accountGroups"]
    at = int(START) - 600
    wanted = {s["id"] for s in group["sessions"] if s["date"] == at}
    shown = await api.tests(startDate=iso(at), endDate=iso(at))
    assert {row["id"] for row in shown.json()["results"]} == wanted != set()
    three = await api.tests(startDate=iso(at - 1), endDate=iso(at + 1))
    dates = {row["date"] for row in three.json()["results"]}
    assert dates == {iso(at - 1), iso(at), iso(at + 1)}


async def test_a_range_can_select_on_the_round(make_api: MakeApi) -> None:
    """The other reading: a range holds whole rounds, by their start."""
    api = make_api(sessions_per_minute=600.0, inferred={"range_selects": "round"})
    at = int(START) - 600
    rows = (await api.tests(startDate=iso(at), endDate=iso(at))).json()["results"]
    assert {row["roundId"] for row in rows} == {at}
    assert len({row["date"] for row in rows}) > 30
    assert (await api.tests(startDate=iso(at + 1), endDate=iso(at + 59))).json()["results"] == []


async def test_without_a_range_v6_shows_the_last_round(make_api: MakeApi) -> None:
    """The last round is the previous minute, or the running one by a switch; the body has no range."""
    api = make_api()
    api.clock.now = START + 30
    answer = (await api.get(f"{V6_SESSIONS}.json")).json()
    assert {row["roundId"] for row in answer["userSessions"]} == {int(START) - 60}
    assert "from" not in answer
    current = make_api(inferred={"last_round": "current"})
    current.clock.now = START + 30
    rows = (await current.get(f"{V6_SESSIONS}.json")).json()["userSessions"]
    assert {row["roundId"] for row in rows} == {int(START)}


async def test_without_a_range_v7_shows_everything_or_the_last_round(make_api: MakeApi) -> None:
    """The documentation says both: everything is the default here, the last round a switch. No range in the body."""
    api = make_api(page_size=100_000)
    answer = (await api.tests()).json()
    assert len({row["roundId"] for row in answer["results"]}) == 30
    assert "startDate" not in answer
    last = make_api(inferred={"v7_without_range": "last-round"})
    assert {row["roundId"] for row in (await last.tests()).json()["results"]} == {int(START) - 60}


async def test_older_sessions_than_the_retention_are_not_shown(make_api: MakeApi) -> None:
    """Asking beyond the retention is no error: what is there is shown."""
    api = make_api(retention_days=600 / 86_400, page_size=100_000)
    rows = (await api.tests(window="1w")).json()["results"]
    assert min(row["date"] for row in rows) >= iso(START - 600)
    assert (await api.tests(startDate=iso(START - 1500), endDate=iso(START - 700))).json()["results"] == []


async def test_a_clock_that_is_ahead_moves_what_now_is(make_api: MakeApi) -> None:
    """With an offset clock a window ends at the server's now."""
    api = make_api(clock_offset_s=-3600.0)
    assert (await api.tests(window="5m")).json()["endDate"] == iso(START - 3600)
