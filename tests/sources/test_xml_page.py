"""XML pages of v6: their rows, numbers, bytes, and what is refused."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.sources.thousandeyes.page_content import NotAPage
from collector.sources.thousandeyes.v6 import PAGE_FORM
from collector.sources.thousandeyes.xml_page import read_xml_page

ROW = b"<userSessions><userSessionId>a</userSessionId><port>80</port></userSessions>"

BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol2 "&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;">]>
<list><userSessions><visitedSite>&lol2;</visitedSite></userSessions></list>"""


@pytest.mark.parametrize(
    "body",
    [
        b"<list>" + ROW + ROW + b"<pages><current>1</current></pages></list>",
        b"<list><userSessions>" + ROW.replace(b"userSessions", b"userSession") * 2 + b"</userSessions></list>",
        b"<list>" + ROW.replace(b"userSessions", b"userSession") * 2 + b"</list>",
        b"<list xmlns='urn:te'>" + ROW + ROW + b"</list>",
        b"<?xml version='1.0' encoding='utf-8'?>\n<!-- x --><list>\n  " + ROW + b"\n" + ROW + b"\n</list>\n",
    ],
)
def test_rows_are_found_wherever_they_stand(body: bytes) -> None:
    """Rows may be wrapped or not, named in the singular or in the plural, in a namespace or in none."""
    page = read_xml_page(body, PAGE_FORM)
    assert page.rows == [{"userSessionId": "a", "port": 80}] * 2
    for index in range(2):
        source = page.source_bytes(index)
        assert source.startswith(b"<userSession")
        assert source.endswith((b"</userSession>", b"</userSessions>"))
        assert source.count(b"<userSessionId>") == 1


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("roundId", "1490529480", 1490529480),
        ("port", " 443 ", 443),
        ("port", "443.0", 443.0),
        ("experienceScore", "0.87", 0.87),
        ("experienceScore", "8.7e-1", 0.87),
        ("numberOfPages", "-1", -1),
        ("roundId", "last round", "last round"),
        ("port", "0x50", "0x50"),
        ("port", "1_000", "1_000"),
        ("experienceScore", "NaN", "NaN"),
        ("experienceScore", "1e999", "1e999"),
        ("roundId", "9" * 30, "9" * 30),
        ("pageId", "12345", "12345"),
        ("userSessionId", "007", "007"),
    ],
)
def test_numbers(name: str, text: str, expected: object) -> None:
    """Fields that are numbers in JSON are numbers here when they parse, and stay texts when not."""
    page = read_xml_page(f"<l><userSession><{name}>{text}</{name}></userSession></l>".encode(), PAGE_FORM)
    assert page.rows == [{name: expected}]
    assert type(page.rows[0][name]) is type(expected)


def test_structure_inside_rows_is_kept() -> None:
    """Unknown fields, nested and repeated ones, are kept; an empty number is no number."""
    body = b"<l><userSession><new><a>1</a><b/></new><tag>x</tag><tag>y</tag><tag>z</tag><port/></userSession></l>"
    assert read_xml_page(body, PAGE_FORM).rows == [{"new": {"a": "1", "b": ""}, "tag": ["x", "y", "z"]}]


def test_row_without_fields_is_a_text() -> None:
    """A row that holds a text only is no object, and keeps its bytes."""
    page = read_xml_page(b"<l><userSessions>odd</userSessions>" + ROW + b"</l>", PAGE_FORM)
    assert page.rows[0] == "odd"
    assert page.source_bytes(0) == b"<userSessions>odd</userSessions>"


@pytest.mark.parametrize("body", [b"<l/>", b"<l><userSessions/></l>", b"<l><pages><current>1</current></pages></l>"])
def test_page_without_rows(body: bytes) -> None:
    """A page may have no rows."""
    page = read_xml_page(body, PAGE_FORM)
    assert (list(page.rows), page.link) == ([], None)


@given(st.lists(st.text(st.characters(categories=["L", "N", "S", "P"]), min_size=1), min_size=1, max_size=5))
def test_source_bytes_are_the_rows(sites: list[str]) -> None:
    """The bytes of each row, alone, give the row."""
    rows = "".join(f"<userSession><visitedSite>{escape(site)}</visitedSite></userSession>\n" for site in sites)
    page = read_xml_page(f"<l>{rows}</l>".encode(), PAGE_FORM)
    assert page.rows == [{"visitedSite": site} for site in sites]
    for index in range(len(sites)):
        assert read_xml_page(b"<l>" + page.source_bytes(index) + b"</l>", PAGE_FORM).rows == [page.rows[index]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BILLION_LAUGHS, "for safety: DTDForbidden"),
        (b"<!DOCTYPE l SYSTEM 'file:///etc/passwd'><l/>", "for safety"),
        (b"<l><userSession>", "no XML"),
        (b"", "no XML"),
        (b'{"userSessions":[]}', "no XML"),
        (b"<?xml version='1.0' encoding='no-such'?><l/>", "no XML"),
        (b"<error>it failed</error>", "it failed"),
        (b"<l><errorMessage>it failed</errorMessage></l>", "it failed"),
        (b"<html><head/><body><p>x</p></body></html>", "no field of a page"),
        (b"<l>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</l>", "no XML"),
        (b"<l>" + ROW + b"<pages><next><x>1</x></next></pages></l>", "next link"),
    ],
)
def test_what_is_no_page(body: bytes, message: str) -> None:
    """Entities, broken XML, errors and other documents are no pages."""
    with pytest.raises(NotAPage, match=message):
        read_xml_page(body, PAGE_FORM)
