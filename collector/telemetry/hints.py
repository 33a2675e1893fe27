"""What an operator can do about it: the sentences and hints of the log lines.

Rule: words only.
"""

from __future__ import annotations

from collector.core.identity import Notice
from collector.core.ledger_entries import Why

_ONCE = "; this line comes once an account group, the metrics and the status page count"
NOTICES = {
    Notice.LATE: (
        "a session is older than the ids that are kept",
        "it may have been published before; events.late says what becomes of it" + _ONCE,
    ),
    Notice.OTHER_PAGE: (
        "a published session came back with another page",
        'events.identity = "session-page" makes each page an event, revisions = "publish" sends it again' + _ONCE,
    ),
    Notice.CHANGED: (
        "a published session came back changed",
        'events.revisions = "publish" sends changed content again' + _ONCE,
    ),
    Notice.TOO_MANY: (
        "a published session came back with more contents than are told apart",
        "more are neither remembered nor published; does the API change a field with every answer" + _ONCE,
    ),
}
PARKED_HINTS = {
    "forbidden": "may the token see this account group",
    "wrong_account_group": "may the token see this account group",
    "refused_by_kafka": "the topic's settings refuse a record of its next page: see detail; nothing of it is lost",
}
LOST_HINTS = {
    Why.RETENTION: "nothing was collected there while ThousandEyes still had it; te-collector gaps lists such ranges",
    Why.GIVEN_UP: "the API never showed this round to its end, see detail; te-collector gaps lists such ranges",
}
STOPPED_HINTS = {
    "unauthorized": "correct the token; a changed token file is noticed within seconds",
    "version_gone": "is base_url right, and does api_version still exist there",
}
