"""Who is asking: bearer tokens (v6 and v7), basic authentication (v6 only), and the guard against guessing.

One rule: credentials are compared, never stored, logged or shown.
Sources: the v6 authentication page (basic, bearer, and 429 after 100 answers 401 a minute from one address) and two
bodies observed on the v7 API in 2026.
"""

import base64
import binascii
import hmac
from typing import Literal, NamedTuple

from collector.simulator.settings import OrganizationSettings

_FAILURES_PER_MINUTE_MAX = 100
"""So many answers 401 a minute an address gets; from then on it is answered 429."""
_ADDRESSES_MAX = 10_000


class Identity(NamedTuple):
    """Whose credentials a request carries, and which bucket it spends."""

    organization: int
    """Number of the organization, from 0."""
    bucket: Literal["organization", "oauth"]


class Refusal(NamedTuple):
    """Why there is no identity: nothing usable was sent, or something wrong."""

    reason: Literal["missing", "invalid"]


def identify(
    header: str | None, version: Literal["v6", "v7"], organizations: tuple[OrganizationSettings, ...]
) -> Identity | Refusal:
    """Reads an Authorization header.

    Args:
        header: its value, or None.
        version: v7 knows bearer tokens only.
        organizations: whose credentials are known.

    Returns:
        The identity, or why there is none.
    """
    scheme, _, value = (header or "").strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        for number, organization in enumerate(organizations):
            if _equal(value, organization.token):
                return Identity(number, "organization")
            if _equal(value, organization.oauth_token):
                return Identity(number, "oauth")
        return Refusal("invalid")
    if scheme.lower() == "basic" and value and version == "v6":
        return _identify_basic(value, organizations)
    return Refusal("missing")


def _identify_basic(value: str, organizations: tuple[OrganizationSettings, ...]) -> Identity | Refusal:
    try:
        email, _, token = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Refusal("invalid")
    for number, organization in enumerate(organizations):
        if _equal(email.lower(), organization.v6_email.lower()) and _equal(token, organization.v6_basic_token):
            return Identity(number, "organization")
    return Refusal("invalid")


def _equal(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


class FailedLogins:
    """Counts answers 401 per address and calendar minute. Owns those counts; they are forgotten with the minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._failures: dict[str, int] = {}

    def blocked(self, address: str, now: float) -> bool:
        """Whether an address has had too many 401 in this minute."""
        self._turn(now)
        return self._failures.get(address, 0) >= _FAILURES_PER_MINUTE_MAX

    def failed(self, address: str, now: float) -> None:
        """Counts one answer 401."""
        self._turn(now)
        if address in self._failures or len(self._failures) < _ADDRESSES_MAX:
            self._failures[address] = self._failures.get(address, 0) + 1

    def _turn(self, now: float) -> None:
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._failures = minute, {}
