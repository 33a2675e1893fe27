"""The tables of the configuration file: ``[kafka]``, ``[events]``, ``[admin]`` and every ``[[organizations]]``.

One rule: a key that is here is honoured, and `deploy/collector.example.toml` explains it. Each field's documentation is
what the JSON Schema shows. Secrets are `SecretStr`, so that no representation shows them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from collector.config.durations import Duration, between
from collector.config.values import (
    AccountGroups,
    BaseUrl,
    BootstrapServers,
    FilePath,
    GroupId,
    InstanceId,
    ListenAddress,
    OrganizationName,
    Password,
    SearchFilters,
    Size,
    Token,
    TopicName,
    UserName,
    between_sizes,
    split_host_port,
)

MEBIBYTE = 1024 * 1024

POLL_INTERVAL_MAX: Final = timedelta(minutes=15)
"""The default of ``poll_interval_max``, where ``poll_interval_min`` is no longer."""


class Section(BaseModel):
    """A table of the file: immutable, unknown keys refused, and no error shows the values it was given."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True, protected_namespaces=()
    )


class KafkaSection(Section):
    """``[kafka]``: where the events go."""

    bootstrap_servers: BootstrapServers = "127.0.0.1:9092"
    """Brokers to ask first, host:port, separated by commas."""
    client_id: Annotated[str, Field(min_length=1, max_length=200)] = "te-collector"
    """Name under which brokers log and limit this client."""
    topic_prefix: TopicName = "thousandeyes"
    """First part of the topic names that are not given one by one."""
    events_topic: TopicName = Field(default_factory=lambda given: f"{given['topic_prefix']}.user-sessions")
    """Topic of the events."""
    dead_letters_topic: TopicName = Field(default_factory=lambda given: f"{given['events_topic']}.dlq")
    """Topic of the records that could not become a valid event."""
    state_topic: TopicName = Field(default_factory=lambda given: f"{given['topic_prefix']}.collector.state")
    """Compacted topic that holds progress and seen ids; its name is part of the transactional ids."""
    shards_topic: TopicName = Field(default_factory=lambda given: f"{given['topic_prefix']}.collector.shards")
    """Topic whose partitions a consumer group hands out to the workers."""
    group_id: GroupId = Field(default_factory=lambda given: f"{given['state_topic']}.workers")
    """Consumer group in which workers share the shards; workers that share the state topic must share it too."""
    instance_id: InstanceId | None = None
    """Name of this worker that no other one has and that survives restarts; absent: made up, see the example file."""
    session_timeout: Annotated[Duration, between("1s", "30m")] = timedelta(seconds=10)
    """After this long without a word from a worker the others take over its organizations."""
    shards: Annotated[int, Field(ge=1, le=256)] = 16
    """Partitions of the state topic. Fixed once the topic exists."""
    create_topics: bool = True
    """Create the topics that are missing; otherwise refuse to start without them."""
    event_partitions: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Partitions of the events topic when it is created."""
    replication_factor: Annotated[int, Field(ge=1, le=100)] | None = None
    """Copies of each partition when topics are created; absent: 3, or one on each broker if there are fewer."""
    retention: Annotated[Duration, between("1h", "3650d")] = timedelta(days=7)
    """How long the events topic keeps records, when it is created."""
    dead_letters_retention: Annotated[Duration, between("1h", "3650d")] = timedelta(days=30)
    """How long the topic of dead letters keeps records, when it is created."""
    accept_empty_state: bool = False
    """Start although the state topic is empty and the events topic is not: sessions may be published again."""
    compression: Literal["zstd", "gzip", "snappy", "lz4", "none"] = "zstd"
    """Compression of the batches."""
    transaction_timeout: Annotated[Duration, between("20s", "15m")] = timedelta(seconds=30)
    """After this time the brokers abort a transaction whose owner died; readers may wait as long."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """How to authenticate, with the SASL protocols."""
    sasl_username: Annotated[str, Field(min_length=1)] | None = None
    """User, with the SASL protocols."""
    sasl_password: Password | None = None
    """Password, with the SASL protocols; sasl_password_file is the safer place."""
    sasl_password_file: FilePath | None = None
    """File that holds the password."""
    ssl_ca_file: FilePath | None = None
    """Certificates to trust (PEM); absent: those of the operating system."""
    ssl_cert_file: FilePath | None = None
    """Certificate of this client (PEM), for mutual TLS."""
    ssl_key_file: FilePath | None = None
    """Private key of that certificate (PEM, without a passphrase); absent: in the certificate's file."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate must name the address under which it is reached."""


class EventsSection(Section):
    """``[events]``: the form of the records."""

    key: Literal["userSessionId", "agentId", "aid"] = "userSessionId"
    """What the record key is, and with it the partition."""
    record_timestamp: Literal["session", "collected"] = "session"
    """Record timestamp: when the session took place, or when it was collected."""
    identity: Literal["session", "session-page"] = "session"
    """What an event stands for: a session, or each page row of it that the API lists."""
    revisions: Literal["drop", "publish"] = "drop"
    """What becomes of a published session that comes back with other content: counted only, or an event of its own."""
    late: Literal["dead-letter", "publish", "drop"] = "dead-letter"
    """What becomes of a session that is older than the ids that are kept, so that it may be a duplicate."""


class AdminSection(Section):
    """``[admin]``: status page, metrics and health checks."""

    listen: ListenAddress | None = None
    """Address and port; absent: no admin pages."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen on; None: off."""
        return None if self.listen is None else split_host_port(self.listen)


class OrganizationSection(Section):
    """``[[organizations]]``: one owner of a request quota, and how to poll it."""

    name: OrganizationName
    """Name of your choice. Progress is stored under it: another name starts anew and publishes sessions again."""
    base_url: BaseUrl = "https://api.thousandeyes.com"
    """Where the API is, without the version."""
    allow_http: bool = False
    """Send the token without encryption to a host that is not this machine. For tests only."""
    api_version: Literal["v7", "v6"] = "v7"
    """Version of the API. v6 is unsupported by ThousandEyes since 2025-05-27."""
    format: Literal["json", "xml"] = "json"
    """Format of the answers; XML exists in v6 only."""
    token: Token | None = None
    """API token; token_file is the safer place."""
    token_file: FilePath | None = None
    """File that holds the token; read again when it changes."""
    user: UserName | None = None
    """E-mail address, for Basic authentication in v6; without it the token is sent as Bearer."""
    account_groups: AccountGroups | None = None
    """Ids of the account groups to poll; absent: all that the token can see."""
    search_filters: SearchFilters = Field(default_factory=dict)
    """Filters of the API: a session must match every key, with any of the key's values."""
    quota_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the organization's request quota to use at most; the rest stays for others."""
    poll_interval_min: Annotated[Duration, between("1s", "1h")] = timedelta(seconds=15)
    """Shortest time between two polls of an account group."""
    poll_interval_max: Annotated[Duration, between("1s", "24h")] = Field(
        default_factory=lambda given: max(POLL_INTERVAL_MAX, given["poll_interval_min"])
    )
    """Longest time between two polls of an account group, while the quota suffices."""
    concurrency: Annotated[int, Field(ge=1, le=32)] = 4
    """Pages in flight at the same time, of different account groups."""
    request_timeout: Annotated[Duration, between("1s", "5m")] = timedelta(seconds=30)
    """How long one answer may take."""
    body_limit: Annotated[Size, between_sizes("1MiB", "1GiB")] = ByteSize(16 * MEBIBYTE)
    """Largest answer that is read, such as "64MiB"; a larger one counts as malformed."""
    ca_file: FilePath | None = None
    """Certificates to trust (PEM) besides those of the operating system, for a proxy that inspects TLS."""
