"""Every error the collector raises on purpose, grouped by who acts on it.

    CollectorError
    ├── ConfigurationError     the operator: the file or the environment is wrong (exit code 2)
    ├── StartRefused           the operator: topics or state would break the promise (exit code 1)
    ├── SourceError            the organization's loop: what the API answered decides when to ask again
    │   ├── ApiRejected        an answer other than a page, or no answer at all
    │   └── PageMalformed      an answer 200 that is not a page
    ├── OrganizationStalled    the shard: the organization starts over alone
    └── PublishFailed          the shard: the outcome is UNKNOWN; forget the memory and restore
        ├── Fenced             and another owner has the shard, or the transaction took too long for the broker
        ├── RecordsRejected    and Kafka refuses records for what is in them: their account group is parked
        └── Stalled            and the sink overran its own deadlines: the watchdog gave it up

An error never carries a credential, a request header or a next link (it may hold one).
"""

from __future__ import annotations

from enum import StrEnum

from collector.core.model import NO_ANSWER, Answer


class CollectorError(Exception):
    """Base of all errors raised on purpose; never raised itself."""


class ConfigurationError(CollectorError):
    """The configuration cannot be used; the message lists every mistake, one a line."""


class StartRefused(CollectorError):
    """Starting would break a promise (unsafe topic settings, foreign state); the message says what to do."""


class Rejection(StrEnum):
    """Why the API gave no page, named by what the collector does about it."""

    UNAUTHORIZED = "unauthorized"  # 401: the credentials are wrong; the organization stops at once
    FORBIDDEN = "forbidden"  # 403: the token may not see this account group; the group is parked
    BAD_REQUEST = "bad_request"  # 400 and other 4xx: first page parks the group, a later page restarts the walk
    WRONG_ACCOUNT_GROUP = "wrong_account_group"  # 200, but the ids belong to another account group; parked
    VERSION_GONE = "version_gone"  # 301, 404, 410: this version of the API is not there
    RATE_LIMITED = "rate_limited"  # 429: hold until the reset
    UNAVAILABLE = "unavailable"  # 5xx: the API's own trouble; back off
    UNREACHABLE = "unreachable"  # no complete answer: connection, time-out, broken off; back off


class SourceError(CollectorError):
    """The API gave no page.

    Args:
        detail: what came instead, for people; one line, at most a few hundred characters, no secrets.
        answer: status, quota and date of the answer; ``NO_ANSWER`` when none arrived.
    """

    def __init__(self, detail: str, answer: Answer = NO_ANSWER) -> None:
        super().__init__(detail)
        self.detail = detail
        self.answer = answer


class ApiRejected(SourceError):
    """The API answered, or failed to answer, with something other than a page; ``kind`` says what follows."""

    def __init__(self, kind: Rejection, detail: str, answer: Answer = NO_ANSWER) -> None:
        super().__init__(detail, answer)
        self.kind = kind


class PageMalformed(SourceError):
    """The API answered 200 with a body that is no page: broken off, too large, of another shape."""


class OrganizationStalled(CollectorError):
    """An organization waits beyond every deadline; the watchdog starts it over, and the message says where it stood."""


class TooManyEvents(CollectorError):
    """More events than ids may be held in memory: ask for a shorter time."""


class PublishFailed(CollectorError):
    """A transaction did not end as known. It may be readable or not: only a restore can tell."""


class Fenced(PublishFailed):
    """Our producer counts no more: a newer one of the same shard, or a transaction or a pause that was too long."""


class Stalled(PublishFailed):
    """The sink did not come back by its own deadlines; it was given up.

    Args:
        part: what it was doing: ``commit`` or ``restore``.
        waited_s: for how long.
    """

    def __init__(self, part: str, waited_s: float) -> None:
        super().__init__(f"{part}: the sink did not come back for {waited_s:g} s, beyond all of its own deadlines")
        self.part = part


class RecordsRejected(PublishFailed):
    """Kafka refuses records for what is in them. The same records again would be refused again.

    Args:
        topic: where they were to go.
        partition: the same.
        reason: Kafka's name for it.
    """

    def __init__(self, message: str, *, topic: str, partition: int, reason: str) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition
        self.reason = reason
