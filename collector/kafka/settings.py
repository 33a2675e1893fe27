"""What the Kafka side needs to be told: plain named values, no file, no environment.

The one rule: a value that cannot work is refused here, when it is made, and not in the middle of a transaction.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from collector.errors import ConfigurationError

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")

DAY_MS = 24 * 60 * 60 * 1000

# Header of a record batch, format v2, and what a record needs besides its bytes: length, attributes, deltas of time and
# offset, lengths of key and value, number of headers, each at its longest. https://kafka.apache.org/documentation/#record
BATCH_HEADER_BYTES = 61
RECORD_OVERHEAD_BYTES = 40

# A smaller batch could not hold the state of one page (8 KB a thousand sessions) beside its overhead.
BATCH_BYTES_MIN = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Where Kafka is, which topics are ours, and how long anything may take.

    Args:
        bootstrap_servers: ``host:port``, several separated by commas.
        events_topic: receives the events.
        dead_letters_topic: receives what could not become a valid event.
        state_topic: compacted; its name also makes the transactional ids (``<state topic>.<shard>``), because whoever
            writes the same state must fence each other.
        shards_topic: hands shards to workers; as many partitions as the state topic.
        shards: partitions of the state and shards topics, >= 1; fixed once the topics exist.
        event_partitions: partitions of the events topic when this program creates it, >= 1.
        dead_letter_partitions: the same for dead letters, >= 1.
        replication_factor: of topics that this program creates, >= 1; None: 3, or the number of brokers if smaller.
        create_topics: create missing topics; otherwise refuse to start and print the commands.
        accept_empty_state: start although the state, or that of a shard, was lost. The ids that were already published
            are then unknown: sessions that the API still shows are published again.
        events_retention_ms: retention of an events topic that this program creates; -1: for ever.
        dead_letters_retention_ms: the same for dead letters.
        shards_retention_ms: the same for the shards topic: for so long after its last day the collector may be down and
            still notice that the state of a shard was lost.
        state_segment_ms: how long a segment of the state topic stays open; only closed segments are compacted.
        state_dirty_ratio: share of uncompacted bytes, 0..1, at which the state topic is compacted.
        compression: codec of the batches; zstd costs the least CPU a byte saved with this client.
        transaction_timeout_ms: after this the broker aborts an open transaction. Longer than send and commit take,
            shorter than the stall that readers may see.
        request_timeout_ms: of one request; the client's own default of 40 s would hide dead brokers.
        batch_bytes: size of a batch before compression; must stay below ``max.message.bytes`` of every topic.
        start_timeout_s: for a new producer, in which the broker first ends the predecessor's transaction.
        send_timeout_s: for all records of a transaction to be acknowledged.
        commit_timeout_s: for the commit.
        close_timeout_s: for each step of closing a client. What is cut off is fenced by the successor.
        restore_timeout_s: for reading the state, plus what its size needs.
        admin_timeout_s: for all questions about topics together.
        security_protocol: one of ``SECURITY_PROTOCOLS``.
        sasl_mechanism: one of ``SASL_MECHANISMS``; needed with SASL_*.
        sasl_username: needed with SASL_*.
        sasl_password: needed with SASL_*; never shown.
        ssl_context: a finished TLS context; the files below are then ignored.
        ssl_ca_file: PEM file of the authorities to trust; None: those of the operating system.
        ssl_certificate_file: PEM file of our certificate, for mutual TLS.
        ssl_key_file: PEM file of its key; None: in the certificate file.
        ssl_key_password: of that key; never shown.
        ssl_check_hostname: False only where brokers are addressed by names that their certificates lack.
        client_id: how the broker names us in its logs, metrics and quotas.

    Raises:
        ConfigurationError: values that contradict each other; one line each.
    """

    bootstrap_servers: str
    events_topic: str
    dead_letters_topic: str
    state_topic: str
    shards_topic: str

    shards: int = 16
    event_partitions: int = 8
    dead_letter_partitions: int = 4
    replication_factor: int | None = None
    create_topics: bool = True
    accept_empty_state: bool = False
    events_retention_ms: int = 7 * DAY_MS
    dead_letters_retention_ms: int = 30 * DAY_MS
    shards_retention_ms: int = 30 * DAY_MS
    state_segment_ms: int = 60 * 60 * 1000
    state_dirty_ratio: float = 0.1

    compression: str = "zstd"
    transaction_timeout_ms: int = 30_000
    request_timeout_ms: int = 10_000
    batch_bytes: int = 900_000

    start_timeout_s: float = 20.0
    send_timeout_s: float = 10.0
    commit_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    restore_timeout_s: float = 20.0
    admin_timeout_s: float = 30.0

    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    ssl_ca_file: str | None = None
    ssl_certificate_file: str | None = None
    ssl_key_file: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True

    client_id: str = "te-collector"

    def __post_init__(self) -> None:
        mistakes = [*_size_mistakes(self), *_deadline_mistakes(self), *_security_mistakes(self)]
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))

    @property
    def topics(self) -> tuple[str, str, str, str]:
        """All four topics: events, dead letters, state, shards."""
        return self.events_topic, self.dead_letters_topic, self.state_topic, self.shards_topic

    @property
    def max_record_bytes(self) -> int:
        """What key, value and headers of one record may take together, with 10 bytes more for each header."""
        return self.batch_bytes - BATCH_HEADER_BYTES - RECORD_OVERHEAD_BYTES

    def transactional_id(self, shard: int) -> str:
        """The id under which all owners of a shard fence each other, for ever: renaming it would unfence old ones."""
        return f"{self.state_topic}.{shard}"


def _size_mistakes(settings: KafkaSettings) -> list[str]:
    mistakes = []
    if len(set(settings.topics)) != len(settings.topics):
        mistakes.append(f"kafka: the four topics need four names, got {', '.join(settings.topics)}")
    counts = {name: getattr(settings, name) for name in ("shards", "event_partitions", "dead_letter_partitions")}
    mistakes += [f"kafka.{name}: must be at least 1, got {count}" for name, count in counts.items() if count < 1]
    if settings.replication_factor is not None and settings.replication_factor < 1:
        mistakes.append(f"kafka.replication_factor: must be at least 1, got {settings.replication_factor}")
    if settings.batch_bytes < BATCH_BYTES_MIN:
        mistakes.append(f"kafka.batch_bytes: must be at least {BATCH_BYTES_MIN}, got {settings.batch_bytes}")
    if settings.compression not in COMPRESSIONS:
        mistakes.append(f"kafka.compression: one of {', '.join(COMPRESSIONS)}, got {settings.compression}")
    return mistakes


def _deadline_mistakes(settings: KafkaSettings) -> list[str]:
    names = [f"{step}_timeout_s" for step in ("start", "send", "commit", "close", "restore", "admin")]
    mistakes = [f"kafka.{name}: must be greater than 0" for name in names if getattr(settings, name) <= 0]
    transaction_s = settings.send_timeout_s + settings.commit_timeout_s
    if settings.transaction_timeout_ms < transaction_s * 1000:
        mistakes.append(
            f"kafka.transaction_timeout_ms: {settings.transaction_timeout_ms} ms is shorter than send_timeout_s + "
            f"commit_timeout_s ({transaction_s:g} s): the broker would abort transactions that are still allowed to run"
        )
    return mistakes


def _security_mistakes(settings: KafkaSettings) -> list[str]:
    mistakes = []
    if settings.security_protocol not in SECURITY_PROTOCOLS:
        mistakes.append(
            f"kafka.security_protocol: one of {', '.join(SECURITY_PROTOCOLS)}, got {settings.security_protocol}"
        )
    if settings.security_protocol.startswith("SASL"):
        if settings.sasl_mechanism not in SASL_MECHANISMS:
            mistakes.append(
                f"kafka.sasl_mechanism: {settings.security_protocol} needs one of {', '.join(SASL_MECHANISMS)}"
            )
        if not settings.sasl_username or not settings.sasl_password:
            mistakes.append(f"kafka.sasl_username, kafka.sasl_password: {settings.security_protocol} needs both")
    if settings.ssl_key_file and not settings.ssl_certificate_file:
        mistakes.append("kafka.ssl_key_file: a key needs its certificate, set kafka.ssl_certificate_file")
    return mistakes
