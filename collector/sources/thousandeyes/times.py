"""Writes points of server time the way each version of the API wants them in a query."""

from __future__ import annotations

from datetime import UTC, datetime


def v7_time(epoch_s: int) -> str:
    """``2026-07-27T11:50:00Z``, the format of https://developer.cisco.com/docs/thousandeyes/ (date-time).

    Args:
        epoch_s: seconds since 1970 in server time.
    """
    return f"{v6_time(epoch_s)}Z"


def v6_time(epoch_s: int) -> str:
    """``2026-07-27T11:50:00``, UTC without a zone, the format of https://developer.thousandeyes.com/v6/endpoint/.

    Args:
        epoch_s: seconds since 1970 in server time.
    """
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
