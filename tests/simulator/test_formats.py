"""Content types, v6 output formats, cosmetic headers."""

import pytest
from defusedxml import ElementTree

from tests.simulator.api import REAL_USER_TESTS, V6_SESSIONS, Api, MakeApi

pytestmark = pytest.mark.anyio
HAL = "application/hal+json;charset=UTF-8"


async def test_v7_content_types(make_api: MakeApi) -> None:
    """GET answers hal+json; filter POSTs answer application/json, hal+json by a switch; one page has empty `_links`."""
    api = make_api()
    assert (await api.get("/v7/account-groups")).headers["content-type"] == HAL
    answer = await api.tests(window="1m")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["_links"] == {}
    switched = make_api(inferred={"filter_content_type": HAL})
    assert (await switched.tests(window="1m")).headers["content-type"] == HAL


@pytest.mark.parametrize(
    ("suffix", "accept", "format_", "expected"),
    [
        ("", None, None, "json"),
        ("", "*/*", None, "json"),
        ("", "*/*", "xml", "xml"),
        ("", "application/json", "xml", "json"),
        ("", "text/xml", "json", "xml"),
        (".json", "text/xml", "xml", "json"),
        (".xml", "application/json", "json", "xml"),
    ],
)
async def test_v6_format_precedence(
    api: Api, suffix: str, accept: str | None, format_: str | None, expected: str
) -> None:
    """Suffix before Accept before `format`; JSON without a hint."""
    headers = api.headers | ({"Accept": accept} if accept else {})
    params = {"format": format_} if format_ else None
    answer = await api.client.get(f"/v6/account-groups{suffix}", headers=headers, params=params)
    assert answer.headers["content-type"].startswith("application/json" if expected == "json" else "text/xml")


async def test_v6_refuses_formats_it_does_not_have(api: Api) -> None:
    """Accept with nothing known: 406."""
    answer = await api.client.get("/v6/account-groups", headers=api.headers | {"Accept": "text/csv"})
    assert answer.status_code == 406


async def test_v6_xml_has_the_rows_as_elements(make_api: MakeApi) -> None:
    """The inferred shape: one `userSessions` element a row, its fields as children, `pages` with `current` and
    `next`."""
    api = make_api(page_size=70)
    json_body = (await api.get(f"{V6_SESSIONS}.json", window="5m")).json()
    root = ElementTree.fromstring((await api.get(f"{V6_SESSIONS}.xml", window="5m")).content)
    assert root.tag == "userSessionsResponse"
    rows = [{child.tag: child.text for child in row} for row in root.findall("userSessions")]
    assert rows == [{name: str(value) for name, value in row.items()} for row in json_body["userSessions"]]
    assert root.findtext("pages/current") == "1"
    assert root.findtext("pages/next") == json_body["pages"]["next"].replace(".json", ".xml")
    assert root.findtext("from") == json_body["from"]


async def test_v6_xml_shows_bad_rows_too(make_api: MakeApi) -> None:
    """Rows that are no objects become elements with text; the document stays well-formed."""
    api = make_api(bad_share=1.0, page_size=100_000)
    root = ElementTree.fromstring((await api.get(f"{V6_SESSIONS}.xml", window="5m")).content)
    assert len(root.findall("userSessions")) > 100


async def test_status_is_milliseconds(api: Api) -> None:
    """`/v6/status` needs no credentials."""
    assert (await api.client.get("/v6/status.json")).json() == {"timestamp": 1_800_000_000_000}
    assert (
        ElementTree.fromstring((await api.client.get("/v6/status.xml")).content).findtext("timestamp")
        == "1800000000000"
    )


async def test_cosmetic_headers(api: Api) -> None:
    """Server, cache control and instance name are those of the published samples."""
    headers = (await api.get("/v7/account-groups")).headers
    assert (headers["server"], headers["cache-control"], headers["x-server-name"]) == ("nginx", "no-store", "1-3")


async def test_content_types_can_vary(make_api: MakeApi) -> None:
    """By a switch answers are labelled with other types than documented; their bodies stay the same."""
    api = make_api(faults={"content_type_variant": 1.0})
    answers = [await api.post(f"{REAL_USER_TESTS}/filter", window="1m") for _ in range(30)]
    assert len({answer.headers["content-type"] for answer in answers}) >= 3
    assert len({answer.content for answer in answers}) == 1
