"""What the source of one organization needs to know, checked when it is made.

Rule: settings that exist can be used; above all, no token ever leaves in clear text unless an operator said so.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from collector import __version__
from collector.errors import ConfigurationError
from collector.sources.thousandeyes.credentials import Credentials
from collector.sources.thousandeyes.filters import filter_mistakes

ApiVersion = Literal["v7", "v6"]

DEFAULT_BASE_URL = "https://api.thousandeyes.com"

REQUEST_TIMEOUT_S = 30.0
"""A page takes well under a second; half a quota window later the answer is of no use to the schedule."""

BODY_BYTES_MAX = 16 * 1024 * 1024
"""Some 40,000 rows. Pages of 1000 rows have 0.4 MB; the bound keeps a broken server from filling the memory, and from
holding up the other organizations of the process for longer than a second or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The source of one organization.

    Args:
        organization: its name, for messages.
        credentials: where the token comes from.
        base_url: scheme, host and, if any, port and path prefix in front of ``/v7`` or ``/v6``.
        api_version: ``v7``; ``v6`` is out of support at Cisco since 2025-05-27.
        format: ``xml`` for v6 only.
        search_filters: values wanted for each key; empty: every session.
        request_timeout_s: deadline of one request with its whole answer, seconds, > 0.
        body_bytes_max: largest answer, before and after decompression, bytes, > 0.
        ca_file: certificates (PEM) trusted besides those of the system.
        http_allowed: whether ``http://`` may be used to a host that is not this machine.
        user_agent: value of the ``User-Agent`` header.

    Raises:
        ConfigurationError: the values cannot be used; one line for each mistake.
    """

    organization: str
    credentials: Credentials
    base_url: str = DEFAULT_BASE_URL
    api_version: ApiVersion = "v7"
    format: Literal["json", "xml"] = "json"
    search_filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    request_timeout_s: float = REQUEST_TIMEOUT_S
    body_bytes_max: int = BODY_BYTES_MAX
    ca_file: Path | None = None
    http_allowed: bool = False
    user_agent: str = f"te-collector/{__version__}"

    def __post_init__(self) -> None:
        mistakes = self._mistakes()
        if mistakes:
            raise ConfigurationError("\n".join(f"organization {self.organization!r}: {line}" for line in mistakes))

    def _mistakes(self) -> list[str]:
        if self.api_version not in ("v7", "v6"):
            return [f"api_version {self.api_version!r} is unknown: v7 or v6"]
        mistakes = base_url_mistakes(self.base_url, http_allowed=self.http_allowed)
        mistakes += filter_mistakes(self.api_version, self.search_filters)
        if self.format not in ("json", "xml"):
            mistakes.append(f"format {self.format!r} is unknown: json or xml")
        if self.api_version == "v7" and self.format == "xml":
            mistakes.append("API v7 speaks JSON only: format xml needs api_version v6")
        if self.api_version == "v7" and self.credentials.user is not None:
            mistakes.append("API v7 takes bearer tokens only: leave the user out")
        if not 0 < self.request_timeout_s < float("inf"):
            mistakes.append(f"request_timeout_s must be above 0: {self.request_timeout_s}")
        if self.body_bytes_max <= 0:
            mistakes.append(f"body_bytes_max must be above 0: {self.body_bytes_max}")
        if not (self.user_agent.isascii() and self.user_agent.isprintable()):
            mistakes.append("user_agent must be printable ASCII")
        return mistakes


def base_url_mistakes(base_url: str, *, http_allowed: bool) -> list[str]:
    """What is wrong with a base URL; a message never quotes it, because it may hold a password.

    Args:
        base_url: as configured.
        http_allowed: whether clear text may be spoken to another machine.
    """
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return ["base_url is no URL"]
    if parts.scheme not in ("https", "http") or not host:
        return ["base_url needs a scheme and a host, for example https://api.thousandeyes.com"]
    mistakes = []
    if parts.username is not None or parts.password is not None:
        mistakes.append("base_url must not hold credentials: use the token settings")
    if parts.query or parts.fragment:
        mistakes.append("base_url must not have a query or a fragment")
    if parts.path.rstrip("/").endswith(("/v6", "/v7")):
        mistakes.append("base_url must not end in the version: api_version adds it")
    if parts.scheme == "http" and not http_allowed and not _is_loopback(host):
        mistakes.append("base_url must be https: a token would travel in clear text")
    return mistakes


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
