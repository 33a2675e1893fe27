"""Decodes a page's JSON some rows at a time.

Rule: the result is that of decoding the body whole, always. The cuts are guesses, at ``},{``, and JSON itself says
whether they were right: if each piece is an array once brackets stand around it, and the body an object without those
rows, then no other reading of the body exists, because JSON's grammar is unambiguous. If one is not (a cut in a text or
in a nested array, white space, a body that is no JSON), the body is decoded whole.

orjson takes twelve times what it is given from the system, and writes to two and a half times as much: for a page of
1000 rows a megabyte, at the moment when a collector's memory is largest anyway.
"""

from __future__ import annotations

import secrets
from typing import Any

import orjson

PIECE_BYTES = 32_768
"""A piece is at least this large: some 90 rows. Smaller ones save next to nothing more."""

_CUT = b"},{"
_PLACEHOLDER = secrets.token_hex(8)
"""Stands where the rows were. Nobody can guess it, so no body says it somewhere else."""


def decode(body: bytes, rows_key: str, *, piece_bytes: int = PIECE_BYTES) -> Any:
    """What a body says.

    Args:
        body: of an answer.
        rows_key: field that holds the array of rows.
        piece_bytes: bodies of twice as many and more are decoded in pieces, >= 1.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    if len(body) >= 2 * piece_bytes:
        document = _in_pieces(body, rows_key, piece_bytes)
        if document is not None:
            return document
    return orjson.loads(body)


def _in_pieces(body: bytes, rows_key: str, piece_bytes: int) -> dict[str, Any] | None:
    """What a body says; None when a guess was wrong."""
    opening = b'"%b":[' % rows_key.encode()
    start = body.find(opening) + len(opening)
    end = body.rfind(b"}]") + 1  # of the last row
    if start < len(opening) or end <= start:
        return None
    try:
        document = orjson.loads(b'%b"%b"%b' % (body[:start], _PLACEHOLDER.encode(), body[end:]))
        if type(document) is not dict or document.get(rows_key) != [_PLACEHOLDER]:
            return None
        rows = document[rows_key] = []
        while start < end:
            cut = body.find(_CUT, start + piece_bytes, end)
            piece_end = end if cut < 0 else cut + 1
            # Two brackets: as deep as in the body, because depth has a limit. More than one array would be no piece.
            (piece,) = orjson.loads(b"[[%b]]" % body[start:piece_end])
            rows += piece
            start = piece_end + 1
    except ValueError:
        return None
    return document
