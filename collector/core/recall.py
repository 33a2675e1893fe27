"""Which sessions were published of a time whose ids are not kept any more: what the events topic itself tells.

Rule: ids that are kept decide where they reach (`SeenSessions`); before that the ids that were read back from the topic
do, and those that were published since. Nothing is late here, and nothing has changed: content is not read back.

Invariants: `kept` hands out no mark of a time whose ids are not kept, so nothing durable grows for a time long gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from collector.core.chunks import Marks, Place, hour_of
from collector.core.identity import IdentityForm
from collector.core.model import Destination, Record
from collector.core.rounds import Known, Versions
from collector.core.seen import SeenSessions

EVENT_ID = "ce_id"


class RecalledSessions:
    """The published sessions of one account group over a span of time, seen as `SeenSessions` are.

    Args:
        kept: the ids that are kept.
        ids: event ids of the span, as the events topic has them; they are added to.
    """

    kept_from = 0
    has_more = True

    def __init__(self, kept: SeenSessions, ids: set[str]) -> None:
        self._kept = kept
        self._ids = ids

    @property
    def form(self) -> IdentityForm:
        """See `SeenSessions`."""
        return self._kept.form

    def regular(self, round_id: int) -> Known:
        """See `SeenSessions`; of a round that is not kept it knows nothing, then `has_former` is asked."""
        return self._kept.regular(round_id)

    def regular_place(self, identity: str) -> Place | None:
        """See `SeenSessions`."""
        return self._kept.regular_place(identity)

    def find(self, identity: str) -> tuple[Place, Versions] | None:
        """See `SeenSessions`."""
        return self._kept.find(identity)

    def has_former(self, session_id: str, identity: str = "") -> bool:
        """Whether it was published, whatever its content was."""
        return identity in self._ids or session_id in self._ids or self._kept.has_former(session_id, identity)

    def has_digest(self, value: bytes) -> bool:
        """See `SeenSessions`."""
        return self._kept.has_digest(value)

    def kept(self, marks: Marks) -> Marks:
        """What of a page's marks has to be durable: of the time whose ids are kept, and all digests."""
        oldest = self._kept.kept_from
        kept = Marks(
            {round_id: entries for round_id, entries in marks.regular.items() if round_id >= oldest},
            {hour: entries for hour, entries in marks.other_ids.items() if hour >= oldest},
        )
        for hour, digests in marks.digests.items():
            kept.digests.setdefault(max(hour, hour_of(oldest)), []).extend(digests)
        return kept

    def published(self, records: Iterable[Record]) -> None:
        """Remember the events of a page that is durable now."""
        for record in records:
            if record.destination is Destination.EVENTS:
                self._ids.update(value.decode() for name, value in record.headers if name == EVENT_ID)
