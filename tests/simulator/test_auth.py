"""Credentials, their two refusals, and the guard against guessing."""

import pytest

from tests.simulator.api import START, Api, MakeApi

pytestmark = pytest.mark.anyio
BASIC = ("collector@example.com", "0123456789abcdef0123456789abcdef")
NO_HEADER = {"errorMessage": "401 Not Authorized\nPlease ensure you are using the correct authentication token."}
BAD_TOKEN = {"error": "invalid_token", "error_description": "Invalid access token"}


async def test_v7_takes_bearer_tokens_only(api: Api) -> None:
    """Basic credentials that v6 takes are as good as none in v7."""
    assert (await api.client.get("/v6/account-groups", auth=BASIC)).status_code == 200
    refused = await api.client.get("/v7/account-groups", auth=BASIC)
    assert (refused.status_code, refused.json()) == (401, NO_HEADER)
    assert (await api.get("/v6/account-groups")).status_code == 200


@pytest.mark.parametrize("path", ["/v6/account-groups", "/v7/account-groups", "/v7/no-such-path"])
async def test_the_two_refusals_have_their_own_bodies(api: Api, path: str) -> None:
    """No header and a wrong token answer 401 with different bodies, on every path, without quota headers."""
    missing = await api.client.get(path)
    wrong = await api.client.get(path, headers={"Authorization": "Bearer wrong"})
    assert (missing.status_code, missing.json()) == (401, NO_HEADER)
    assert (wrong.status_code, wrong.json()) == (401, BAD_TOKEN)
    assert not any(name.startswith("x-organization") for answer in (missing, wrong) for name in answer.headers)


async def test_wrong_basic_credentials_are_refused(api: Api) -> None:
    """A wrong password, a wrong user and a value that is no base64 are 401; the user's case does not matter."""
    assert (await api.client.get("/v6/account-groups", auth=(BASIC[0].upper(), BASIC[1]))).status_code == 200
    for auth in ((BASIC[0], "x"), ("x@example.com", BASIC[1])):
        assert (await api.client.get("/v6/account-groups", auth=auth)).status_code == 401
    broken = await api.client.get("/v6/account-groups", headers={"Authorization": "Basic ???"})
    assert broken.status_code == 401


async def test_a_locked_account_is_401_with_correct_credentials(make_api: MakeApi) -> None:
    """The switch for a locked account refuses what is correct."""
    api = make_api(faults={"account_locked": True})
    assert (await api.get("/v7/account-groups")).status_code == 401


async def test_after_a_hundred_refusals_a_minute_the_address_is_answered_429(api: Api) -> None:
    """The 101st wrong request of a minute is 429 without quota headers, as are right ones; the next minute is clean."""
    statuses = [(await api.client.get("/v7/account-groups")).status_code for _ in range(101)]
    assert statuses == [401] * 100 + [429]
    correct = await api.get("/v7/account-groups")
    assert correct.status_code == 429
    assert "x-organization-rate-limit-reset" not in correct.headers
    api.clock.now = START + 60
    assert (await api.get("/v7/account-groups")).status_code == 200
