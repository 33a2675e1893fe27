"""Finding one session by its id, as it is visible now.

One rule: what the lists do not show is not found either: another account group's session, one that is not committed
yet, one beyond the retention.
"""

from typing import NamedTuple

from collector.simulator.answers import ApiError
from collector.simulator.details import VisitedPage, pages_of
from collector.simulator.ranges import Range
from collector.simulator.sessions import AccountGroup, SessionRow
from collector.simulator.world import World


class FoundSession(NamedTuple):
    """The rows of one session, and whether they show their second version by now."""

    rows: list[SessionRow]
    changed: bool


def find_session(world: World, group: AccountGroup, session_id: str) -> FoundSession:
    """Finds a session.

    Raises:
        ApiError: 404, there is none that the caller could see.
    """
    _, _, rest = session_id.partition(":")
    text = rest.partition(":")[0]
    round_id = int(text) if text.isdecimal() and len(text) < 12 else -1
    if round_id < 0 or round_id % world.truth.round_s:
        raise ApiError(404, "Not Found")
    visible = world.visible(Range(round_id, round_id + world.truth.round_s - 1, explicit=True))
    if visible.range.end < round_id:
        raise ApiError(404, "Not Found")
    round_ = world.truth.round(group, round_id)
    rows = [round_.rows[index] for index in visible.of(round_) if round_.rows[index].session_id == session_id]
    if not rows:
        raise ApiError(404, "Not Found")
    return FoundSession(rows, 0 < rows[0].changed_at <= visible.horizon)


def find_page(found: FoundSession, page_id: str) -> tuple[SessionRow, VisitedPage]:
    """Finds a page of a session, and the row it belongs to.

    Raises:
        ApiError: 404, the session has no such page.
    """
    for row in found.rows:
        for page in pages_of(row, found.changed):
            if page.page_id == page_id:
                return row, page
    raise ApiError(404, "Not Found")
