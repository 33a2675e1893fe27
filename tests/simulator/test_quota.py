"""The request quota: who shares it, how its window runs, and what its headers say."""

import pytest

from tests.simulator.api import START, Api, MakeApi

pytestmark = pytest.mark.anyio


def headers_of(answer: object) -> tuple[int, int, int]:
    """Limit, remaining, reset."""
    names = ("limit", "remaining", "reset")
    limit, remaining, reset = (int(answer.headers[f"x-organization-rate-limit-{name}"]) for name in names)  # type: ignore[attr-defined]
    return limit, remaining, reset


async def test_the_quota_is_the_organizations(make_api: MakeApi) -> None:
    """v6, v7, every account group and every token spend one count; the window ends with the UTC minute."""
    api = make_api(quota_limit=4)
    api.clock.now = START + 20
    basic = ("collector@example.com", "0123456789abcdef0123456789abcdef")
    assert headers_of(await api.get("/v7/account-groups")) == (4, 3, int(START) + 60)
    assert headers_of(await api.tests(aid="7626")) == (4, 2, int(START) + 60)
    assert headers_of(await api.client.get("/v6/account-groups", auth=basic)) == (4, 1, int(START) + 60)
    assert headers_of(await api.get("/v7/no-such-path")) == (4, 0, int(START) + 60)
    refused = await api.get("/v7/account-groups")
    assert refused.status_code == 429
    assert headers_of(refused) == (4, 0, int(START) + 60)
    assert "retry-after" not in refused.headers
    assert refused.headers["content-type"] == "application/problem+json;charset=UTF-8"
    assert refused.json()["status"] == 429
    api.clock.now = START + 60
    assert headers_of(await api.get("/v7/account-groups")) == (4, 3, int(START) + 120)


async def test_two_organizations_have_two_quotas(make_api: MakeApi) -> None:
    """Spending one organization's quota leaves another's alone."""
    api = make_api(quota_limit=1, organization_count=2)
    await api.get("/v7/account-groups")
    assert (await api.get("/v7/account-groups")).status_code == 429
    api.headers["Authorization"] = "Bearer simulator-token-2"
    assert (await api.get("/v7/account-groups")).status_code == 200


async def test_an_oauth_client_has_a_bucket_of_its_own(make_api: MakeApi) -> None:
    """Requests with the OAuth client's token do not spend the organization's quota."""
    api = make_api(quota_limit=2)
    oauth = {"Authorization": "Bearer simulator-oauth-token"}
    assert headers_of(await api.client.get("/v7/account-groups", headers=oauth))[1] == 1
    assert headers_of(await api.client.get("/v7/account-groups", headers=oauth))[1] == 0
    assert (await api.client.get("/v7/account-groups", headers=oauth)).status_code == 429
    assert headers_of(await api.get("/v7/account-groups"))[1] == 1


@pytest.mark.parametrize("limit", [600, 970, 240])
async def test_the_limit_is_a_setting(make_api: MakeApi, limit: int) -> None:
    """Organizations have other limits than 240."""
    assert headers_of(await make_api(quota_limit=limit).get("/v7/account-groups"))[:2] == (limit, limit - 1)


async def test_a_limit_of_zero_refuses_everything(make_api: MakeApi) -> None:
    """An organization with a limit of 0, as new ones once had, is always answered 429."""
    refused = await make_api(quota_limit=0).get("/v7/account-groups")
    assert refused.status_code == 429
    assert headers_of(refused)[:2] == (0, 0)


async def test_unlimited_still_sends_headers(make_api: MakeApi) -> None:
    """Without a limit nothing is refused, and the headers promise plenty."""
    api = make_api(quota_limit=None)
    answers = [await api.get("/v7/account-groups") for _ in range(300)]
    assert {answer.status_code for answer in answers} == {200}
    assert headers_of(answers[-1])[1] > 100_000


async def test_a_rolling_window_starts_with_the_first_request(make_api: MakeApi) -> None:
    """The other reading of the documentation: a minute from the first request of a batch."""
    api = make_api(quota_limit=2, inferred={"quota_window": "rolling"})
    api.clock.now = START + 50
    assert headers_of(await api.get("/v7/account-groups")) == (2, 1, int(START) + 110)
    api.clock.now = START + 109
    assert headers_of(await api.get("/v7/account-groups")) == (2, 0, int(START) + 110)
    assert (await api.get("/v7/account-groups")).status_code == 429
    api.clock.now = START + 111
    assert headers_of(await api.get("/v7/account-groups")) == (2, 1, int(START) + 171)


async def test_others_spend_part_of_the_quota(make_api: MakeApi) -> None:
    """What other tenants spend grows over the window, is the same for the same seed, and is not the OAuth client's."""
    seen = []
    for _ in range(2):
        api = make_api(quota_limit=240, other_tenants_per_minute=100.0)
        api.clock.now = START
        at_start = headers_of(await api.get("/v7/account-groups"))[1]
        api.clock.now = START + 59
        seen.append((at_start, headers_of(await api.get("/v7/account-groups"))[1]))
    assert seen[0] == seen[1]
    assert seen[0][0] == 239
    assert 110 < seen[0][1] < 170
    oauth = {"Authorization": "Bearer simulator-oauth-token"}
    assert headers_of(await api.client.get("/v7/account-groups", headers=oauth))[1] == 239


@pytest.mark.parametrize(("counts", "remaining"), [(False, 1), (True, 0)])
async def test_whether_refused_requests_count_is_a_switch(make_api: MakeApi, counts: bool, remaining: int) -> None:
    """Others' spending makes the first requests refused; raising the limit then shows what they cost."""
    api = make_api(quota_limit=0, inferred={"refused_requests_count": counts})
    await api.get("/v7/account-groups")
    api.world.organizations[0].quota.limit = 2
    assert headers_of(await api.get("/v7/account-groups"))[1] == remaining


async def test_status_and_control_endpoints_are_free(api: Api) -> None:
    """`/v6/status` and everything under `/_sim/` spend nothing and carry no quota headers."""
    for path in ("/v6/status", "/v6/status.json", "/_sim/stats", "/_sim/truth"):
        answer = await api.client.get(path)
        assert answer.status_code == 200
        assert "x-organization-rate-limit-limit" not in answer.headers
    assert headers_of(await api.get("/v7/account-groups"))[1] == 239


async def test_headers_follow_the_servers_clock(make_api: MakeApi) -> None:
    """With a clock that is 90 s ahead of the machine, `Date` and Reset agree with each other, not with the machine."""
    answer = await make_api(clock_offset_s=90.0).get("/v7/account-groups")
    assert answer.headers["date"] == "Fri, 15 Jan 2027 08:01:30 GMT"
    assert headers_of(answer)[2] == int(START) + 120
