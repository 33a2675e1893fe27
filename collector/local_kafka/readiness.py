"""Waits until brokers do what the collector needs of them.

The one rule: ready is what was seen to work. An open port or an answered ApiVersions comes seconds before the
transaction coordinator, so what counts is that each broker's Metadata lists the whole cluster and that FindCoordinator
and InitProducerId answer, which is what a transactional producer's start does.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from anyio.abc import SocketAttribute

from collector.local_kafka.settings import LOOPBACK

_PROBE_ID = "te-collector.local-kafka.readiness"  # always the same: each transactional id stays on the brokers for days
_PROBE_TIMEOUT_S = 5.0  # then with new client objects; the first answer of a fresh cluster took 0.6 s
_CLOSE_TIMEOUT_S = 1.0
_POLL_S = 0.05


async def wait_until_ready(ports: Sequence[int], brokers: int, check_alive: Callable[[], Awaitable[None]]) -> None:
    """Wait until the brokers are ready; the caller sets the deadline.

    Args:
        ports: client ports of the brokers to wait for.
        brokers: how many brokers each must know of.
        check_alive: called between tries; raises to end the wait.
    """
    for port in ports:
        while not (await _accepts(port) and await _answers(port, brokers)):
            await check_alive()
            await anyio.sleep(_POLL_S)


async def _accepts(port: int) -> bool:
    """Return whether somebody listens; spares us the client library's complaints about a port not opened yet."""
    try:
        stream = await anyio.connect_tcp(LOOPBACK, port)
    except OSError:
        return False
    async with stream:
        # A connection from a port to itself is possible while nobody listens there.
        local_port: int = stream.extra_attributes[SocketAttribute.local_port]()
        return local_port != port


async def _answers(port: int, brokers: int) -> bool:
    """Return whether the broker knows of all brokers and a transactional producer can start through it."""
    producer = AIOKafkaProducer(bootstrap_servers=f"{LOOPBACK}:{port}", transactional_id=_PROBE_ID)
    started = False
    try:
        with anyio.move_on_after(_PROBE_TIMEOUT_S):
            await producer.client.bootstrap()
            if len(producer.client.cluster.brokers()) == brokers:
                await producer.start()
                started = True
    except (KafkaError, OSError):
        return False
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
            await producer.stop()
    return started
