"""TLS, SASL and authorization against a real broker: our settings connect, and what may not be done is named."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not mark what it exports
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from collector.errors import PublishFailed, StartRefused
from collector.kafka.errors import KafkaUnreachable
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.tail import tail
from collector.kafka.topics import ensure_topics
from collector.local_kafka import FAST_TEST_PROPERTIES, LocalKafkaSettings, local_kafka
from collector.local_kafka.ports import choose_nodes
from tests.kafka import librdkafka
from tests.kafka.owners import owner
from tests.kafka.publications import publication, settings_for

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl"),
]

USER, PASSWORD = "collector", "hunter2"
PREFIX = "secured"
STARTS = "it starts"
DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Secured:
    """A broker with an open listener for the superuser, and three secured ones.

    Args:
        superuser: where everybody may do everything.
        sasl_ssl: TLS and SCRAM or PLAIN.
        ssl: TLS with client certificates.
        authority: PEM file of the certificate to trust.
        client: PEM file of the client's key and certificate.
    """

    superuser: str
    sasl_ssl: str
    ssl: str
    authority: Path
    client: Path

    def settings(self, prefix: str = PREFIX, **overrides: object) -> KafkaSettings:
        """The collector's settings for SASL_SSL with SCRAM-SHA-512."""
        values: dict[str, object] = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USER,
            "sasl_password": PASSWORD,
            "ssl_ca_file": str(self.authority),
        }
        return settings_for(self.sasl_ssl, prefix, **(values | overrides))


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1: its file, and a file with the key as well, as Kafka wants it."""
    key, cert, both = folder / f"{name}.key", folder / f"{name}.crt", folder / f"{name}.pem"
    subject = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", "req", *subject, *names, *files], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return cert, both


def properties(server: Path, client: Path) -> Mapping[str, str]:
    """What the secured listeners and the authorizer need."""
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    return {
        **FAST_TEST_PROPERTIES,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(client),
        "listener.name.tls.ssl.client.auth": "required",
        "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl.plain.sasl.jaas.config": plain,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:CN=client",
    }


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[Secured]:
    """The broker, with one SCRAM user who may do nothing yet."""
    authority, server = certificate(folder, "server")
    trusted, client = certificate(folder, "client")
    sasl, tls = (node.client_port for node in choose_nodes(2, 0))
    settings = LocalKafkaSettings(
        data_dir=folder / "kafka",
        listeners={"SASL": (sasl, "SASL_SSL"), "TLS": (tls, "SSL")},
        properties=properties(server, trusted),
    )
    async with local_kafka(settings) as cluster:
        await to_thread.run_sync(add_users, cluster.bootstrap_servers)
        yield Secured(cluster.bootstrap_servers, f"127.0.0.1:{sasl}", f"127.0.0.1:{tls}", authority, client)


def add_users(superuser: str) -> None:
    """The same user for both SCRAM mechanisms."""
    admin = AdminClient({"bootstrap.servers": superuser})
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        upsertion = UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
        admin.alter_user_scram_credentials([upsertion])[USER].result(20)


async def allow(superuser: str, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    """The user may do these operations on everything whose name begins so."""

    def create() -> None:
        admin = AdminClient({"bootstrap.servers": superuser})
        bindings = [
            AclBinding(
                kind, name, ResourcePatternType.PREFIXED, f"User:{USER}", "*", operation, AclPermissionType.ALLOW
            )
            for operation in operations
        ]
        for result in admin.create_acls(bindings).values():
            result.result(20)

    await to_thread.run_sync(create)


async def forbid(superuser: str, kind: ResourceType, name: str) -> None:
    """The user may do nothing any more on what was allowed under this name."""

    def delete() -> None:
        every = AclBindingFilter(
            kind, name, ResourcePatternType.PREFIXED, f"User:{USER}", None, AclOperation.ANY, AclPermissionType.ANY
        )
        admin = AdminClient({"bootstrap.servers": superuser})
        for result in admin.delete_acls([every]).values():
            result.result(20)

    await to_thread.run_sync(delete)


async def test_secured_broker(tmp_path: Path) -> None:
    """SCRAM, PLAIN and client certificates work over TLS; wrong credentials, authorities and rights are told apart."""
    async with secured(tmp_path) as broker:
        await refuses_strangers(broker)
        await says_what_is_not_allowed(broker)
        await publishes_and_reads(broker)
        await survives_the_loss_of_a_right(broker)


async def refuses_strangers(broker: Secured) -> None:
    """A wrong password, an unknown authority, no client certificate: no connection, and no secret in the message."""
    quick = {"admin_timeout_s": 10.0}
    for settings in (
        broker.settings(sasl_password="hunter3", **quick),
        broker.settings(ssl_ca_file=str(broker.client), **quick),
        replace(broker.settings(**quick), bootstrap_servers=broker.ssl, security_protocol="SSL"),  # no certificate
    ):
        with pytest.raises(KafkaUnreachable, match=r"kafka\.security_protocol and the credentials") as caught:
            await ensure_topics(settings)
        assert "hunter" not in str(caught.value)


async def starts_or_is_refused(settings: KafkaSettings, expected: str) -> None:
    """What a start comes to, once the broker has heard of the rights that were given: a refusal with these words."""
    with anyio.fail_after(DEADLINE_S):
        while True:
            try:
                await ensure_topics(settings)
                said = STARTS
            except StartRefused as error:
                said = str(error)
            if re.search(expected, said):
                return
            await anyio.sleep(0.2)


async def says_what_is_not_allowed(broker: Secured) -> None:
    """Without rights the topics seem to be missing and cannot be created; without the right to transactions, that."""
    await starts_or_is_refused(broker.settings(), r"is missing and the broker would not create it \(TopicAuthorization")
    everything = (AclOperation.READ, AclOperation.WRITE, AclOperation.CREATE, AclOperation.DESCRIBE)
    await allow(broker.superuser, ResourceType.TOPIC, PREFIX, *everything, AclOperation.DESCRIBE_CONFIGS)
    transactions = f"right to write and describe transactional ids that begin with {PREFIX}"
    await starts_or_is_refused(broker.settings(), transactions)
    await allow(broker.superuser, ResourceType.TRANSACTIONAL_ID, PREFIX, AclOperation.WRITE, AclOperation.DESCRIBE)


async def publishes_and_reads(broker: Secured) -> None:
    """Topics, transactions, the restore and tail: with each mechanism, and with a client certificate."""
    certificate_only = replace(
        broker.settings(),
        bootstrap_servers=broker.ssl,
        security_protocol="SSL",
        ssl_certificate_file=str(broker.client),
    )
    await starts_or_is_refused(broker.settings(), STARTS)
    ways = [
        broker.settings(),
        broker.settings(sasl_mechanism="SCRAM-SHA-256"),
        broker.settings(sasl_mechanism="PLAIN"),
        certificate_only,
    ]
    for number, settings in enumerate(ways):
        async with owner(settings) as (sink, state):
            assert state == ({"n": b"%d" % (number - 1)} if number else {})
            await sink.publish(publication([str(number)], {"n": b"%d" % number}))
        read = [record.key async for record in tail(settings, from_beginning=True, max_records=number + 1)]
        assert len(read) == number + 1
    assert await librdkafka.keys(broker.superuser, f"{PREFIX}.events") == ["0", "1", "2", "3"]


async def survives_the_loss_of_a_right(broker: Secured) -> None:
    """The right to write is taken away while we run: nothing is committed, the reason is told, and it may come back."""
    settings = broker.settings()
    layout = await ensure_topics(settings)
    published, failure = 4, None
    async with owner(settings, layout=layout) as (sink, _):
        await forbid(broker.superuser, ResourceType.TOPIC, PREFIX)
        with anyio.fail_after(DEADLINE_S):
            while failure is None:  # the broker hears of it a moment later
                try:
                    await sink.publish(publication([str(published)], {"n": b"%d" % published}))
                    published += 1
                except PublishFailed as error:
                    failure = error
    assert "TopicAuthorizationFailed" in str(failure)
    again = TransactionalSink(settings, layout, 0)
    with pytest.raises(PublishFailed):
        await again.open()
    await again.close()
    everything = (AclOperation.READ, AclOperation.WRITE, AclOperation.CREATE, AclOperation.DESCRIBE)
    await allow(broker.superuser, ResourceType.TOPIC, PREFIX, *everything, AclOperation.DESCRIBE_CONFIGS)
    await starts_or_is_refused(settings, STARTS)
    async with owner(settings, layout=layout) as (sink, state):
        assert state == {"n": b"%d" % (published - 1)}
        await sink.publish(publication([str(published)], {"n": b"%d" % published}))
    keys = await librdkafka.keys(broker.superuser, f"{PREFIX}.events")
    assert keys == sorted(str(number) for number in range(published + 1))
