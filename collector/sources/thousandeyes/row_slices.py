"""Finds where the rows of a JSON page stand in its bytes.

Rule: it looks at strings and brackets only, without recursion and in one pass; whether what is inside a row is JSON, it
does not know. For JSON the result is exact. Slow (milliseconds a page): for pages with a bad row.
"""

from __future__ import annotations

import re

import orjson

Slice = tuple[int, int]
Parts = tuple[dict[str, bytes], list[Slice] | None]

# Possessive everywhere: each byte is looked at once, whatever the body.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = re.compile(rb"[ \t\n\r]*+")
_SCALAR = re.compile(_STRING + rb'|[^ \t\n\r,:\[\]{}"]++', flags=re.DOTALL)
_UP_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", flags=re.DOTALL)


class NotAnObject(Exception):
    """The bytes are no JSON object."""


def row_slices(body: bytes, rows_key: str) -> Parts:
    """Takes a page apart without reading its rows.

    Args:
        body: of an answer.
        rows_key: field that holds the array of rows.

    Returns:
        The bytes of every other field, and start and end of every row; None when there is no such array. Of two
        fields of one name the later one counts.

    Raises:
        NotAnObject: the body is no JSON object.
    """
    others: dict[str, bytes] = {}
    rows: list[Slice] | None = None
    position = _after(body, _past_space(body, 0), b"{")
    while body[position : position + 1] != b"}":
        key, position = _key(body, position)
        if key == rows_key and body[position : position + 1] == b"[":
            rows, end = _elements(body, position)
        else:
            end = _value_end(body, position)
            others[key] = body[position:end]
            rows = None if key == rows_key else rows
        position = _past_space(body, end)
        if body[position : position + 1] != b"}":
            position = _after(body, position, b",")
            if body[position : position + 1] == b"}":  # a comma and then nothing
                raise NotAnObject
    if _past_space(body, position + 1) != len(body):
        raise NotAnObject
    return others, rows


def _key(body: bytes, position: int) -> tuple[str, int]:
    end = _value_end(body, position)
    try:
        key = orjson.loads(body[position:end])
    except orjson.JSONDecodeError:
        raise NotAnObject from None
    if not isinstance(key, str):
        raise NotAnObject
    return key, _after(body, _past_space(body, end), b":")


def _elements(body: bytes, position: int) -> tuple[list[Slice], int]:
    slices: list[Slice] = []
    position = _after(body, position, b"[")
    if body[position : position + 1] == b"]":
        return slices, position + 1
    while True:
        end = _value_end(body, position)
        slices.append((position, end))
        position = _past_space(body, end)
        if body[position : position + 1] == b"]":
            return slices, position + 1
        position = _after(body, position, b",")


def _value_end(body: bytes, position: int) -> int:
    """The end of the value that starts here."""
    if body[position : position + 1] not in (b"{", b"["):
        match = _SCALAR.match(body, position)
        if match is None:
            raise NotAnObject
        return match.end()
    depth = 0
    while True:
        match = _UP_TO_BRACKET.match(body, position)
        if match is None:
            raise NotAnObject
        position = match.end()
        depth += 1 if match[1] in b"{[" else -1
        if depth == 0:
            return position


def _past_space(body: bytes, position: int) -> int:
    match = _SPACE.match(body, position)
    assert match is not None  # it matches nothing at all, too
    return match.end()


def _after(body: bytes, position: int, mark: bytes) -> int:
    """The position of the next token after a mark that must stand here."""
    if body[position : position + 1] != mark:
        raise NotAnObject
    return _past_space(body, position + 1)
