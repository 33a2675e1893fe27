"""JSON pages: their rows, the bytes of their rows, and rows that cannot be read."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.sources.thousandeyes.json_page import read_json_page
from collector.sources.thousandeyes.page_content import NotAPage
from collector.sources.thousandeyes.row_slices import NotAnObject, row_slices
from collector.sources.thousandeyes.v7 import PAGE_FORM

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
layouts = st.sampled_from([None, 0, 1, "\t", "\r\n "])


@given(
    st.lists(json_values, max_size=6),
    st.dictionaries(texts.filter(lambda name: name not in ("results", "_links")), json_values, max_size=3),
    st.booleans(),
    st.booleans(),
    layouts,
)
def test_slices_are_the_rows(
    rows: list[Any], others: dict[str, Any], rows_first: bool, ascii_only: bool, indent: int | str | None
) -> None:
    """The bytes of each row decode to the row, wherever the array stands and however the page is written."""
    document = {"results": rows} | others if rows_first else others | {"results": rows}
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    found, slices = row_slices(body, "results")
    assert slices is not None
    assert [orjson.loads(body[start:end]) for start, end in slices] == orjson.loads(body)["results"]
    assert {name: orjson.loads(value) for name, value in found.items()} == {
        name: value for name, value in orjson.loads(body).items() if name != "results"
    }


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",: \\resultu0127', max_size=60).map(str.encode))
def test_any_bytes_are_a_page_or_none(body: bytes) -> None:
    """Whatever a body holds, it is a page or the documented error, and every row has its bytes."""
    try:
        page = read_json_page(body, PAGE_FORM)
    except NotAPage:
        return
    for index in range(len(page.rows)):
        assert page.source_bytes(index)


@pytest.mark.parametrize(
    "bad_row",
    [
        b'{"visitedSite":"\\ud800"}',
        b'{"visitedSite":"\xff\xfe"}',
        b'{"visitedSite":"tab\there"}',
        b'{"experienceScore":NaN}',
        b'{"port":1e999}',
        b"[-Infinity]",
    ],
)
def test_broken_row_costs_only_itself(bad_row: bytes) -> None:
    """A row that no decoder takes is no object, keeps its bytes, and leaves its neighbours and the next link alone."""
    body = b'{"results": [{"id":"a"}, ' + bad_row + b', {"id":"b"}], "_links": {"next": {"href": "/x"}}}'
    page = read_json_page(body, PAGE_FORM)
    assert (page.rows[0], page.rows[2]) == ({"id": "a"}, {"id": "b"})
    assert isinstance(page.rows[1], str)
    assert page.source_bytes(1) == bad_row
    assert page.source_bytes(2) == b'{"id":"b"}'
    assert page.link == "/x"


@pytest.mark.parametrize(
    "body",
    [
        b'{"results":[{"a":"\\ud800"}',
        b'{"results":[{"a":"\\ud800"}]} x',
        b'{"results":[{"a":"\\ud800"},]}',
        b'{"results":[{"a":"\\ud800"}],}',
        b'{"results":[{"a":"\\ud800"}] "b":1}',
        b'{"results":[1],"_links":{"next":"\\ud800"}}',
        b'{"results":[{"id":}]}',
        b'{"results":[{"id":1,}]}',
        b'{"results":[{"id":[}]}]}',
        b'{"results":[1 2]}',
        b'{"results":[nul]}',
        b'{"results":"\\ud800"}',
        b'{7:"\\ud800","results":[1]}',
        b'{"results":[{"a":"\\ud800"}],"results":null}',
    ],
)
def test_broken_page_is_no_page(body: bytes) -> None:
    """Rows are saved only from a page whose structure is whole and whose links can be read."""
    with pytest.raises(NotAPage, match="no JSON"):
        read_json_page(body, PAGE_FORM)


def test_rows_that_are_no_objects_stay_what_they_are() -> None:
    """Elements that are no objects are rows all the same; what they are is for the schema to say."""
    body = b'{"results":[null, "text", 7, [1], {"id":"a"}]}'
    page = read_json_page(body, PAGE_FORM)
    assert page.rows == [None, "text", 7, [1], {"id": "a"}]
    assert [page.source_bytes(index) for index in range(5)] == [b"null", b'"text"', b"7", b"[1]", b'{"id":"a"}']


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_deeply_nested_row_keeps_its_bytes(depth: int) -> None:
    """A row nested more deeply than Python recurses keeps its bytes, and costs only itself."""
    row = b"[" * depth + b"]" * depth
    page = read_json_page(b'{"results":[ ' + row + b', {"id":"b"}]}', PAGE_FORM)
    assert page.rows[1] == {"id": "b"}
    assert [page.source_bytes(0), page.source_bytes(1)] == [row, b'{"id":"b"}']


def test_later_of_two_arrays_counts() -> None:
    """Of two fields of one name the later one counts, for rows and for bytes."""
    page = read_json_page(b'{"results":[1],"results":[2,3]}', PAGE_FORM)
    assert (page.rows, page.source_bytes(1)) == ([2, 3], b"3")


def test_numbers_of_any_length_are_sliced() -> None:
    """A number of more digits than Python converts does not stop the slicing."""
    digits = b"7" * 10_000
    page = read_json_page(b'{"results":[{"n":0.' + digits + b'},{"s":"\\ud800"},{"n":' + digits + b"}]}", PAGE_FORM)
    assert page.source_bytes(2) == b'{"n":' + digits + b"}"


def test_slicer_refuses_what_is_no_object() -> None:
    """Only an object can hold rows."""
    for body in (b"", b"[]", b"7", b"{", b'{"a"}', b'{"a":}', b'{"results":[}', b'{"results":['):
        with pytest.raises(NotAnObject):
            row_slices(body, "results")
    assert row_slices(b" {} ", "results") == ({}, None)
