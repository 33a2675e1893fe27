"""ThousandEyes' own Python SDK reads the simulator through its own models."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import anyio
import anyio.from_thread
import pytest
from thousandeyes_sdk.administrative.api.account_groups_api import AccountGroupsApi
from thousandeyes_sdk.core.api_client import ApiClient
from thousandeyes_sdk.core.configuration import Configuration
from thousandeyes_sdk.core.exceptions import ApiException
from thousandeyes_sdk.endpoint_test_results.api.real_user_endpoint_test_results_api import (
    RealUserEndpointTestResultsApi,
)
from thousandeyes_sdk.endpoint_test_results.models.real_user_endpoint_test_results_request import (
    RealUserEndpointTestResultsRequest,
)

from collector.simulator.server import serve
from collector.simulator.settings import SimulatorSettings

SETTINGS = SimulatorSettings(page_size=500, optional_absent_share=0.2, late_share=0.1, quota_limit=None)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A simulator on a real socket, in a thread of its own, because the SDK blocks."""
    with anyio.from_thread.start_blocking_portal() as portal:

        async def run(*, task_status: anyio.abc.TaskStatus[int]) -> None:
            await serve(SETTINGS, ready=task_status.started, quiet=True, handle_signals=False)

        future, port = portal.start_task(run)
        yield f"http://127.0.0.1:{port}/v7"
        future.cancel()


@pytest.fixture
def client(base_url: str) -> ApiClient:
    """The SDK's client with the right token."""
    return ApiClient(Configuration(host=base_url, access_token=SETTINGS.token))


@pytest.fixture
def results(client: ApiClient) -> Any:
    """The SDK's results API; untyped, because every field of its models is optional."""
    return RealUserEndpointTestResultsApi(client)


def test_account_groups(client: ApiClient) -> None:
    """The account groups arrive in the SDK's model."""
    groups = AccountGroupsApi(client).get_account_groups().account_groups or []
    assert [group.aid for group in groups] == ["7625", "7626", "7627"]
    assert [group.is_default_account_group for group in groups] == [True, False, False]


def test_sessions_through_the_sdks_own_pager(results: Any) -> None:
    """The SDK's pager walks several pages; every row fits its strict model, and none comes twice."""
    rows = list(results.filter_real_user_tests_results_paginated(aid="7625", window="1h"))
    assert len(rows) > 3 * SETTINGS.page_size
    assert len({row.id for row in rows}) == len(rows)
    assert all(row.committed >= row.var_date for row in rows)
    assert [row.var_date for row in rows] == sorted(row.var_date for row in rows)


def test_the_sdks_dates_and_filters_are_understood(results: Any) -> None:
    """A range of datetimes in the SDK's own format and its filter model select what they say."""
    everything = list(results.filter_real_user_tests_results_paginated(aid="7626", window="1h"))
    chosen = everything[10].var_date
    exact = results.filter_real_user_tests_results(aid="7626", start_date=chosen, end_date=chosen)
    assert {row.id for row in exact.results} >= {row.id for row in everything if row.var_date == chosen}
    assert (exact.start_date, exact.end_date) == (chosen, chosen)
    request = RealUserEndpointTestResultsRequest.from_dict({"searchFilters": {"agentId": [everything[10].agent_id]}})
    filtered = results.filter_real_user_tests_results(
        aid="7626", window="1h", real_user_endpoint_test_results_request=request
    )
    assert {row.agent_id for row in filtered.results} == {everything[10].agent_id}


def test_details_pages_and_networks(results: Any) -> None:
    """Detail, HAR, visited pages and networks fit the SDK's models."""
    rows = results.filter_real_user_tests_results(aid="7627", window="1h").results
    for row in rows[:50]:
        [detail] = results.get_real_user_test_results(id=row.id, aid="7627").results
        assert (detail.id, detail.agent_id) == (row.id, row.agent_id)
        assert len(detail.pages) == row.number_of_pages
        assert detail.network.network_profile.hardware_type is not None
    har = results.get_real_user_test_page_results(id=detail.id, page_id=detail.pages[0].page_id, aid="7627").har
    assert har["log"]["version"] == "1.2"
    # The simulator's clock runs on between the requests: in a fixed range sessions are only added, by late commits.
    newest = max(row.var_date for row in rows)
    fixed = {"aid": "7627", "start_date": newest - timedelta(minutes=10), "end_date": newest}
    visited_pages = results.filter_real_user_tests_visited_pages_results_paginated
    before = {page.id for page in visited_pages(**fixed)}
    networks = {network.id for network in results.filter_real_user_tests_network_results_paginated(**fixed)}
    after = {page.id for page in visited_pages(**fixed)}
    assert set() < before <= networks <= after


@pytest.mark.parametrize(("aid", "status"), [("1", 403), ("7625", 404)])
def test_errors_reach_the_sdk(results: Any, aid: str, status: int) -> None:
    """A foreign account group is 403 and an unknown session 404 for the SDK too."""
    with pytest.raises(ApiException) as caught:
        results.get_real_user_test_results(id="07625:1:AAAAAAAA", aid=aid)
    assert caught.value.status == status
