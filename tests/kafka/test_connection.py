"""Security settings: how they reach the client, and what is refused before anything connects."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from collector.errors import ConfigurationError
from collector.kafka.connection import client_arguments
from tests.kafka.publications import settings_for

SASL = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "collector", "sasl_password": "hunter2"}


def test_plaintext_needs_nothing() -> None:
    """Without security only address, name and time-out are passed."""
    arguments = client_arguments(settings_for("a:1,b:2", "x", client_id="c"), role="shard-3")
    assert arguments == {
        "bootstrap_servers": "a:1,b:2",
        "client_id": "c-shard-3",
        "request_timeout_ms": 10_000,
        "security_protocol": "PLAINTEXT",
    }


def test_sasl_over_plaintext() -> None:
    """User, password and mechanism are passed under aiokafka's names, and no TLS context."""
    arguments = client_arguments(settings_for("a:1", "x", security_protocol="SASL_PLAINTEXT", **SASL), role="r")
    assert arguments["security_protocol"] == "SASL_PLAINTEXT"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_username"] == "collector"
    assert arguments["sasl_plain_password"] == "hunter2"
    assert "ssl_context" not in arguments


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_uses_the_operating_systems_authorities_by_default(protocol: str) -> None:
    """TLS verifies certificate and host name, also when no file is given."""
    sasl = SASL if protocol == "SASL_SSL" else {}
    arguments = client_arguments(settings_for("a:1", "x", security_protocol=protocol, **sasl), role="r")
    context = arguments["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert ("sasl_plain_password" in arguments) == (protocol == "SASL_SSL")


def test_given_context_is_used_as_it_is() -> None:
    """A finished TLS context goes through unchanged."""
    context = ssl.create_default_context()
    settings = settings_for("a:1", "x", security_protocol="SSL", ssl_context=context)
    assert client_arguments(settings, role="r")["ssl_context"] is context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")
def test_certificate_files_are_loaded(tmp_path: Path) -> None:
    """Authority, certificate and encrypted key are read; a wrong password is told, not shown, and not asked for."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-x509", "-newkey", "rsa:2048", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(key), "-out", str(certificate), "-passout", "pass:hunter2"]
    subprocess.run(["openssl", "req", *subject, *files], check=True, capture_output=True)
    paths = {
        "security_protocol": "SSL",
        "ssl_ca_file": str(certificate),
        "ssl_certificate_file": str(certificate),
        "ssl_key_file": str(key),
    }
    settings = settings_for("a:1", "x", ssl_key_password="hunter2", ssl_check_hostname=False, **paths)
    context = client_arguments(settings, role="r")["ssl_context"]
    assert len(context.get_ca_certs()) == 1
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED

    for password in ("hunter3", None):
        with pytest.raises(ConfigurationError, match=r"kafka\.ssl_key_file") as caught:
            client_arguments(settings_for("a:1", "x", ssl_key_password=password, **paths), role="r")
        assert "hunter" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is a mistake in the configuration, and the message names it."""
    settings = settings_for("a:1", "x", security_protocol="SSL", ssl_ca_file=str(tmp_path / "nowhere.pem"))
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        client_arguments(settings, role="r")


def test_contradictions_are_all_told_at_once() -> None:
    """Settings that cannot work are refused when they are made, one line each."""
    with pytest.raises(ConfigurationError) as caught:
        settings_for(
            "a:1",
            "x",
            shards=0,
            replication_factor=0,
            batch_bytes=10,
            compression="brotli",
            send_timeout_s=20,
            commit_timeout_s=0,
            transaction_timeout_ms=10_000,
            security_protocol="SASL_SSL",
            ssl_key_file="key.pem",
            dead_letters_topic="x.events",
        )
    told = [line.split(":")[0] for line in str(caught.value).splitlines()]
    assert told == [
        "kafka",
        "kafka.shards",
        "kafka.replication_factor",
        "kafka.batch_bytes",
        "kafka.compression",
        "kafka.commit_timeout_s",
        "kafka.transaction_timeout_ms",
        "kafka.sasl_mechanism",
        "kafka.sasl_username, kafka.sasl_password",
        "kafka.ssl_key_file",
    ]


def test_unknown_protocol_is_refused() -> None:
    """A misspelt protocol does not fall back to an insecure one."""
    with pytest.raises(ConfigurationError, match="PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, got TLS"):
        settings_for("a:1", "x", security_protocol="TLS")
