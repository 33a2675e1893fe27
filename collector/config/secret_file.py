"""A secret that lives in a file of its own, such as a mounted Kubernetes or Docker secret.

One rule: the file is looked at every time the secret is used, so that a rotated token needs no restart. A file that is
missing or empty for a moment while it is replaced does no harm: the secret read before stays in use.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from collector.config.values import header_safe
from collector.errors import ConfigurationError

_SIZE_MAX: Final = 16_384  # bytes; a token has at most 8 KiB, so a larger file is the wrong one
_Identity = tuple[int, int, int, int]


class SecretFile:
    """Reads the secret in a file, again when the file changed.

    Args:
        path: the file; a symbolic link is followed each time.
        key: the configuration key that names it, for messages.
        in_header: whether it is sent in a request header, which cannot carry every character.
    """

    def __init__(self, path: Path, key: str, *, in_header: bool = True) -> None:
        self.path = path
        self.key = key
        self._in_header = in_header
        # The mutable state: what was read, from which version of the file, and what is wrong with the file now.
        self._secret: SecretStr | None = None
        self._identity: _Identity | None = None
        self.problem: str | None = None

    def read(self) -> SecretStr:
        """Return the secret, without the newline at the end of the file.

        Raises:
            ConfigurationError: the file is missing, unreadable, empty or no secret, and never was anything else. Later
                the secret read before is returned and `problem` says what is wrong.
        """
        try:
            self._secret = self._current()
            self.problem = None
        except ConfigurationError as error:
            self.problem = str(error)
            if self._secret is None:
                raise
        return self._secret

    def warning(self) -> str | None:
        """Return why the file is not a safe place, or None. A file that cannot be read has no warning."""
        try:
            mode = self.path.stat().st_mode
        except OSError:
            return None
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            return f"{self.key}: every user of this machine can read {self.path}; chmod o-rwx {self.path} prevents it"
        return None

    def _current(self) -> SecretStr:
        try:
            status = self.path.stat()
            identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if self._secret is not None and identity == self._identity:
                return self._secret
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"{self.key}: {self.path} is not a file")
            with self.path.open("rb") as stream:
                content = stream.read(_SIZE_MAX + 1)
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            raise ConfigurationError(f"{self.key}: the file {self.path} {reason}") from None
        secret = self._checked(content)
        self._identity = identity
        return secret

    def _checked(self, content: bytes) -> SecretStr:
        # Replaced, not refused, where it is no UTF-8: a decoding error would carry the content.
        text = content.strip(b" \t\r\n").decode("utf-8", errors="replace")
        if not text:
            raise ConfigurationError(f"{self.key}: the file {self.path} is empty")
        usable = header_safe(text) if self._in_header else text.isprintable() and "\ufffd" not in text
        if not usable or len(content) > _SIZE_MAX:
            wanted = "visible ASCII without blanks" if self._in_header else "text"
            raise ConfigurationError(
                f"{self.key}: the file {self.path} does not hold a secret alone: one line of {wanted} is expected"
            )
        return SecretStr(text)
