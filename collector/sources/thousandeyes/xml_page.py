"""Reads an XML page of v6.

Rule: XML is read with every entity, document type and external reference refused. The real API's XML is undocumented,
so what is understood is wide: rows are elements ``userSession`` or ``userSessions`` below the root, wrapped or not,
with one child element for each field.
"""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from collector.sources.thousandeyes.page_content import NotAPage, PageContent, PageForm, link_of, rows_of
from collector.sources.thousandeyes.row_slices import Slice
from collector.sources.thousandeyes.text import one_line

_ROW_TAGS = frozenset({"userSession", "userSessions"})
_NUMBER_FIELDS = frozenset({"roundId", "port", "numberOfPages", "experienceScore"})
_INTEGER = re.compile(r"-?\d{1,18}", flags=re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{1,30})?([eE][+-]?\d{1,3})?", flags=re.ASCII)


def read_xml_page(body: bytes, form: PageForm) -> PageContent:
    """The page that a body holds.

    Args:
        body: of an answer 200, decompressed.
        form: of the API version.

    Raises:
        NotAPage: it holds none.
    """
    builder = _PositionedBuilder()
    try:
        parser = DefusedXMLParser(target=builder, forbid_dtd=True)
        builder.expat = parser.parser
        parser.feed(body)
        root: Element = parser.close()
        elements = _row_elements(root)
        document = {_name(child): _value(child) for child in root if child.tag not in _ROW_TAGS}
        rows = [_value(element) for element in elements]
    except DefusedXmlException as error:
        raise NotAPage(f"the body is XML that is not read for safety: {type(error).__name__}") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise NotAPage(one_line(f"the body is no XML: {error}")) from None
    if len(root) == 0 and (root.text or "").strip():
        raise NotAPage(one_line(f"the body is XML, but no page: {root.text}"))
    if elements or any(_name(child) in _ROW_TAGS for child in root):
        document[form.rows_key] = rows
    spans = [builder.spans[element] for element in elements]

    def source_bytes(index: int) -> bytes:
        start, end_tag = spans[index]
        return body[start : body.index(b">", end_tag) + 1]

    return PageContent(rows_of(document, form), link_of(document, form), source_bytes)


class _PositionedBuilder(TreeBuilder):
    """Remembers where the elements near the root stand in the bytes.

    Mutable state: ``spans``, for each element the position of its first byte and of its end tag; ``_open``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expat: Any = None
        self.spans: dict[Element, Slice] = {}
        self._open: list[tuple[Element, int]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> Element:
        element: Element = super().start(tag, attributes)
        self._open.append((element, self.expat.CurrentByteIndex))
        return element

    def end(self, tag: str) -> Element:
        element, start = self._open.pop()
        if len(self._open) in (1, 2):
            self.spans[element] = (start, self.expat.CurrentByteIndex)
        return super().end(tag)


def _row_elements(root: Element) -> list[Element]:
    rows: list[Element] = []
    for child in root:
        if _name(child) not in _ROW_TAGS:
            continue
        wrapped = [element for element in child if _name(element) in _ROW_TAGS]
        if wrapped:
            rows.extend(wrapped)
        elif len(child) or (child.text or "").strip():
            rows.append(child)
    return rows


def _name(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _value(element: Element) -> Any:
    if len(element) == 0:
        return element.text or ""
    fields: dict[str, Any] = {}
    for child in element:
        name, value = _name(child), _value(child)
        if name in _NUMBER_FIELDS and isinstance(value, str):
            if not value.strip():
                continue  # an empty number is no number
            value = _number(value)
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _number(text: str) -> int | float | str:
    """The text as a JSON number; a text that is none stays as it is."""
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped):
        return int(stripped)
    if _DECIMAL.fullmatch(stripped) and math.isfinite(number := float(stripped)):
        return number
    return text
