"""The ways Kafka can fail, as our callers see them, and the one place where aiokafka's words become ours.

    StartRefused
    └── KafkaUnreachable      nobody answered in time, or nobody who knows us; asking again later can help
    PublishFailed             outcome unknown: forget the memory, open a new sink
    ├── Fenced                another owner of the shard (normal while workers join), the broker's transaction timeout,
    │                         or nothing published for longer than it keeps transactional ids (7 days by default)
    └── RecordsRejected       the broker will never take a batch: the same records again would fail again
        └── RecordTooLarge    known beforehand: nothing was sent, and the sink stays usable

Nothing here carries a credential: texts name servers, topics, shards, and the class of the client's error.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.errors import (
    CorruptRecordException,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
)

from collector.errors import RecordsRejected, StartRefused

# Error codes of the broker that say "these bytes, never": asking again cannot help.
# https://kafka.apache.org/protocol.html#protocol_error_codes (10, 32, 2)
_REJECTIONS = (MessageSizeTooLargeError, InvalidTimestampError, CorruptRecordException)

FENCED_INSTANCE_ID = 82
"""The code, which aiokafka has no name for: the instance id is another process's by now, and we are no member any more.
https://kafka.apache.org/protocol.html#protocol_error_codes"""

_FENCINGS = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)


class KafkaUnreachable(StartRefused):
    """No broker answered in time, or none let us in. Unlike other refusals it may pass by itself."""


class RecordTooLarge(RecordsRejected):
    """Records larger than a batch. No transaction was begun and the sink stays usable.

    Args:
        topic: where the first of them was to go.
        indexes: positions in ``Publication.records``, ascending, at least one.
        limit_bytes: what a record may take: ``TransactionalSink.max_record_bytes``.
    """

    def __init__(self, indexes: Sequence[int], limit_bytes: int, *, topic: str) -> None:
        super().__init__(
            f"kafka: {len(indexes)} records, the first for {topic}, are larger than {limit_bytes} bytes",
            topic=topic,
            partition=-1,
            reason="RecordTooLarge",
        )
        self.indexes = tuple(indexes)
        self.limit_bytes = limit_bytes

    @property
    def index(self) -> int:
        """The first of them."""
        return self.indexes[0]


def is_rejection(error: BaseException) -> bool:
    """Whether the broker refused the bytes themselves."""
    return isinstance(error, _REJECTIONS)


def is_fencing(error: BaseException) -> bool:
    """Whether the broker says that our producer is not the current one."""
    return isinstance(_reason(error), _FENCINGS)


def _reason(error: BaseException) -> BaseException:
    """What the broker said: aiokafka's sender wraps what it does not expect, InvalidProducerIdMapping for one."""
    return error.__cause__ if isinstance(error.__cause__, KafkaError) else error


def unreadable(what: str, bootstrap_servers: str, error: BaseException) -> KafkaUnreachable:
    """A topic that a command cannot read, in one line that says what to look at."""
    return KafkaUnreachable(
        f"kafka: {what} at {bootstrap_servers} failed ({describe(error)}). Are the brokers up, is "
        f"kafka.bootstrap_servers right, and may these credentials read the topic?"
    )


def describe(error: BaseException) -> str:
    """One line about a foreign error: its class and, shortened, its text.

    aiokafka raises assertions and ``KafkaError`` with the real reason only in the text, so the text is kept.
    """
    error = _reason(error)
    text = " ".join(str(error).split())[:300]
    name = type(error).__name__
    if not text or text.startswith(name):  # aiokafka's own errors begin with their class
        return text or name
    return f"{name}: {text}"
