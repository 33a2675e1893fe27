"""Error answers: the shape of each case, and the switches that change it."""

import pytest

from tests.simulator.api import REAL_USER_TESTS, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio
PROBLEM = "application/problem+json;charset=UTF-8"


async def test_v7_not_found_is_empty(api: Api) -> None:
    """404 has no body; `.json` on a v7 path is 404 too."""
    for path in ("/v7/no-such-path", "/v7/account-groups.json", f"{REAL_USER_TESTS}/07625:1800000000:AAAAAAAA"):
        answer = await api.get(path)
        assert (answer.status_code, answer.content) == (404, b"")


async def test_v7_validation_is_a_problem(api: Api) -> None:
    """400 is problem+json and names the field."""
    answer = await api.tests(window="1x")
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    body = answer.json()
    assert body["type"] == "about:blank"
    assert body["status"] == 400
    assert body["instance"] == f"{REAL_USER_TESTS}/filter"
    assert body["errors"][0]["field"] == "window"


async def test_v7_bad_cursor_has_its_message_in_the_title(api: Api) -> None:
    """A cursor that the server did not issue: 400, title 'Failed to deserialize', no detail."""
    for path, method in ((f"{REAL_USER_TESTS}/filter", "POST"), ("/v7/endpoint/agents", "GET")):
        answer = await api.client.request(method, path, params={"cursor": "abc"}, headers=api.headers)
        assert answer.status_code == 400
        assert answer.json() == {
            "type": "about:blank",
            "title": "Failed to deserialize",
            "status": 400,
            "instance": path,
        }


async def test_v6_errors_are_messages(api: Api) -> None:
    """v6 errors are `{"errorMessage": ...}`."""
    answer = await api.get(V6_SESSIONS, to="2027-01-01T00:00:00")
    assert answer.status_code == 400
    assert list(answer.json()) == ["errorMessage"]


async def test_unknown_query_parameters_are_ignored(api: Api) -> None:
    """Both versions answer 200."""
    assert (await api.tests(nonsense="1", window="1m")).status_code == 200
    assert (await api.get(V6_SESSIONS, nonsense="1")).status_code == 200


async def test_bodies_that_are_no_json_are_refused(make_api: MakeApi) -> None:
    """Malformed JSON is 400, in v6 406 by a switch; another content type is 415; an array is no filter."""
    api = make_api(inferred={"v6_malformed_json_status": 406})
    headers = api.headers | {"Content-Type": "application/json"}
    assert (await api.client.post(f"{REAL_USER_TESTS}/filter", content="{", headers=headers)).status_code == 400
    assert (await api.client.post(V6_SESSIONS, content="{", headers=headers)).status_code == 406
    text = api.headers | {"Content-Type": "text/plain"}
    assert (await api.client.post(f"{REAL_USER_TESTS}/filter", content="{}", headers=text)).status_code == 415
    assert (await api.tests([1])).status_code == 400


async def test_the_wrong_method_is_405(api: Api) -> None:
    """A list that is read with POST is not read with GET."""
    assert (await api.get(f"{REAL_USER_TESTS}/pages/filter")).status_code == 405


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        ("problem", {"type", "title", "status", "instance", "detail", "errors"}),
        ("error_message", {"errorMessage"}),
        ("oauth", {"error", "error_description"}),
        ("legacy", {"timestamp", "httpStatus", "errors", "path"}),
    ],
)
async def test_every_json_shape_can_be_had_for_every_error(make_api: MakeApi, shape: str, keys: set[str]) -> None:
    """The switch gives one of the known shapes to all errors."""
    api = make_api(faults={"error_shape": shape})
    answer = await api.tests(window="1x")
    assert answer.status_code == 400
    assert set(answer.json()) == keys


async def test_the_legacy_shape_names_the_status(make_api: MakeApi) -> None:
    """`httpStatus` is a name, `timestamp` milliseconds of the server's clock."""
    body = (await make_api(faults={"error_shape": "legacy"}).tests(window="1x")).json()
    assert (body["httpStatus"], body["timestamp"]) == ("BAD_REQUEST", 1_800_000_000_000)


async def test_shapes_without_json_can_be_had_too(make_api: MakeApi) -> None:
    """Empty and HTML bodies; `random` shows several shapes."""
    assert (await make_api(faults={"error_shape": "empty"}).tests(window="1x")).content == b""
    html = await make_api(faults={"error_shape": "html"}).tests(window="1x")
    assert html.headers["content-type"].startswith("text/html")
    drawn = make_api(faults={"error_shape": "random"})
    assert len({(await drawn.tests(window="1x")).headers.get("content-type") for _ in range(40)}) >= 3


@pytest.mark.parametrize("status", [301, 404, 410])
async def test_v6_can_be_gone(make_api: MakeApi, status: int) -> None:
    """With v6 switched off every v6 path answers the chosen status to authenticated callers; v7 goes on."""
    api = make_api(faults={"v6_gone": status})
    answer = await api.get(f"{V6_SESSIONS}.json", window="5m")
    assert answer.status_code == status
    assert answer.headers["x-organization-rate-limit-remaining"] == "239"
    assert ("location" in answer.headers) == (status == 301)
    assert (await api.client.get(f"{V6_SESSIONS}.json")).status_code == 401
    assert (await api.get("/v7/account-groups")).status_code == 200


async def test_v6_can_be_left_out(make_api: MakeApi) -> None:
    """Without v6 its paths do not exist."""
    assert (await make_api(v6_enabled=False).get(V6_SESSIONS)).status_code == 404
