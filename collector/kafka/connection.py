"""How every client of this package reaches the brokers: addresses, TLS, SASL.

The one rule: security arguments are made here and nowhere else, so that producer, reader and administration
cannot differ.
"""

from __future__ import annotations

import ssl
from typing import Any

import truststore

from collector.errors import ConfigurationError
from collector.kafka.settings import KafkaSettings


def client_arguments(settings: KafkaSettings, *, role: str) -> dict[str, Any]:
    """The keyword arguments that aiokafka's producer, consumer and administration client share.

    Args:
        settings: see there.
        role: what this client is for; part of the client id, so that broker logs tell our clients apart.

    Raises:
        ConfigurationError: the certificate files cannot be used.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": f"{settings.client_id}-{role}",
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol in ("SSL", "SASL_SSL"):
        arguments["ssl_context"] = settings.ssl_context or _ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = settings.sasl_password
    return arguments


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """A TLS context from the files. Made anew for each client, so that renewed certificates are picked up."""
    try:
        if settings.ssl_ca_file is None:
            context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        else:
            context = ssl.create_default_context(cafile=settings.ssl_ca_file)
        context.check_hostname = settings.ssl_check_hostname
        if settings.ssl_certificate_file is not None:
            context.load_cert_chain(
                settings.ssl_certificate_file,
                settings.ssl_key_file,
                # Without a password OpenSSL would ask on the terminal, and wait for ever.
                settings.ssl_key_password or "",
            )
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigurationError(
            f"kafka: the TLS files cannot be used ({type(error).__name__}: {error}); check kafka.ssl_ca_file "
            f"({settings.ssl_ca_file}), kafka.ssl_certificate_file ({settings.ssl_certificate_file}) and "
            f"kafka.ssl_key_file ({settings.ssl_key_file})"
        ) from error
    return context
