"""The secret of an organization, and the only place where it becomes a header.

Rule: no value of this module shows a secret when it is printed; a secret lives in a local variable only as long as one
function of this module runs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

TOKEN_FILE_BYTES_MAX = 16_384
"""OAuth tokens have up to some kilobytes, and servers accept no header beyond 8 or 16 KiB."""

READ_TIMEOUT_S = 5.0
"""A file of this machine takes a millisecond; one that takes longer lies on a network that hangs."""


class UnusableSecret(ValueError):
    """The secret cannot be sent; the message says why and does not hold it."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What one request is authorized with.

    Args:
        header: value of the ``Authorization`` header.
        secret: the token itself, so that an answer that echoes it can be cleaned.
    """

    header: str = field(repr=False)
    secret: str = field(repr=False)

    def redact(self, body: bytes) -> bytes:
        """The bytes of an answer without the token and without the header's value."""
        for secret in (self.header.partition(" ")[2], self.secret):
            body = body.replace(secret.encode("ascii"), b"[secret]")
        return body


@dataclass(frozen=True, slots=True)
class Credentials:
    """Tells the current token before every request, so that a rotated one is used without a restart.

    Args:
        read: returns the token; white space around it is ignored; may raise OSError.
        user: user (e-mail address) of HTTP Basic, which only v6 knows; None: the token is sent as Bearer.
        blocks: whether ``read`` may block, for example on a file; it then runs in a worker thread.
        read_timeout_s: longest wait for such a thread, seconds.
    """

    read: Callable[[], str] = field(repr=False)
    user: str | None = None
    blocks: bool = False
    read_timeout_s: float = READ_TIMEOUT_S

    @classmethod
    def from_token(cls, token: str, user: str | None = None) -> Credentials:
        """Credentials that never change."""
        return cls(lambda: token, user)

    @classmethod
    def from_file(cls, path: Path, user: str | None = None) -> Credentials:
        """Credentials whose token is the content of a file, read again for every request."""
        return cls(lambda: _file_text(path), user, blocks=True)

    async def authorization(self) -> Authorization:
        """The header for one request.

        Raises:
            OSError: the token cannot be read at the moment (a time-out is one).
            UnusableSecret: the token is empty or holds characters that a header cannot carry.
        """
        if not self.blocks:
            return _authorization(self.read(), self.user)
        with anyio.fail_after(self.read_timeout_s):
            text = await anyio.to_thread.run_sync(self.read, abandon_on_cancel=True)
        return _authorization(text, self.user)


def _file_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(TOKEN_FILE_BYTES_MAX)
    # No decoding error: that exception would carry the content.
    return content.decode("utf-8", errors="replace")


def _authorization(text: str, user: str | None) -> Authorization:
    secret = text.strip()
    if not secret:
        raise UnusableSecret("the token is empty")
    # Refused here because the HTTP library's own message would quote the header.
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise UnusableSecret("the token holds white space or characters outside ASCII: is it the right file?")
    if user is None:
        return Authorization(f"Bearer {secret}", secret)
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode("ascii")
    return Authorization(f"Basic {basic}", secret)
