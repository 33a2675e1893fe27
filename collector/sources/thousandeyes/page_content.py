"""What a page of either format holds, and the checks that both formats share.

Rule: an answer that is no page must not pass for an empty one; its window would count as covered and its sessions
would be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.sources.thousandeyes.error_text import explanation
from collector.sources.thousandeyes.text import without_credentials


class NotAPage(Exception):
    """The body is no page; the message says why, one line."""


@dataclass(frozen=True, slots=True)
class PageForm:
    """How one version of the API names the parts of a page.

    Args:
        rows_key: field that holds the array of rows.
        links_key: field that holds the object with ``next``.
        range_keys: fields that repeat the range asked for.
    """

    rows_key: str
    links_key: str
    range_keys: tuple[str, str]


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page holds: its rows, the next link as written (None: there is none), and the bytes of row ``i``."""

    rows: Sequence[Any] = field(repr=False)  # personal data
    link: str | None
    source_bytes: Callable[[int], bytes] = field(repr=False)


def rows_of(document: dict[str, Any], form: PageForm) -> list[Any]:
    """The rows of a decoded page; a page may lack the array when it has none.

    Raises:
        NotAPage: there are no rows, and the rest shows no page either.
    """
    rows = document.get(form.rows_key)
    if rows is not None and type(rows) is not list:
        raise NotAPage(f"{form.rows_key!r} is no array")
    if rows:
        return rows
    # A 200 with an error is this request's trouble and not the API's, which is up: no reason to stop other groups.
    if (document.get("errorMessage") or document.get("error")) and (text := explanation(document)):
        raise NotAPage(f"status 200 with an error instead of rows: {text}")
    known = {form.rows_key, form.links_key, *form.range_keys}
    if document and not known & document.keys():
        raise NotAPage(f"no field of a page is there ({form.rows_key!r} is missing)")
    return []


def link_of(document: dict[str, Any], form: PageForm) -> str | None:
    """The next link of a decoded page: a text, or an object with ``href``.

    Raises:
        NotAPage: something is there that cannot be read as a link; as none, it would end the walk too early.
    """
    links = document.get(form.links_key)
    if not links:
        return None
    link = links.get("next") if isinstance(links, dict) else links
    if isinstance(link, dict):
        link = link.get("href", link)
    if not link:
        return None
    if not isinstance(link, str) or not isinstance(links, dict):
        raise NotAPage(f"the next link in {form.links_key!r} cannot be read")
    return without_credentials(link)
