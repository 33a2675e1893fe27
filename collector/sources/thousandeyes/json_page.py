"""Reads a JSON page of either version.

Rule: one broken row must not cost the rows around it. When the body as a whole is no JSON, its rows are cut out and
read one by one; a row with a value that no event can hold (half a surrogate pair, bytes that are no UTF-8, NaN) stays a
text, which is no object and leads it to the dead letters. A body whose structure is broken is no page: asked for again,
it may come whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import orjson

from collector.sources.thousandeyes.json_pieces import decode
from collector.sources.thousandeyes.page_content import NotAPage, PageContent, PageForm, link_of, rows_of
from collector.sources.thousandeyes.row_slices import NotAnObject, Slice, row_slices

# Numbers stay texts: only the structure matters, and Python refuses to convert integers of thousands of digits.
_LENIENT = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)


def read_json_page(body: bytes, form: PageForm) -> PageContent:
    """The page that a body holds.

    Args:
        body: of an answer 200, decompressed.
        form: of the API version.

    Raises:
        NotAPage: it holds none.
    """
    try:
        document = decode(body, form.rows_key)
    except orjson.JSONDecodeError as error:
        return _salvaged(body, form, f"the body is no JSON: {error}")
    if not isinstance(document, dict):
        raise NotAPage("the body is JSON, but no object")
    rows = rows_of(document, form)
    return PageContent(rows, link_of(document, form), _LazySlices(body, form.rows_key))


def _salvaged(body: bytes, form: PageForm, reason: str) -> PageContent:
    try:
        others, slices = row_slices(body, form.rows_key)
        document = {name: orjson.loads(value) for name, value in others.items()}
    except (NotAnObject, orjson.JSONDecodeError):
        slices = None
    if slices is None:
        raise NotAPage(reason)
    rows = [_row(body[start:end], reason) for start, end in slices]
    return PageContent(rows, link_of(document, form), lambda index: body[slice(*slices[index])])


def _row(source: bytes, reason: str) -> object:
    try:
        return orjson.loads(source)
    except orjson.JSONDecodeError:
        pass
    try:
        _LENIENT.decode(source.decode("latin-1"))
    except RecursionError:
        pass  # nested too deeply for every decoder, but its brackets match
    except ValueError:
        raise NotAPage(reason) from None
    return source.decode("utf-8", errors="replace")


class _LazySlices:
    """Finds the bytes of a page's rows when the first bad row asks for them, which most pages never do.

    Mutable state: ``_slices``, start and end of each row once looked for.
    """

    __slots__ = ("_body", "_rows_key", "_slices")

    def __init__(self, body: bytes, rows_key: str) -> None:
        self._body = body
        self._rows_key = rows_key
        self._slices: Sequence[Slice] | None = None

    def __call__(self, index: int) -> bytes:
        if self._slices is None:
            # The body was decoded before, so it can be taken apart.
            self._slices = row_slices(self._body, self._rows_key)[1] or ()
        start, end = self._slices[index]
        return self._body[start:end]
