"""Holds sessions against the schema file.

Rule: a whole page is asked about at once, because almost every page is valid; only a page that is not is looked at
row by row (2.3 against 1.6 million rows a second with jsonschema-rs 0.60).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jsonschema_rs
import orjson

from collector.core.model import Row

MESSAGE_CHARACTERS_MAX = 300
"""A violation's text may quote the row; a header and a log line stay readable."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Where and how a session breaks the schema: a JSON pointer into the session, and a sentence."""

    pointer: str
    message: str


class SessionSchema:
    """The compiled schema of one event version.

    Args:
        document: the schema file's bytes, JSON Schema draft 2020-12 with an ``$id``.

    Raises:
        ValueError: the document is no valid schema.
    """

    def __init__(self, document: bytes) -> None:
        schema = orjson.loads(document)
        self.identifier: str = schema["$id"]
        self.optional_fields = frozenset(schema["properties"]) - frozenset(schema["required"])
        self._sessions = jsonschema_rs.Draft202012Validator(
            {"$schema": schema["$schema"], "type": "array", "items": schema}, validate_formats=True
        )

    def all_valid(self, sessions: Sequence[Row]) -> bool:
        """Whether every one of the sessions is valid."""
        return self._sessions.is_valid(sessions)

    def violation(self, session: Row) -> Violation | None:
        """The first violation of one session; None when it is valid."""
        error = next(iter(self._sessions.iter_errors([session])), None)
        if error is None:
            return None
        pointer = "".join(f"/{step}" for step in error.instance_path[1:])  # the first one is its place in the list
        return Violation(pointer, error.message[:MESSAGE_CHARACTERS_MAX])
