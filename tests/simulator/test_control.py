"""The control endpoints: truth, counts, faults, freeze, clock, settings."""

import pytest

from collector.simulator.spoiled import ConnectionBroken
from tests.simulator.api import START, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio


async def test_the_truth_is_what_the_api_shows(make_api: MakeApi) -> None:
    """For every account group: the ids of a complete walk are the truth's."""
    api = make_api(late_share=0.2)
    for group in (await api.truth())["organizations"][0]["accountGroups"]:
        rows = [row for page in await api.walk_v7(window="1h", aid=str(group["aid"])) for row in page]
        assert sorted(row["id"] for row in rows) == sorted(session["id"] for session in group["sessions"])


async def test_the_truth_can_be_narrowed(make_api: MakeApi) -> None:
    """By dates, account groups and commit time; ids alone; and beyond what is visible."""
    api = make_api(late_share=0.5, organization_count=2)
    assert [each["name"] for each in (await api.truth())["organizations"]] == [
        "Example Organization",
        "Example Organization 2",
    ]
    narrow = await api.truth(**{"from": "2027-01-15T07:50:00Z", "to": START - 300, "aid": 7626})
    assert (narrow["from"], narrow["to"]) == (START - 600, START - 300)
    assert [len(each["accountGroups"]) for each in narrow["organizations"]] == [1, 0]
    sessions = narrow["organizations"][0]["accountGroups"][0]["sessions"]
    assert all(START - 600 <= session["date"] <= START - 300 for session in sessions)
    ids = await api.truth(aid=7626, ids="true")
    assert all(isinstance(each, str) for each in ids["organizations"][0]["accountGroups"][0]["sessions"])
    every = (await api.truth(visible="false", aid=7625))["organizations"][0]["accountGroups"][0]["sessions"]
    visible = (await api.truth(aid=7625))["organizations"][0]["accountGroups"][0]["sessions"]
    assert [session for session in every if session["committed"] <= START] == visible
    assert len(every) > len(visible)
    early = (await api.truth(aid=7625, committed_until=START - 60))["organizations"][0]["accountGroups"][0]["sessions"]
    assert early == [session for session in visible if session["committed"] <= START - 60]


@pytest.mark.parametrize("params", [{"from": "yesterday"}, {"visible": "maybe"}, {"committed_until": "x"}])
async def test_a_wrong_truth_request_says_what_is_wrong(api: Api, params: dict[str, str]) -> None:
    """400 with a sentence that names the parameter."""
    answer = await api.client.get("/_sim/truth", params=params)
    assert answer.status_code == 400
    assert next(iter(params)) in answer.json()["error"]


async def test_statistics_count_by_organization(make_api: MakeApi) -> None:
    """Requests by status, path pattern and account group; 429s; the quota; strangers apart; control requests never."""
    api = make_api(organization_count=2, quota_limit=3)
    row = (await api.tests(window="5m", aid="7626")).json()["results"][0]
    await api.get(f"{V6_SESSIONS}/{row['id']}.json", aid=7626)
    api.clock.now += 5
    await api.get("/v7/no-such-path")
    await api.get("/v7/account-groups")
    await api.client.get("/v7/account-groups")
    stats = (await api.client.get("/_sim/stats")).json()
    first, second = stats["organizations"]
    assert first["requests"] == 4
    assert first["requestsByStatus"] == {"200": 2, "404": 1, "429": 1}
    assert first["tooManyRequests"] == 1
    assert first["requestsByPath"][f"GET {V6_SESSIONS}/{{id}}.json"] == 1
    assert first["requestsByAid"] == {"7626": 2}
    assert (first["firstRequest"], first["lastRequest"]) == (START, START + 5)
    assert first["quota"] == {"limit": 3, "remaining": 0, "reset": START + 60}
    assert (second["requests"], second["quota"]["remaining"]) == (0, 3)
    assert stats["unauthenticated"]["requestsByStatus"] == {"401": 1}


async def test_a_freeze_makes_the_truth_final(make_api: MakeApi) -> None:
    """After a freeze time goes on, but no session appears any more; `Date` and quota follow the clock."""
    api = make_api(late_share=0.5)
    before = (await api.truth())["organizations"]
    assert (await api.client.post("/_sim/freeze")).json() == {"frozenAt": START}
    api.clock.now += 1200
    assert (await api.truth())["organizations"] == before
    rows = [row for page in await api.walk_v7(window="2h") for row in page]
    assert len(rows) == len(before[0]["accountGroups"][0]["sessions"])
    assert (await api.get("/v7/account-groups")).headers["date"] == "Fri, 15 Jan 2027 08:20:00 GMT"
    assert (await api.client.post("/_sim/freeze")).json() == {"frozenAt": START}


async def test_the_clock_can_jump(api: Api) -> None:
    """By seconds or to a time; sessions of the time jumped over are there at once."""
    assert (await api.client.post("/_sim/clock", json={"advance_s": 3600})).json() == {"serverTime": START + 3600}
    assert (await api.tests(window="5m")).json()["results"]
    assert (await api.client.post("/_sim/clock", json={"server_time": START})).json() == {"serverTime": START}
    assert (await api.client.get("/_sim/clock")).json() == {"serverTime": START}
    assert (await api.client.post("/_sim/clock", json={"minutes": 1})).status_code == 400


async def test_faults_change_at_run_time(api: Api) -> None:
    """POST changes what it names, DELETE restores the start; ordered faults hit the next requests, one each, in
    order."""
    await api.faults(status_500=1.0)
    assert (await api.get("/v7/account-groups")).status_code == 500
    await api.client.delete("/_sim/faults")
    assert (await api.get("/v7/account-groups")).status_code == 200
    await api.faults(next=["429", "500", "502", "503", "error_in_200"])
    answers = [await api.get("/v7/account-groups") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [429, 500, 502, 503, 200, 200]
    assert answers[0].headers["x-organization-rate-limit-remaining"] == "0"
    assert answers[1].headers["content-type"].startswith("application/problem+json")
    assert answers[2].headers["content-type"].startswith("text/html")
    assert answers[3].headers["content-type"].startswith("text/plain")
    assert "x-organization-rate-limit-limit" in answers[1].headers
    assert "x-organization-rate-limit-limit" not in answers[2].headers
    assert "errorMessage" in answers[4].json()
    assert "accountGroups" in answers[5].json()


@pytest.mark.parametrize(
    "body", [{"bogus": 1}, {"status_500": 2}, {"status_500": 0.6, "dropped": 0.6}, {"next": ["teapot"]}, [], "x"]
)
async def test_wrong_faults_change_nothing(api: Api, body: object) -> None:
    """400 with a sentence, and the faults stay as they were."""
    answer = await api.client.post("/_sim/faults", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert (await api.get("/v7/account-groups")).status_code == 200


async def test_faults_are_seeded(make_api: MakeApi) -> None:
    """The same seed gives the same faults to the same sequence of requests, in about the share that was asked."""
    runs = []
    for _ in range(2):
        api = make_api(quota_limit=None, faults={"status_500": 0.2, "status_503": 0.1})
        runs.append([(await api.get("/v7/account-groups")).status_code for _ in range(200)])
    assert runs[0] == runs[1]
    assert 20 < runs[0].count(500) < 60
    assert 8 < runs[0].count(503) < 35


async def test_malformed_answers_are_complete_but_cut(api: Api) -> None:
    """Content-Length and body agree, the JSON does not end."""
    await api.faults(next=["malformed"])
    answer = await api.tests(window="5m")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        answer.json()


async def test_in_memory_a_dropped_connection_is_an_exception(api: Api) -> None:
    """Without a socket to close, the request raises; it has been counted all the same."""
    await api.faults(next=["dropped"])
    with pytest.raises(ConnectionBroken):
        await api.get("/v7/account-groups")
    [organization] = (await api.client.get("/_sim/stats")).json()["organizations"]
    assert organization["requestsByStatus"] == {"dropped": 1}
    assert organization["quota"]["remaining"] == 239


async def test_settings_are_shown_without_secrets(make_api: MakeApi) -> None:
    """Every switch, the organizations and the origin; no token or password of any organization."""
    api = make_api(organization_count=2)
    text = (await api.client.get("/_sim/settings")).text
    for secret in ("simulator-token", "simulator-oauth-token", "0123456789abcdef"):
        assert secret not in text
    shown = (await api.client.get("/_sim/settings")).json()
    assert shown["origin_epoch_s"] == START - 1800
    assert [each["first_aid"] for each in shown["organizations"]] == [7625, 8625]
