"""Reads the error bodies of the API, of which there are many shapes, into one line for people.

Rule: it never raises; a body of a shape nobody has seen yet still gives its first words.
Sources: https://developer.cisco.com/docs/thousandeyes/errors-and-troubleshooting/ and the official clients.
"""

from __future__ import annotations

import html
import re
from typing import Any

import orjson

from collector.sources.thousandeyes.text import one_line

_EXPLANATIONS = ("errorMessage", "error", "error_description", "title", "detail", "message", "httpStatus")
"""Fields that explain, in the order in which they read best together."""

_TITLE = re.compile(r"<title[^<>]{0,100}>([^<]{1,500})", flags=re.IGNORECASE)
_SILENT = re.compile(r"<(script|style)\b.{0,20000}?</\1>", flags=re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,2000}>")


def error_text(body: bytes) -> str:
    """One line that says what the body explains; empty when it explains nothing.

    Args:
        body: of an answer other than a page; JSON, problem+json, XML, HTML, text or nothing.
    """
    document: Any = None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", errors="replace")
        return _markup_text(text) if text.lstrip().startswith("<") else one_line(text)
    return explanation(document) or one_line(body.decode("utf-8", errors="replace"))


def explanation(document: object) -> str:
    """What the explaining fields of a decoded JSON document say, one line; empty when it has none."""
    if not isinstance(document, dict):
        return one_line(document) if isinstance(document, str) else ""
    parts: list[str] = []
    for name in _EXPLANATIONS:
        value = document.get(name)
        if isinstance(value, dict):
            value = explanation(value)
        if isinstance(value, str) and value.strip() and value not in parts:
            parts.append(value.strip())
    errors = document.get("errors")
    if isinstance(errors, list):
        parts.extend(filter(None, map(_single_error, errors[:5])))
    return one_line(": ".join(parts))


def _single_error(error: object) -> str:
    if not isinstance(error, dict):
        return error if isinstance(error, str) else ""
    words = [error.get(name) for name in ("field", "message", "code")]
    return " ".join(word for word in words if isinstance(word, str) and word)


def _markup_text(text: str) -> str:
    title = _TITLE.search(text)
    if title is not None:
        return one_line(html.unescape(title[1]))
    return one_line(html.unescape(_TAG.sub(" ", _SILENT.sub(" ", text))))
