"""Account groups: how they are listed, and what `aid` does."""

import pytest

from collector.simulator.settings import OrganizationSettings, SimulatorSettings
from tests.simulator.api import Api, MakeApi

pytestmark = pytest.mark.anyio


async def test_v7_shows_strings_and_booleans(api: Api) -> None:
    """v7 ids are strings, flags booleans; the default group is also the current one when no aid is given."""
    answer = (await api.get("/v7/account-groups")).json()
    assert [group["aid"] for group in answer["accountGroups"]] == ["7625", "7626", "7627"]
    first, second = answer["accountGroups"][:2]
    assert (first["isDefaultAccountGroup"], first["isCurrentAccountGroup"]) == (True, True)
    assert (second["isDefaultAccountGroup"], second["isCurrentAccountGroup"]) == (False, False)
    assert answer["_links"]["self"]["href"] == "http://simulator/v7/account-groups"


async def test_v6_shows_integers_and_flags(api: Api) -> None:
    """v6 ids are integers, flags 0 or 1; `current` follows the aid of the request, `default` does not."""
    groups = (await api.get("/v6/account-groups.json", aid=7626)).json()["accountGroups"]
    assert [(group["aid"], group["default"], group["current"]) for group in groups] == [
        (7625, 1, 0),
        (7626, 0, 1),
        (7627, 0, 0),
    ]


async def test_without_aid_the_default_group_answers_silently(api: Api) -> None:
    """A request without aid gets the default group's sessions, with nothing to show for it."""
    default, named = (await api.tests(window="10m")).json(), (await api.tests(window="10m", aid="7625")).json()
    assert default["results"] == named["results"] != []
    other = (await api.tests(window="10m", aid="7626")).json()["results"]
    assert other
    assert all(row["id"].startswith("07626:") for row in other)


@pytest.mark.parametrize("aid", ["9999", "abc", "-1", "9" * 40])
async def test_a_foreign_aid_is_refused(make_api: MakeApi, aid: str) -> None:
    """An aid that is not the caller's is 403 in v7 and 400 in v6; both are switches."""
    api = make_api()
    assert (await api.tests(aid=aid)).status_code == 403
    assert (await api.get("/v6/endpoint-data/user-sessions", aid=aid)).status_code == 400
    switched = make_api(inferred={"v6_foreign_aid_status": 403, "v7_foreign_aid_status": 404})
    assert (await switched.tests(aid=aid)).status_code == 404
    assert (await switched.get("/v6/endpoint-data/user-sessions", aid=aid)).status_code == 403


async def test_a_forbidden_account_group_does_not_stop_the_others(make_api: MakeApi) -> None:
    """Set to forbidden, one account group answers 403 in both versions, and only that one."""
    api = make_api(faults={"forbidden_aids": [7626]})
    assert (await api.tests(aid="7626")).status_code == 403
    assert (await api.get("/v6/endpoint-data/user-sessions.json", aid=7626)).status_code == 403
    assert (await api.tests(aid="7627")).status_code == 200


async def test_organizations_see_only_their_own(make_api: MakeApi) -> None:
    """Each organization's token lists its own account groups and is refused another's."""
    api = make_api(organization_count=2)
    api.headers["Authorization"] = "Bearer simulator-token-2"
    answer = (await api.get("/v7/account-groups")).json()
    assert [group["aid"] for group in answer["accountGroups"]] == ["8625", "8626", "8627"]
    assert {group["organizationName"] for group in answer["accountGroups"]} == {"Example Organization 2"}
    assert (await api.tests(aid="7625")).status_code == 403


def test_overlapping_organizations_are_no_settings() -> None:
    """Account group ids and tokens are unique over all organizations."""
    with pytest.raises(ValueError, match="overlap"):
        SimulatorSettings(organizations=(OrganizationSettings(), OrganizationSettings(token="b", oauth_token="c")))
    with pytest.raises(ValueError, match="used twice"):
        SimulatorSettings(organizations=(OrganizationSettings(), OrganizationSettings(first_aid=1)))
