"""From the configuration to the plain values that the adapters take, and whether they can be used on this machine.

One rule: below this module nobody knows the configuration. Building values reads no file but a password's; `mistakes`
is where everything is tried that can be tried without the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from collector.config import Config, KafkaSection, OrganizationSection, SecretFile
from collector.errors import ConfigurationError
from collector.kafka.membership_settings import HEARTBEATS_A_SESSION_MIN, MembershipSettings
from collector.kafka.settings import KafkaSettings
from collector.sources.thousandeyes import Credentials, SourceSettings


def kafka_settings(section: KafkaSection) -> KafkaSettings:
    """Return what the Kafka side needs to be told.

    Args:
        section: the table ``[kafka]``.

    Raises:
        ConfigurationError: the file with the password cannot be used, or values contradict each other.
    """
    return KafkaSettings(
        bootstrap_servers=section.bootstrap_servers,
        events_topic=section.events_topic,
        dead_letters_topic=section.dead_letters_topic,
        state_topic=section.state_topic,
        shards_topic=section.shards_topic,
        shards=section.shards,
        event_partitions=section.event_partitions,
        replication_factor=section.replication_factor,
        create_topics=section.create_topics,
        accept_empty_state=section.accept_empty_state,
        events_retention_ms=_milliseconds(section.retention),
        dead_letters_retention_ms=_milliseconds(section.dead_letters_retention),
        compression=section.compression,
        transaction_timeout_ms=_milliseconds(section.transaction_timeout),
        security_protocol=section.security_protocol,
        sasl_mechanism=section.sasl_mechanism,
        sasl_username=section.sasl_username,
        sasl_password=_sasl_password(section),
        ssl_ca_file=_text(section.ssl_ca_file),
        ssl_certificate_file=_text(section.ssl_cert_file),
        ssl_key_file=_text(section.ssl_key_file),
        ssl_check_hostname=section.ssl_check_hostname,
        client_id=section.client_id,
    )


def membership_settings(section: KafkaSection, automatic_instance_id: str | None) -> MembershipSettings:
    """Return what the membership of this worker in the group of workers needs to be told.

    Args:
        section: the table ``[kafka]``.
        automatic_instance_id: made up, for when none is configured; None: none can be.
    """
    session_s = section.session_timeout.total_seconds()
    default = MembershipSettings()
    # The defaults are for ten seconds; with other sessions what depends on them moves along.
    return MembershipSettings(
        group_id=section.group_id,
        instance_id=section.instance_id or automatic_instance_id,
        instance_is_automatic=section.instance_id is None and automatic_instance_id is not None,
        session_timeout_s=session_s,
        heartbeat_interval_s=min(default.heartbeat_interval_s, session_s / HEARTBEATS_A_SESSION_MIN),
        rebuild_silence_s=max(default.rebuild_silence_s, 2 * (session_s + default.rebalance_timeout_s)),
    )


def source_settings(section: OrganizationSection) -> SourceSettings:
    """Return what the source of one organization needs to be told. The token's file is read when a request needs it.

    Args:
        section: one of the tables ``[[organizations]]``.

    Raises:
        ConfigurationError: values that the API would refuse or silently ignore.
    """
    return SourceSettings(
        organization=section.name,
        credentials=_credentials(section),
        base_url=section.base_url,
        api_version=section.api_version,
        format=section.format,
        search_filters=section.search_filters,
        request_timeout_s=section.request_timeout.total_seconds(),
        body_bytes_max=int(section.body_limit),
        ca_file=section.ca_file,
        http_allowed=section.allow_http,
    )


def mistakes(config: Config, *, kafka: bool = True, files: bool = True) -> list[str]:
    """Return everything that would stop a start, one line each, found without the network.

    Args:
        config: a valid configuration.
        kafka: whether Kafka is going to be used.
        files: whether to look at the files that the configuration names.
    """
    return [
        *(_kafka_mistakes(config.kafka, files=files) if kafka else ()),
        *(line for index in range(len(config.organizations)) for line in _source_mistakes(config, index, files=files)),
    ]


def require_usable(config: Config, *, kafka: bool = True) -> None:
    """Raise ConfigurationError with everything that would stop a start; see `mistakes`."""
    if found := mistakes(config, kafka=kafka):
        raise ConfigurationError("\n  ".join(["the configuration cannot be used on this machine:", *found]))


def warnings(config: Config, *, files: bool = True) -> list[str]:
    """Return what works but should not stay so, one line each.

    Args:
        config: a valid configuration.
        files: whether to look at the files that the configuration names.
    """
    found = [warning for file in _secret_files(config) if files and (warning := file.warning())]
    for index, organization in enumerate(config.organizations):
        if organization.api_version == "v6":
            found.append(f"organizations[{index}].api_version: unsupported by ThousandEyes since 2025-05-27; use v7")
        if organization.allow_http and organization.base_url.startswith("http:"):
            found.append(f"organizations[{index}].allow_http: the token crosses the network in clear text")
    if config.kafka.accept_empty_state:
        found.append(
            "kafka.accept_empty_state: while it is true, a loss of the state is not noticed; for one start only"
        )
    if config.kafka.security_protocol == "SASL_PLAINTEXT":
        found.append("kafka.security_protocol: the password crosses the network in clear text; use SASL_SSL")
    return found


def _kafka_mistakes(section: KafkaSection, *, files: bool) -> Iterator[str]:
    if not files and section.sasl_password_file is not None:
        section = section.model_copy(update={"sasl_password": SecretStr("not read"), "sasl_password_file": None})
    try:
        kafka_settings(section)
    except ConfigurationError as error:
        yield from str(error).splitlines()
    for key in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
        if files:
            yield from _unreadable(getattr(section, key), f"kafka.{key}")


def _source_mistakes(config: Config, index: int, *, files: bool) -> Iterator[str]:
    section = config.organizations[index]
    try:
        source_settings(section)
    except ConfigurationError as error:
        yield from str(error).splitlines()
    if not files:
        return
    if (file := _token_file(section, f"organizations[{index}].token_file")) is not None:
        try:
            file.read()
        except ConfigurationError as error:
            yield str(error)
    yield from _unreadable(section.ca_file, f"organizations[{index}].ca_file")


def _unreadable(path: Path | None, key: str) -> Iterator[str]:
    if path is None:
        return
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        yield f"{key}: the file {path} {reason}"


def _secret_files(config: Config) -> Iterator[SecretFile]:
    if config.kafka.sasl_password_file is not None:
        yield SecretFile(config.kafka.sasl_password_file, "kafka.sasl_password_file", in_header=False)
    for index, organization in enumerate(config.organizations):
        if (file := _token_file(organization, f"organizations[{index}].token_file")) is not None:
            yield file


def _token_file(section: OrganizationSection, key: str) -> SecretFile | None:
    return None if section.token_file is None else SecretFile(section.token_file, key)


def _credentials(section: OrganizationSection) -> Credentials:
    if (file := _token_file(section, f"organization {section.name!r}: token_file")) is not None:
        return Credentials(lambda: _read(file), section.user, blocks=True)
    if section.token is None:
        raise ConfigurationError(f"organization {section.name!r}: expected token or token_file, found neither")
    return Credentials(section.token.get_secret_value, section.user)


def _read(file: SecretFile) -> str:
    try:
        return file.read().get_secret_value()
    except ConfigurationError as error:  # for the source this may pass: it asks again for the next request
        raise OSError(str(error)) from None


def _sasl_password(section: KafkaSection) -> str | None:
    if section.sasl_password_file is not None:
        file = SecretFile(section.sasl_password_file, "kafka.sasl_password_file", in_header=False)
        return file.read().get_secret_value()
    return None if section.sasl_password is None else section.sasl_password.get_secret_value()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _milliseconds(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))
