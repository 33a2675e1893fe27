"""From the configuration to what the adapters take."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from collector.composition import kafka_settings, source_settings
from collector.config import Config, KafkaSection, OrganizationSection
from collector.config.sections import EventsSection
from collector.core.collect import Choices
from collector.core.identity import Identity, IdentityForm, Late, Revisions
from collector.errors import ConfigurationError
from collector.kafka.settings import KafkaSettings
from collector.service.assembly import organization_settings, page_collector
from collector.sources.thousandeyes import SourceSettings


def test_defaults_of_the_configuration_are_those_of_the_adapters() -> None:
    """What is written down twice says the same."""
    section = KafkaSection()
    settings = kafka_settings(section)
    different = {
        field.name: (getattr(settings, field.name), field.default)
        for field in fields(KafkaSettings)
        if getattr(settings, field.name) != field.default
    }
    assert set(different) == {
        "bootstrap_servers", "events_topic", "dead_letters_topic", "state_topic", "shards_topic"
    }  # fmt: skip
    source = source_settings(OrganizationSection(name="acme", token=SecretStr("t")))
    different_source = {
        field.name
        for field in fields(SourceSettings)
        if field.name != "search_filters" and getattr(source, field.name) != field.default
    }
    assert different_source == {"organization", "credentials"}


def test_every_value_arrives() -> None:
    """Units included."""
    settings = kafka_settings(
        KafkaSection(
            retention=timedelta(days=1),
            transaction_timeout=timedelta(seconds=60),
            security_protocol="SASL_SSL",
            sasl_mechanism="PLAIN",
            sasl_username="u",
            sasl_password=SecretStr("p"),
            ssl_cert_file=Path("c.pem"),
            ssl_check_hostname=False,
        )
    )
    assert (settings.events_retention_ms, settings.transaction_timeout_ms) == (86_400_000, 60_000)
    assert (settings.sasl_password, settings.ssl_certificate_file, settings.ssl_check_hostname) == ("p", "c.pem", False)


@pytest.mark.anyio
async def test_a_token_is_read_when_it_is_used(tmp_path: Path) -> None:
    """A rotated token is in the next request; a file that never was there is an error of that request."""
    file = tmp_path / "token"
    credentials = source_settings(OrganizationSection(name="acme", token_file=file)).credentials
    with pytest.raises(OSError, match="does not exist"):
        await credentials.authorization()
    await anyio.Path(file).write_text("first\n")
    assert (await credentials.authorization()).header == "Bearer first"
    await anyio.Path(file).write_text("second\n")
    assert (await credentials.authorization()).header == "Bearer second"


def test_a_password_from_a_file(tmp_path: Path) -> None:
    """It is read when the settings are made."""
    file = tmp_path / "password"
    section = KafkaSection(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="u", sasl_password_file=file
    )
    with pytest.raises(ConfigurationError, match=r"kafka\.sasl_password_file: the file .* does not exist"):
        kafka_settings(section)
    file.write_text("two words\n")
    assert kafka_settings(section).sasl_password == "two words"


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize("revisions", Revisions)
@pytest.mark.parametrize("late", Late)
def test_what_an_event_stands_for_arrives(identity: Identity, revisions: Revisions, late: Late) -> None:
    """The three choices of ``[events]``; and what is remembered says where rows come from, whose checks compare."""
    section = OrganizationSection(name="acme", token=SecretStr("t"), api_version="v6", format="xml")
    choices = EventsSection(identity=identity.value, revisions=revisions.value, late=late.value)
    config = Config(events=choices, organizations=(section,))
    assert page_collector(config, 100_000).choices == Choices(revisions, late)
    assert organization_settings(config, section).identity == IdentityForm(identity, "v6 xml")


def test_the_default_is_each_session_once() -> None:
    """Without a word in the file: by session id, changes counted, late ones dead-lettered."""
    section = OrganizationSection(name="acme", token=SecretStr("t"))
    config = Config(organizations=(section,))
    assert page_collector(config, 100_000).choices == Choices(Revisions.DROP, Late.DEAD_LETTER)
    assert organization_settings(config, section).identity == IdentityForm(Identity.SESSION, "v7 json")
