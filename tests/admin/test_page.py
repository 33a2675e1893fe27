"""The status page: one document that needs nothing from elsewhere and trusts nothing from outside."""

import re
from html.parser import HTMLParser

import pytest

from collector.admin.page import PAGE
from collector.admin.server import PAGE_HEADERS


class _Document(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.feed(PAGE)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "srcset", "data", "poster"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def test_no_external_references() -> None:
    """The page loads nothing: no address of another host, no file, no import."""
    document = _Document()
    assert set(document.addresses) == {"data:,", "status"}
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w|@import|url\(|import\(", PAGE) == []
    assert not {"iframe", "object", "embed", "base", "form"} & set(document.tags)


def test_it_asks_this_process_only() -> None:
    """The only thing it fetches is its own status, by a relative address, so that it works behind a path."""
    assert re.findall(r"fetch\(([^,)]*)", PAGE) == ['"status"']
    policy = PAGE_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy


@pytest.mark.parametrize(
    "sink",
    ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setHTML", "DOMParser"],
)
def test_text_stays_text(sink: str) -> None:
    """Nothing that came from outside can become markup or code."""
    assert sink not in PAGE
    assert _Document().handlers == []
