"""Reads the list of account groups of either version.

Rule: a group that cannot be read is an error and never left out, because its sessions would be missed in silence.
Source: https://developer.cisco.com/docs/thousandeyes/ (administrative API). v6 writes ``aid`` as a number, v7 as text.
"""

from __future__ import annotations

from typing import Any

import orjson

from collector.core.model import AccountGroup
from collector.sources.thousandeyes.error_text import explanation
from collector.sources.thousandeyes.page_content import NotAPage


def read_account_groups(body: bytes) -> tuple[AccountGroup, ...]:
    """The account groups in the API's order, each once.

    Args:
        body: of an answer 200, decompressed.

    Raises:
        NotAPage: it is no list of account groups.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotAPage(f"the body is no JSON: {error}") from None
    groups = document.get("accountGroups") if isinstance(document, dict) else None
    if not isinstance(groups, list):
        raise NotAPage(f"'accountGroups' is no array: {explanation(document)}".rstrip(": "))
    if isinstance(links := document.get("_links"), dict) and links.get("next"):
        # The list is documented to come whole. A part of it would leave account groups out.
        raise NotAPage("the list of account groups has a next page, which this version of the collector cannot read")
    by_aid = {group.aid: group for group in map(_account_group, groups)}
    return tuple(by_aid.values())


def _account_group(entry: Any) -> AccountGroup:
    aid = entry.get("aid") if isinstance(entry, dict) else None
    if type(aid) is int:
        aid = str(aid)
    if not isinstance(aid, str) or not aid.strip():
        raise NotAPage("an account group has no aid")
    name = entry.get("accountGroupName")
    return AccountGroup(aid.strip(), name if isinstance(name, str) else "")
