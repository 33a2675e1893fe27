"""What must fit together: rules that look at more than one value.

One rule: a rule names every key that it looked at, the one to change first. So it can be left out when one of them is
already known to be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from collector.config.durations import format_duration
from collector.config.sections import EventsSection, KafkaSection, OrganizationSection
from collector.config.values import is_loopback

KeyPath = tuple[str | int, ...]
"""Where a value is: ``("organizations", 0, "token")``."""

Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Values that do not fit together.

    Args:
        keys: every key the rule looked at; the first is the one to report.
        message: what was expected and what was found, without a secret.
    """

    keys: tuple[KeyPath, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Times:
    """The durations at the top of the file that must fit together."""

    initial_lookback: timedelta
    late_horizon: timedelta
    overlap: timedelta
    api_retention: timedelta


class Misfits(ValueError):
    """Carries every misfit through pydantic, which allows one error a validator."""

    def __init__(self, found: tuple[Misfit, ...]) -> None:
        super().__init__("; ".join(misfit.message for misfit in found))
        self.found = found


def misfits(
    times: Times, kafka: KafkaSection, events: EventsSection, organizations: Sequence[OrganizationSection]
) -> tuple[Misfit, ...]:
    """Return everything in the configuration that does not fit together, in the order of the file."""
    return (*_times(times), *_retention(times, kafka, events), *_kafka(kafka), *_organizations(organizations))


def _times(times: Times) -> Iterator[Misfit]:
    if times.overlap > times.late_horizon:
        yield Misfit(
            (("overlap",), ("late_horizon",)),
            f"expected at most late_horizon ({format_duration(times.late_horizon)}), "
            f"found {format_duration(times.overlap)}",
        )
    for key, reach in (("late_horizon", times.late_horizon), ("initial_lookback", times.initial_lookback)):
        if reach > times.api_retention:
            yield Misfit(
                ((key,), ("api_retention",)),
                f"expected at most api_retention ({format_duration(times.api_retention)}), "
                f"found {format_duration(reach)}",
            )


def _retention(times: Times, kafka: KafkaSection, events: EventsSection) -> Iterator[Misfit]:
    # A broker deletes a record by its timestamp: an event that carries an older time would vanish on arrival.
    if events.record_timestamp != "session":
        return
    for key, reach in (("late_horizon", times.late_horizon), ("initial_lookback", times.initial_lookback)):
        if kafka.retention <= reach:
            yield Misfit(
                (("kafka", "retention"), (key,), ("events", "record_timestamp")),
                f"expected more than {key} ({format_duration(reach)}), because events carry the session's time "
                f'(events.record_timestamp = "session"), found {format_duration(kafka.retention)}',
            )


def _kafka(kafka: KafkaSection) -> Iterator[Misfit]:
    topics = {key: getattr(kafka, key) for key in ("events_topic", "dead_letters_topic", "state_topic", "shards_topic")}
    for key, other in _duplicates(topics):
        yield Misfit(
            (("kafka", key), ("kafka", other), ("kafka", "topic_prefix")),
            f'expected another topic than {other}, found "{topics[key]}" for both',
        )
    yield from _sasl(kafka)
    if not kafka.security_protocol.endswith("SSL"):
        for key in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
            if getattr(kafka, key) is not None:
                yield _with_protocol(kafka, key, '"SSL" or "SASL_SSL"')
    if kafka.ssl_key_file is not None and kafka.ssl_cert_file is None:
        yield Misfit(
            (("kafka", "ssl_cert_file"), ("kafka", "ssl_key_file")),
            "expected a file, because ssl_key_file is given, found nothing",
        )


def _sasl(kafka: KafkaSection) -> Iterator[Misfit]:
    protocol = ("kafka", "security_protocol")
    if not kafka.security_protocol.startswith("SASL"):
        for key in ("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file"):
            if getattr(kafka, key) is not None:
                yield _with_protocol(kafka, key, '"SASL_SSL" or "SASL_PLAINTEXT"')
        return
    for key in ("sasl_mechanism", "sasl_username"):
        if getattr(kafka, key) is None:
            yield Misfit(
                (("kafka", key), protocol),
                f'expected a value, because security_protocol is "{kafka.security_protocol}", found nothing',
            )
    both = (("kafka", "sasl_password"), ("kafka", "sasl_password_file"), protocol)
    given = (kafka.sasl_password is not None) + (kafka.sasl_password_file is not None)
    if given != 1:
        yield Misfit(both, f"expected sasl_password or sasl_password_file, found {'both' if given else 'neither'}")


def _with_protocol(kafka: KafkaSection, key: str, protocols: str) -> Misfit:
    return Misfit(
        (("kafka", key), ("kafka", "security_protocol")),
        f'expected nothing, because security_protocol is "{kafka.security_protocol}"; it needs {protocols}',
    )


def _organizations(organizations: Sequence[OrganizationSection]) -> Iterator[Misfit]:
    names = {index: organization.name for index, organization in enumerate(organizations)}
    for index, other in _duplicates(names):
        yield Misfit(
            (("organizations", index, "name"), ("organizations", other, "name")),
            f'expected a name of its own, found "{names[index]}", as in organizations[{other}]',
        )
    for index, organization in enumerate(organizations):
        for keys, message in (
            *_credentials(organization),
            *_transport(organization),
            *_polling(organization),
        ):
            yield Misfit(tuple(("organizations", index, key) for key in keys), message)


def _credentials(organization: OrganizationSection) -> Iterator[tuple[tuple[str, ...], str]]:
    given = (organization.token is not None) + (organization.token_file is not None)
    if given != 1:
        yield ("token", "token_file"), f"expected token or token_file, found {'both' if given else 'neither'}"
    if organization.user is not None and organization.api_version != "v6":
        yield (
            ("user", "api_version"),
            f'expected nothing, because api_version is "{organization.api_version}": only v6 has Basic authentication',
        )


def _transport(organization: OrganizationSection) -> Iterator[tuple[tuple[str, ...], str]]:
    if organization.format == "xml" and organization.api_version != "v6":
        yield (
            ("format", "api_version"),
            f'expected "json", because api_version is "{organization.api_version}", found "xml"',
        )
    plain = organization.base_url.startswith("http:")
    if plain and not organization.allow_http and not is_loopback(organization.base_url):
        yield (
            ("base_url", "allow_http"),
            "expected https, because the token would cross the network in clear text "
            f'(allow_http = true permits it), found "{organization.base_url}"',
        )


def _polling(organization: OrganizationSection) -> Iterator[tuple[tuple[str, ...], str]]:
    shortest, longest = organization.poll_interval_min, organization.poll_interval_max
    if longest < shortest:
        yield (
            ("poll_interval_max", "poll_interval_min"),
            f"expected at least poll_interval_min ({format_duration(shortest)}), found {format_duration(longest)}",
        )


def _duplicates(values: dict[Key, str]) -> Iterator[tuple[Key, Key]]:
    repeated = {value for value, count in Counter(values.values()).items() if count > 1}
    first: dict[str, Key] = {}
    for key, value in values.items():
        if value in repeated and first.setdefault(value, key) != key:
            yield key, first[value]
