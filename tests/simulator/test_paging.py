"""Pages: their size, their order, their links, and what breaks a walk."""

from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.simulator.api import START, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio


async def shown_ids(api: Api, aid: int = 7625) -> list[str]:
    [group] = (await api.truth(ids="true", aid=aid))["organizations"][0]["accountGroups"]
    return list(group["sessions"])


@pytest.mark.parametrize("size", [1, 7, 50, 100_000])
async def test_a_v7_walk_shows_everything_once_oldest_first(make_api: MakeApi, size: int) -> None:
    """Whatever the page size: every session once, in order, all pages full but the last."""
    api = make_api(page_size=size, history_s=300.0, quota_limit=None)
    pages = await api.walk_v7(window="1h", pages_max=1000)
    rows = [row for page in pages for row in page]
    assert [row["id"] for row in rows] == await shown_ids(api)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert {len(page) for page in pages[:-1]} <= {size}
    assert pages[-1]


async def test_exactly_one_full_page_has_no_next(make_api: MakeApi) -> None:
    """A range with exactly as many rows as a page holds ends there; one row more makes two pages."""
    api = make_api()
    [rows] = await api.walk_v7(window="5m")
    exact = make_api(page_size=len(rows))
    answer = (await exact.tests(window="5m")).json()
    assert len(answer["results"]) == len(rows)
    assert answer["_links"] == {}
    less = make_api(page_size=len(rows) - 1)
    assert [len(page) for page in await less.walk_v7(window="5m")] == [len(rows) - 1, 1]


async def test_the_v7_next_link_keeps_the_query_and_freezes_the_range(make_api: MakeApi) -> None:
    """`next` is absolute, carries the original query and an opaque cursor; a window does not slide during a walk."""
    api = make_api(page_size=5)
    first = (await api.tests(window="10m", aid="7626", extra="kept")).json()
    url = urlsplit(first["_links"]["next"]["href"])
    assert (url.scheme, url.netloc) == ("http", "simulator")
    query = parse_qs(url.query)
    assert (query["window"], query["aid"], query["extra"]) == (["10m"], ["7626"], ["kept"])
    api.clock.now += 120
    second = (await api.post(first["_links"]["next"]["href"])).json()
    assert (second["startDate"], second["endDate"]) == (first["startDate"], first["endDate"])
    assert all(row["id"].startswith("07626:") for row in second["results"])


async def test_links_can_be_given_another_base(make_api: MakeApi) -> None:
    """Behind a proxy the server may name another host."""
    api = make_api(page_size=5, link_base_url="https://api.thousandeyes.com")
    href = (await api.tests(window="10m")).json()["_links"]["next"]["href"]
    assert href.startswith("https://api.thousandeyes.com/v7/endpoint/")


@pytest.mark.parametrize("reading", ["reject", "incoherent"])
async def test_another_body_in_mid_walk(make_api: MakeApi, reading: str) -> None:
    """A changed filter, or a changed aid, is refused with 400, or silently gives incoherent pages."""
    api = make_api(page_size=5, inferred={"changed_body_in_walk": reading})
    href = (await api.tests({"searchFilters": {"connection": ["wireless"]}}, window="10m")).json()["_links"]["next"][
        "href"
    ]
    other_body = await api.post(href, {"searchFilters": {"connection": ["ethernet"]}})
    other_aid = await api.post(href + "&aid=7626", {"searchFilters": {"connection": ["wireless"]}})
    expected = 400 if reading == "reject" else 200
    assert (other_body.status_code, other_aid.status_code) == (expected, expected)


async def test_cursors_can_expire(make_api: MakeApi) -> None:
    """A cursor older than its lifetime is refused with 400."""
    api = make_api(page_size=5, inferred={"cursor_lifetime_s": 60.0})
    href = (await api.tests(window="10m")).json()["_links"]["next"]["href"]
    api.clock.now += 60
    assert (await api.post(href)).status_code == 200
    api.clock.now += 1
    refused = await api.post(href)
    assert (refused.status_code, refused.json()["title"]) == (400, "Failed to deserialize")


async def test_faults_of_paging_in_v7(make_api: MakeApi) -> None:
    """Switchable: a cursor refused in mid-walk, a next link to the same page, an empty last page, a missing next
    link."""
    api = make_api(page_size=50)
    href = (await api.tests(window="10m")).json()["_links"]["next"]["href"]
    await api.faults(bad_cursor=1.0)
    assert (await api.post(href)).status_code == 400
    await api.faults(bad_cursor=0.0, cursor_loop=1.0)
    once = (await api.post(href)).json()
    again = (await api.post(once["_links"]["next"]["href"])).json()
    assert again["results"] == once["results"]
    assert again["_links"] == once["_links"]
    await api.faults(cursor_loop=0.0, empty_last_page=1.0)
    pages = await api.walk_v7(window="10m")
    assert pages[-1] == []
    assert all(pages[:-1])
    await api.faults(empty_last_page=0.0, next_missing_on_full_page=True)
    assert len(await api.walk_v7(window="10m")) == 1


async def test_an_empty_page_may_lack_its_array(make_api: MakeApi) -> None:
    """No rows: 200 with `[]`, or by a switch without the key."""
    api = make_api(sessions_per_minute=0.0)
    assert (await api.tests(window="5m")).json()["results"] == []
    assert (await api.get(f"{V6_SESSIONS}.json", window="5m")).json()["userSessions"] == []
    await api.faults(results_key_missing_when_empty=True)
    assert "results" not in (await api.tests(window="5m")).json()
    v6 = (await api.get(f"{V6_SESSIONS}.json", window="5m")).json()
    assert "userSessions" not in v6
    assert v6["pages"] == {"current": 1}


@pytest.mark.parametrize("size", [1, 90, 100_000])
async def test_a_v6_walk_shows_everything_once(make_api: MakeApi, size: int) -> None:
    """With whole rounds and an exclusive lastRoundId nothing is shown twice; a round larger than a page comes whole."""
    api = make_api(page_size=size, history_s=300.0)
    pages = await api.walk_v6(window="1h")
    assert [row["userSessionId"] for page in pages for row in page] == await shown_ids(api)
    rounds = [{row["roundId"] for row in page} for page in pages]
    assert sum(len(each) for each in rounds) == len(set.union(*rounds))


@pytest.mark.parametrize("size", [20, 90, 150])
async def test_a_v6_walk_with_inclusive_rounds_repeats_the_border(make_api: MakeApi, size: int) -> None:
    """The other reading: full pages, and the round at the border comes again; still nothing is missing."""
    api = make_api(page_size=size, history_s=300.0, inferred={"v6_paging": "inclusive"})
    pages = await api.walk_v6(window="1h")
    counts = Counter(row["userSessionId"] for page in pages for row in page)
    assert set(counts) == set(await shown_ids(api))
    if size > 60:
        assert max(counts.values()) > 1
        assert {len(page) for page in pages[:-1]} == {size}


async def test_the_v6_next_link_has_last_round_and_a_frozen_range(make_api: MakeApi) -> None:
    """As in the published sample: lastRoundId, from and to with `+` and `%3A`; aid and format are kept by a switch."""
    api = make_api(page_size=70)
    body = (await api.get(f"{V6_SESSIONS}.json", window="10m", aid=7625)).json()
    last = body["userSessions"][-1]["roundId"]
    assert body["pages"] == {
        "current": 1,
        "next": f"http://simulator{V6_SESSIONS}.json?lastRoundId={last}"
        "&from=2027-01-15+07%3A50%3A00&to=2027-01-15+08%3A00%3A00&aid=7625",
    }
    without = make_api(page_size=70, inferred={"v6_next_keeps_query": False})
    assert "aid" not in (await without.get(f"{V6_SESSIONS}.json", window="10m", aid=7626)).json()["pages"]["next"]


@pytest.mark.parametrize("paging", ["whole-rounds", "inclusive"])
async def test_faults_of_paging_in_v6(make_api: MakeApi, paging: str) -> None:
    """Switchable: an empty last page, a next link to the same page, a refused lastRoundId."""
    api = make_api(page_size=150, inferred={"v6_paging": paging}, faults={"empty_last_page": 1.0})
    pages = await api.walk_v6(window="10m")
    assert pages[-1] == []
    assert all(pages[:-1])
    await api.faults(empty_last_page=0.0, cursor_loop=1.0)
    first = (await api.get(f"{V6_SESSIONS}.json", window="10m")).json()
    second = (await api.get(first["pages"]["next"])).json()
    assert second["userSessions"] == first["userSessions"]
    assert second["pages"] == first["pages"]
    await api.faults(cursor_loop=0.0, bad_cursor=1.0)
    assert (await api.get(first["pages"]["next"])).status_code == 400


async def test_v6_post_pages_take_the_same_body(make_api: MakeApi) -> None:
    """A filtered walk goes on with the same body POSTed to the next link."""
    api = make_api(page_size=40)
    body = {"searchFilters": [{"key": "connection", "values": ["Wireless"]}]}
    answer = (await api.post(f"{V6_SESSIONS}.json", body, window="5m")).json()
    seen = list(answer["userSessions"])
    while "next" in answer["pages"]:
        answer = (await api.post(answer["pages"]["next"], body)).json()
        seen += answer["userSessions"]
    every = [row for page in await api.walk_v6(window="5m") for row in page]
    assert 0 < len(seen) < len(every)
    assert [row for row in every if row in seen] == seen


async def test_late_rows_do_not_disturb_a_walk_under_way(make_api: MakeApi) -> None:
    """Rows that are committed while a walk is under way never hide a row that was visible when it began."""
    api = make_api(page_size=10, late_share=0.3, late_max_s=300.0)
    before = set(await shown_ids(api))
    answer = (await api.tests(window="30m")).json()
    seen = [row["id"] for row in answer["results"]]
    for _ in range(1000):
        if "next" not in answer["_links"]:
            break
        api.clock.now += 1
        answer = (await api.post(answer["_links"]["next"]["href"])).json()
        seen += [row["id"] for row in answer["results"]]
    assert api.clock.now > START + 100
    assert before <= set(seen)
