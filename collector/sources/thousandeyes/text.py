"""Makes text from outside fit for a log line: one line, short, nothing invisible, no credentials.

Rule: whatever the API writes, a terminal shows it and does not obey it.
"""

from __future__ import annotations

import re
import unicodedata

DETAIL_CHARACTERS_MAX = 300

_USERINFO = re.compile(r"(?<=://)[^\s/?#@]{0,512}@")
_AUTHORIZATION = re.compile(
    r"\b(bearer|basic)\s+(?=[\w+/.~-]*[\d+/=_~-])[\w+/.~-]{12,}=*", flags=re.IGNORECASE | re.ASCII
)
"""A word of at least 12 token characters, one of them no letter: prose like "Bearer authentication" stays."""


def one_line(text: str, characters_max: int = DETAIL_CHARACTERS_MAX) -> str:
    """The text as one short line: white space folded, control characters visible, credentials removed.

    Args:
        text: from outside.
        characters_max: length of the result at most.
    """
    # Looked at only as far as the result can need, so that a large body costs nothing.
    text = " ".join(text[: characters_max * 20].split())
    text = _AUTHORIZATION.sub(r"\1 [secret]", without_credentials(text))
    text = "".join(map(_visible, text[: characters_max + 1]))
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def without_credentials(text: str) -> str:
    """The text without user and password in front of the host of any URL."""
    return _USERINFO.sub("", text) if "@" in text else text


def _visible(character: str) -> str:
    # Categories C*: control, format (also those that turn the direction of text), surrogate, private use, unassigned.
    if unicodedata.category(character)[0] == "C":
        return character.encode("unicode_escape").decode("ascii")
    return character
