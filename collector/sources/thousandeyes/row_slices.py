"""Finds where the rows of a JSON page stand in its bytes.

Rule: it looks at structure only, and more leniently than the decoder of the pages: what is inside a row may be anything
that has a beginning and an end. Slow (milliseconds a page): for pages with a bad row.
"""

from __future__ import annotations

import json
import re

_SPACE = re.compile(r"[ \t\n\r]*")

# Numbers stay texts: they are skipped, and Python refuses to convert integers of thousands of digits.
_SCANNER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)

Slice = tuple[int, int]
Parts = tuple[dict[str, bytes], list[Slice] | None]


class NotAnObject(Exception):
    """The bytes are no JSON object."""


def row_slices(body: bytes, rows_key: str) -> Parts:
    """Takes a page apart without reading its rows.

    Args:
        body: of an answer.
        rows_key: field that holds the array of rows.

    Returns:
        The bytes of every other field, and start and end of every row; None when there is no such array.

    Raises:
        NotAnObject: the body is no JSON object, or is nested too deeply.
    """
    # Latin-1 gives one character to each byte, so that positions in the text are positions in the bytes.
    text = body.decode("latin-1")
    try:
        return _members(text, rows_key)
    except (ValueError, IndexError, RecursionError):
        raise NotAnObject from None


def _members(text: str, rows_key: str) -> Parts:
    others: dict[str, bytes] = {}
    rows: list[Slice] | None = None
    position = _after(text, _past_space(text, 0), "{")
    if text[position] == "}":
        return _ended(text, position, others, rows)
    while True:
        if text[position] != '"':
            raise NotAnObject
        key, position = _SCANNER.raw_decode(text, position)
        position = _after(text, _past_space(text, position), ":")
        if key == rows_key and text[position] == "[":
            rows, end = _elements(text, position)
        else:
            _, end = _SCANNER.raw_decode(text, position)
            rows = None if key == rows_key else rows  # of two fields of one name the later one counts
            others[key] = text[position:end].encode("latin-1")
        position = _past_space(text, end)
        if text[position] == "}":
            return _ended(text, position, others, rows)
        position = _after(text, position, ",")


def _elements(text: str, position: int) -> tuple[list[Slice], int]:
    slices: list[Slice] = []
    position = _after(text, position, "[")
    if text[position] == "]":
        return slices, position + 1
    while True:
        _, end = _SCANNER.raw_decode(text, position)
        slices.append((position, end))
        position = _past_space(text, end)
        if text[position] == "]":
            return slices, position + 1
        position = _after(text, position, ",")


def _ended(text: str, position: int, others: dict[str, bytes], rows: list[Slice] | None) -> Parts:
    if _past_space(text, position + 1) != len(text):
        raise NotAnObject
    return others, rows


def _past_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # it matches the empty text
    return match.end()


def _after(text: str, position: int, mark: str) -> int:
    """The position of the next token after a mark that must stand here."""
    if text[position] != mark:
        raise NotAnObject
    return _past_space(text, position + 1)
