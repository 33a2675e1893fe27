"""Rows that violate any sensible schema, each in one way that a reader can be held to.

One rule: every bad row carries a marker (`bad-<aid>-<round>-<ordinal>`) that is in the truth list too, whatever else of
it is broken, so that its exact bytes can be looked for in a dead-letter topic.
"""

from typing import Any

MARKER_FIELD = "simulatorMarker"


def marker(aid: int, round_id: int, ordinal: int) -> str:
    """The name of a bad row."""
    return f"bad-{aid}-{round_id}-{ordinal}"


def spoil(row: dict[str, Any], kind: str, name: str, id_field: str) -> object:
    """Makes a good row bad.

    Args:
        row: the row as it would be shown; may be changed.
        kind: one of `sessions.BAD_KINDS`.
        name: the row's marker.
        id_field: what the session's id is called in this API version.

    Returns:
        What to show instead: the row with a marker, or something that is no object at all.

    Raises:
        ValueError: the kind is unknown.
    """
    row[MARKER_FIELD] = name
    match kind:
        case "id-missing":
            del row[id_field]
        case "id-number":
            row[id_field] = row["roundId"]
        case "round-text":
            row["roundId"] = "last round"
        case "round-fraction":
            row["roundId"] += 0.5
        case "port-text":
            row["port"] = "https"
        case "date-text":
            row["date"] = "yesterday"
        case "date-missing":
            del row["date"]
        case "row-text":
            return name
        case "row-array":
            return [name]
        case _:
            raise ValueError(f"no such kind of bad row: {kind}")
    return row
