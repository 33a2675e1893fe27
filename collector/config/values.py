"""The kinds of value that a configuration file holds, each with the words for what it expects.

One rule: a validator here looks at one value alone. What must fit together is in `checks.py`; nothing touches a file or
the network.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    PlainSerializer,
    SecretStr,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")  # the limit of Kafka itself: org.apache.kafka.common.internals.Topic
_HOST = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9._-]{0,252})")
_AID = re.compile(r"[0-9]{1,18}")
_NAME_LENGTH_MAX: Final = 100  # it is part of every event's headers and of every key of the state
_GROUP_LENGTH_MAX: Final = 255  # long enough for a topic name and a word
_SECRET_LENGTH_MAX: Final = 8192  # OAuth tokens have some hundred characters; header lines end at 8 KiB on many servers
_PORT_MAX: Final = 65_535


def expected(what: str) -> PydanticCustomError:
    """Return the error of a value that is something else than ``what``."""
    return PydanticCustomError("expected", "{expected}", {"expected": what})


def _from_text(value: object) -> object:
    """Read a list given as text, as environment variables do: JSON, or parts separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value, "a JSON list")
    return [part.strip() for part in value.split(",") if part.strip()]


def _table_from_text(value: object) -> object:
    return _json(value, "a table, or JSON text of one") if isinstance(value, str) else value


def _json(text: str, what: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise expected(what) from None


def _aid(value: object) -> object:
    # The API writes account group ids as numbers in v6 and as strings in v7: both may be copied from it.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise expected(what)
        return value

    return check


def _topic(value: str) -> str:
    if value in {".", ".."} or not _TOPIC.fullmatch(value):
        raise expected("a Kafka topic name: 1 to 249 letters, digits, dots, dashes or underscores")
    return value


def _instance(value: str) -> str:
    if value in {".", ".."} or not _TOPIC.fullmatch(value):  # brokers hold instance ids to the rules of topic names
        raise expected("1 to 249 letters, digits, dots, dashes or underscores")
    return value


def _group(value: str) -> str:
    if not 1 <= len(value) <= _GROUP_LENGTH_MAX or not value.isprintable() or value != value.strip():
        raise expected(f"1 to {_GROUP_LENGTH_MAX} printable characters, no space at either end")
    return value


def _name(value: str) -> str:
    if not 1 <= len(value) <= _NAME_LENGTH_MAX or not value.isprintable() or value != value.strip() or "/" in value:
        raise expected(f"1 to {_NAME_LENGTH_MAX} printable characters without a slash, no space at either end")
    return value


def split_host_port(value: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[IPv6]:port``.

    Raises:
        ValueError: it is neither; the port must be from 1 to 65535.
    """
    host, separator, port = value.strip().rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= _PORT_MAX:
        raise ValueError(value)
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if not _HOST.fullmatch(host):
        raise ValueError(value)
    return host, int(port)


def _listen_address(value: str) -> str:
    try:
        split_host_port(value)
    except ValueError:
        raise expected('an address and a port, such as "127.0.0.1:9108" or "[::1]:9108"') from None
    return value.strip()


def _bootstrap_servers(value: object) -> object:
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        return value
    servers = [part.strip() for part in value.split(",") if part.strip()]
    try:
        for server in servers:
            split_host_port(server)
    except ValueError:
        servers = []
    if not servers:
        raise expected('host:port, several separated by commas, such as "kafka-1:9092,kafka-2:9092"')
    return ",".join(servers)


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isascii() or not value.isprintable() or " " in value:
        raise expected("a URL such as https://api.thousandeyes.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise expected("a URL without user, password, query and fragment")
    path = parts.path.rstrip("/")
    if re.search(r"(^|/)v\d+$", path):
        raise expected("a URL without the version of the API, which api_version gives")
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine itself: no credential then crosses a network."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def header_safe(secret: str) -> bool:
    """Return whether the secret can be sent in a request header: visible ASCII, no blanks, not empty, not huge."""
    return 0 < len(secret) <= _SECRET_LENGTH_MAX and all("!" <= character <= "~" for character in secret)


def _token(secret: SecretStr) -> SecretStr:
    if not header_safe(secret.get_secret_value()):
        raise expected(f"a token: 1 to {_SECRET_LENGTH_MAX} visible ASCII characters, no blanks")
    return secret


def _password(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise expected("a password that is not empty")
    return secret


def _user(value: str) -> str:
    if not value or ":" in value or not value.isprintable() or value != value.strip():
        raise expected("a user name (the e-mail address), without a colon")  # RFC 7617: a colon ends the user-id
    return value


def _filters(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if any(not key or not values for key, values in value.items()):
        raise expected("filter keys, each with a list of at least one value")
    return value


def _expand_user(path: Path) -> Path:
    return path.expanduser()


def _distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise expected("at least one account group, none of them twice (leave the key out for all)")
    return value


def between_sizes(smallest: str, largest: str) -> AfterValidator:
    """Annotate a `Size` with its range, both ends included."""
    read = TypeAdapter(ByteSize).validate_python

    def check(size: ByteSize) -> ByteSize:
        if not read(smallest) <= size <= read(largest):
            raise expected(f"a size from {smallest} to {largest}")
        return size

    return AfterValidator(check)


Size = Annotated[
    ByteSize,
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*\w*\s*$"}, {"type": "integer"}]}),
]
"""A number of bytes, also as text with a unit, such as ``"64MiB"``."""

TopicName = Annotated[str, AfterValidator(_topic)]
InstanceId = Annotated[str, AfterValidator(_instance)]
GroupId = Annotated[str, AfterValidator(_group)]
OrganizationName = Annotated[str, AfterValidator(_name)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
BootstrapServers = Annotated[str, BeforeValidator(_bootstrap_servers)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Password = Annotated[SecretStr, AfterValidator(_password)]
UserName = Annotated[str, AfterValidator(_user)]
FilePath = Annotated[Path, AfterValidator(_expand_user), PlainSerializer(str, when_used="json")]
Aid = Annotated[str, BeforeValidator(_aid), AfterValidator(_matching(_AID, 'an account group id, such as "7625"'))]
AccountGroups = Annotated[tuple[Aid, ...], BeforeValidator(_from_text), AfterValidator(_distinct)]
FilterValues = Annotated[tuple[str, ...], BeforeValidator(_from_text)]
SearchFilters = Annotated[dict[str, FilterValues], BeforeValidator(_table_from_text), AfterValidator(_filters)]
