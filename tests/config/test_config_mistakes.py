"""What a person reads after a mistake: the key, what was expected, what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.config import load
from collector.errors import ConfigurationError
from tests.config.conftest import Mistakes

ORGANIZATION = '[[organizations]]\nname = "acme"\n'
ACME = ORGANIZATION + 'token = "t"\n'
SASL = '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nsasl_username = "u"\n'

SINGLE = {
    # a text before the organization: the one line it causes
    'overlap = "soon"': 'overlap: expected a duration such as "90s", "10m", "1h30m" or "1d", found "soon"',
    "overlap = -1": 'overlap: expected a duration such as "90s", "10m", "1h30m" or "1d", found -1',
    "overlap = true": 'overlap: expected a duration such as "90s", "10m", "1h30m" or "1d", found true',
    'late_horizon = "1s"': 'late_horizon: expected a duration from 5m to 30d, found "1s"',
    'grace_period = "1h"': 'grace_period: expected a duration from 1s to 10m, found "1h"',
    'log_level = "loud"': 'log_level: expected "debug", "info", "warning" or "error", found "loud"',
    'late_horizont = "1d"': 'late_horizont: unknown key; did you mean "late_horizon"?',
    "zzz = 1": "zzz: unknown key",
    '_env_file = "x"': "_env_file: unknown key",
    'LATE_HORIZON = "1d"': 'LATE_HORIZON: unknown key; did you mean "late_horizon"?',
    'kafka = "localhost"': "kafka: expected a table, found text",
    "[kafka]\nshards = 0": "kafka.shards: expected at least 1, found 0",
    "[kafka]\nshards = 257": "kafka.shards: expected at most 256, found 257",
    '[kafka]\nshards = "many"': 'kafka.shards: expected a whole number, found "many"',
    "[kafka]\nshards = 1.5": "kafka.shards: expected a whole number, found 1.5",
    '[kafka]\nbootstrap_server = "a:1"': 'kafka.bootstrap_server: unknown key; did you mean "bootstrap_servers"?',
    '[kafka]\nbootstrap_servers = "localhost"': "kafka.bootstrap_servers: expected host:port, several separated by "
    'commas, such as "kafka-1:9092,kafka-2:9092", found "localhost"',
    '[kafka]\nevents_topic = "user sessions"': "kafka.events_topic: expected a Kafka topic name: 1 to 249 letters, "
    'digits, dots, dashes or underscores, found "user sessions"',
    '[kafka]\ntopic_prefix = "é"': "kafka.topic_prefix: expected a Kafka topic name: 1 to 249 letters, digits, dots, "
    'dashes or underscores, found "é"',
    '[kafka]\ncompression = "zip"': 'kafka.compression: expected "zstd", "gzip", "snappy", "lz4" or "none", '
    'found "zip"',
    '[kafka]\ntransaction_timeout = "5s"': 'kafka.transaction_timeout: expected a duration from 20s to 15m, found "5s"',
    '[kafka]\ncreate_topics = "maybe"': 'kafka.create_topics: expected true or false, found "maybe"',
    '[events]\nkey = "agent"': 'events.key: expected "userSessionId", "agentId" or "aid", found "agent"',
    '[admin]\nlisten = ":9108"': 'admin.listen: expected an address and a port, such as "127.0.0.1:9108" or '
    '"[::1]:9108", found ":9108"',
    '[admin]\nlisten = "127.0.0.1:0"': 'admin.listen: expected an address and a port, such as "127.0.0.1:9108" or '
    '"[::1]:9108", found "127.0.0.1:0"',
    # rules about several values
    'overlap = "2h"\nlate_horizon = "1h"': "overlap: expected at most late_horizon (1h), found 2h",
    'late_horizon = "20d"\napi_retention = "14d"\n[kafka]\nretention = "60d"': "late_horizon: expected at most "
    "api_retention (14d), found 20d",
    '[kafka]\nretention = "12h"': "kafka.retention: expected more than late_horizon (1d), because events carry the "
    'session\'s time (events.record_timestamp = "session"), found 12h',
    'initial_lookback = "7d"': "kafka.retention: expected more than initial_lookback (7d), because events carry the "
    'session\'s time (events.record_timestamp = "session"), found 7d',
    '[kafka]\nevents_topic = "a"\nstate_topic = "a"': "kafka.state_topic: expected another topic than events_topic, "
    'found "a" for both',
    '[kafka]\nsasl_username = "u"': 'kafka.sasl_username: expected nothing, because security_protocol is "PLAINTEXT"; '
    'it needs "SASL_SSL" or "SASL_PLAINTEXT"',
    '[kafka]\nssl_ca_file = "ca.pem"': 'kafka.ssl_ca_file: expected nothing, because security_protocol is "PLAINTEXT"; '
    'it needs "SSL" or "SASL_SSL"',
    '[kafka]\nsecurity_protocol = "SSL"\nssl_key_file = "key.pem"': "kafka.ssl_cert_file: expected a file, because "
    "ssl_key_file is given, found nothing",
    SASL: "kafka.sasl_password: expected sasl_password or sasl_password_file, found neither",
    SASL + 'sasl_password = "p"\nsasl_password_file = "p"': "kafka.sasl_password: expected sasl_password or "
    "sasl_password_file, found both",
}

IN_AN_ORGANIZATION = {
    # lines inside the organization that has a name: the one line they cause
    "": "organizations[0].token: expected token or token_file, found neither",
    'token = "t"\ntoken_file = "f"': "organizations[0].token: expected token or token_file, found both",
    'token = "two words"': "organizations[0].token: expected a token: 1 to 8192 visible ASCII characters, no blanks, "
    "found a value that is not shown, because it is a secret",
    'tokn = "x"\ntoken = "t"': 'organizations[0].tokn: unknown key; did you mean "token"?',
    'token = "t"\nquota_share = 0': "organizations[0].quota_share: expected more than 0, found 0",
    'token = "t"\nquota_share = 1.5': "organizations[0].quota_share: expected at most 1, found 1.5",
    'token = "t"\naccount_groups = []': "organizations[0].account_groups: expected at least one account group, none of "
    "them twice (leave the key out for all), found a list of 0",
    'token = "t"\naccount_groups = [7625, "7625"]': "organizations[0].account_groups: expected at least one account "
    "group, none of them twice (leave the key out for all), found a list of 2",
    'token = "t"\naccount_groups = ["acme"]': "organizations[0].account_groups[0]: expected an account group id, such "
    'as "7625", found "acme"',
    'token = "t"\nsearch_filters = ["domain"]': "organizations[0].search_filters: expected a table, found a list of 1",
    'token = "t"\nbody_limit = "2TB"': 'organizations[0].body_limit: expected a size from 1MiB to 1GiB, found "2TB"',
    'token = "t"\nbody_limit = "big"': 'organizations[0].body_limit: expected a size such as "64MiB", found "big"',
    'token = "t"\nbase_url = "api.thousandeyes.com"': "organizations[0].base_url: expected a URL such as "
    'https://api.thousandeyes.com, found "api.thousandeyes.com"',
    'token = "t"\nbase_url = "https://api.thousandeyes.com/v7/"': "organizations[0].base_url: expected a URL without "
    'the version of the API, which api_version gives, found "https://api.thousandeyes.com/v7/"',
    'token = "t"\nbase_url = "https://me:pw@example.com"': "organizations[0].base_url: expected a URL without user, "
    "password, query and fragment, found a URL with user or password",
    'token = "t"\nbase_url = "http://example.com"': "organizations[0].base_url: expected https, because the token "
    'would cross the network in clear text (allow_http = true permits it), found "http://example.com"',
    'token = "t"\nformat = "xml"': 'organizations[0].format: expected "json", because api_version is "v7", found "xml"',
    'token = "t"\nuser = "u"': 'organizations[0].user: expected nothing, because api_version is "v7": only v6 has '
    "Basic authentication",
    'token = "t"\napi_version = "v8"': 'organizations[0].api_version: expected "v7" or "v6", found "v8"',
}


@pytest.mark.parametrize("text", SINGLE)
def test_one_mistake_is_one_readable_line(mistakes: Mistakes, text: str) -> None:
    """Every mistake outside the organizations is told in one line, and nothing is told besides."""
    head, separator, tables = text.partition("[")
    assert mistakes(head + separator + tables + "\n" + ACME) == [SINGLE[text]]


@pytest.mark.parametrize("text", IN_AN_ORGANIZATION)
def test_one_mistake_in_an_organization_is_one_readable_line(mistakes: Mistakes, text: str) -> None:
    """Every mistake in an organization is told in one line with the organization's index."""
    assert mistakes(ORGANIZATION + text) == [IN_AN_ORGANIZATION[text]]


def test_every_mistake_is_told_at_once(mistakes: Mistakes) -> None:
    """A wrong value hides no misfit elsewhere, and what depends on it is not complained about."""
    assert mistakes(
        """
        late_horizon = "1x"
        overlap = "20h"
        [kafka]
        shards = 0
        retention = "1h"
        [[organizations]]
        name = "acme"
        quota_share = 2
        [[organizations]]
        token = "t"
        format = "xml"
        [[organizations]]
        name = "acme"
        token = "t"
        """
    ) == [
        'late_horizon: expected a duration such as "90s", "10m", "1h30m" or "1d", found "1x"',
        "kafka.shards: expected at least 1, found 0",
        "organizations[0].quota_share: expected at most 1, found 2",
        "organizations[1].name: this key is required",
        "kafka.retention: expected more than initial_lookback (1h), because events carry the session's time "
        '(events.record_timestamp = "session"), found 1h',
        'organizations[2].name: expected a name of its own, found "acme", as in organizations[0]',
        "organizations[0].token: expected token or token_file, found neither",
        'organizations[1].format: expected "json", because api_version is "v7", found "xml"',
    ]


def test_no_organization_is_a_mistake_with_advice(mistakes: Mistakes) -> None:
    """Who has configured no organization learns both ways to do it."""
    assert mistakes("") == [
        "no organization is configured: add [[organizations]] with name and token_file to the file, or set "
        "TE_COLLECTOR_TOKEN or TE_COLLECTOR_TOKEN_FILE"
    ]


def test_no_organization_is_fine_where_none_is_needed() -> None:
    """Reading topics needs no organization."""
    assert load(organizations_required=False).config.organizations == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", "Invalid value (at line 2, column 5)"),
        ('a = "x', "Expected '\"' (at end of document)"),
        ("[kafka]\n[kafka]\n", "Cannot declare ('kafka',) twice (at line 2, column 7)"),
    ],
)
def test_text_that_is_not_toml(tmp_path: Path, text: str, message: str) -> None:
    """A syntax error names the file, the line and the column."""
    file = tmp_path / "broken.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: this is not valid TOML: ")
    assert said.endswith(message[message.index("(at") :])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a directory and a file of other bytes are three different messages."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    expected = {
        tmp_path / "none.toml": "the configuration file cannot be read: No such file or directory",
        tmp_path: "the configuration file cannot be read: Is a directory",
        binary: "the configuration file is not UTF-8 text",
    }
    for file, message in expected.items():
        with pytest.raises(ConfigurationError) as caught:
            load(file)
        assert str(caught.value) == f"{file}: {message}"
