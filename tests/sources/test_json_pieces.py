"""Decoding a page some rows at a time gives what decoding it whole gives, whatever the body."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.sources.thousandeyes import json_pieces
from collector.sources.thousandeyes.json_pieces import decode

TRAPS = ['},{"', "},{", "}]", '"results":[', '"', "\\", "}", "]", "é", "{}"]
texts = st.lists(st.sampled_from(TRAPS), max_size=4).map("".join)
json_values = st.recursive(
    st.none() | st.integers(0, 99) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
rows = st.lists(st.dictionaries(texts, json_values, max_size=3) | json_values, max_size=12)
documents = st.dictionaries(st.sampled_from(["results", "_links", "a"]), rows | json_values, max_size=3)


def whole(body: bytes) -> Any:
    """What a body says; None for one that says nothing."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def in_pieces(body: bytes, piece_bytes: int = 1) -> Any:
    """The same, decoded in pieces."""
    try:
        return decode(body, "results", piece_bytes=piece_bytes)
    except orjson.JSONDecodeError:
        return None


@given(documents, st.integers(1, 40), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_a_page_says_the_same_in_pieces(document: dict[str, Any], piece_bytes: int, separators: Any) -> None:
    """Wherever the cuts fall: between rows, in texts that look like a cut, in arrays within a row."""
    body = json.dumps(document, separators=separators, ensure_ascii=False).encode()
    assert in_pieces(body, piece_bytes) == document


@given(st.lists(st.sampled_from([*TRAPS, '"results":[{', '{"results":[{', '{"a":', "1", ",", ":", "[", "{"])))
@example(['{"a":{', '"results":[{', '"', '"', ":1}]},", '"results":[{', '"', '"', ":2}]}"])
@example(['{"results":[{', "},{", "}]", ',"results":[', "]}"])
@example(['{"results":[{', "}", "]", ',"a":[{', "}]}"])
@example(['{"results":[{', "}", "]", ",", "[", "{}", "]}"])
def test_any_bytes_say_the_same_in_pieces(parts: list[str]) -> None:
    """Bodies that are nearly pages, and those that are none."""
    body = "".join(parts).encode()
    assert in_pieces(body) == whole(body)


@pytest.mark.parametrize("depth", range(1_015, 1_030))
def test_a_row_may_be_as_deep_as_in_the_whole_body(depth: int) -> None:
    """The decoder's limit is the body's: a row that is too deep for it is too deep in a piece."""
    body = b'{"results":[{},{"a":' + b"[" * depth + b"]" * depth + b"},{}]}"
    assert (in_pieces(body) is None) == (whole(body) is None)


def test_most_of_a_page_is_never_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A usual page, which is what the memory is saved for: nothing larger than two pieces goes to the decoder."""
    body = orjson.dumps({"results": [{"id": f"{n:08}", "site": "x" * 300} for n in range(1_000)], "_links": {}})
    sizes: list[int] = []

    class Decoder:
        JSONDecodeError = orjson.JSONDecodeError

        @staticmethod
        def loads(text: bytes) -> Any:
            sizes.append(len(text))
            return orjson.loads(text)

    monkeypatch.setattr(json_pieces, "orjson", Decoder)
    assert decode(body, "results") == orjson.loads(body)
    assert max(sizes) < 2 * json_pieces.PIECE_BYTES
