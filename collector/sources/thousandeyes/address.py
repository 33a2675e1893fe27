"""Where a request goes: the first page's address, and which next links may be followed.

Rule: a token never travels to another place than the configured one. The URL that was checked is the very object that
is requested, so nothing can be read in two ways.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import httpx

PORTS = {"https": 443, "http": 80}

CONTINUATION_CHARACTERS_MAX = 16_384
"""Twice the request line that common servers accept; a longer link could not be followed."""


class ForeignLink(Exception):
    """A link must not be followed; the message says why, for people, and quotes scheme, host and port only."""


class OtherAccountGroup(Exception):
    """A link asks for another account group than the walk."""


class Endpoint:
    """Addresses below one base URL.

    Args:
        base_url: scheme, host, port and path prefix.
    """

    def __init__(self, base_url: str) -> None:
        self._base = httpx.URL(base_url.rstrip("/"))
        self.origin = _origin(self._base)

    def first(self, path: str, parameters: dict[str, str] | None = None) -> httpx.URL:
        """The address of a resource.

        Args:
            path: below the base URL, with a leading slash.
            parameters: its query.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        return httpx.URL(f"{self._base}{path}{query}")

    def next(self, link: str, page: httpx.URL, aid: str) -> httpx.URL:
        """The address a next link leads to: as written, but never elsewhere and never without the account group.

        Args:
            link: absolute, or relative to the page it stood on.
            page: address of that page.
            aid: account group of the walk; added when the link lost it, because the API would silently answer for the
                default account group.

        Raises:
            ForeignLink: the link cannot be read, or leads to another scheme, host or port.
            OtherAccountGroup: the link names another account group.
        """
        if len(link) > CONTINUATION_CHARACTERS_MAX:
            raise ForeignLink(f"the next link has {len(link)} characters, more than {CONTINUATION_CHARACTERS_MAX}")
        try:
            url = httpx.URL(link.strip())
            if url.is_relative_url:
                url = page.join(url)
            origin = _origin(url)
        except (httpx.InvalidURL, ValueError, TypeError):
            raise ForeignLink("the next link is no URL") from None
        if origin != self.origin:
            raise ForeignLink(
                f"the next link leads to {origin}, but base_url is {self.origin}: a token is never sent elsewhere"
            )
        if url.userinfo or url.fragment:
            url = url.copy_with(userinfo=b"", fragment=None)
        return _with_aid(url, aid)


def _origin(url: httpx.URL) -> str:
    port = url.port or PORTS.get(url.scheme, 0)
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host.lower()}:{port}"


def _with_aid(url: httpx.URL, aid: str) -> httpx.URL:
    query = url.query.decode("ascii")
    named = [value for key, value in parse_qsl(query, keep_blank_values=True) if key == "aid" and value]
    if not named:
        joint = "&" if query else ""
        return url.copy_with(query=f"{query}{joint}aid={quote(aid, safe='')}".encode("ascii"))
    # Session ids pad the account group with zeros; a link may do so too.
    if any(value.lstrip("0") != aid.lstrip("0") for value in named):
        raise OtherAccountGroup
    return url
