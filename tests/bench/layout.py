"""What the API of the benchmark shows: how many account groups, pages and rows, under which paths.

The one rule: plain values, so that a runner can know them without loading anything.
"""

from __future__ import annotations

import math

PAGE_ROWS = 1_000
"""What the API gives a page."""

ACCOUNT_GROUPS = 4
"""As many as the collector walks at the same time by default."""

FIRST_AID = 7_625
"""The others follow one by one."""

RECORDS_MAX = 1_000_000
"""More would reach back further than a day, for which the collector keeps ids."""

VIEWS = ("all", "most", "none")
"""All sessions; all but every tenth; no session."""

LIST_PATH = "/v7/account-groups"
SESSIONS_PATH = "/v7/endpoint/test-results/real-user-tests/filter"


def pages_a_group(records: int) -> int:
    """How many pages each account group has when all together have at least ``records`` rows."""
    return math.ceil(records / (ACCOUNT_GROUPS * PAGE_ROWS))


def rows_shown(records: int) -> int:
    """How many rows the view ``all`` has when ``records`` were asked for."""
    return pages_a_group(records) * ACCOUNT_GROUPS * PAGE_ROWS
