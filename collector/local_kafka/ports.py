"""Chooses and checks TCP ports on the loopback interface.

The one rule: never a port of the range from which the kernel takes the local ports of outgoing connections (from 32768
on Linux, from 49152 on macOS). A client that reconnects to a killed broker in that range can, by chance, connect to
itself and so keep the port from the broker that comes back.
"""

import random
import socket
from collections.abc import Collection, Iterator

from collector.local_kafka.errors import BrokerFailed, PortInUse
from collector.local_kafka.settings import LOOPBACK, Node

_FIRST_PORT, _LAST_PORT = 20_000, 32_767
_TRIES_MAX = 200  # of 12 768 ports; more refusals than that mean that binding itself does not work


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now; connections that linger after a close do not matter."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java's server sockets do
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def choose_nodes(brokers: int, first_client_port: int) -> tuple[Node, ...]:
    """Give every broker its ports.

    Args:
        brokers: how many.
        first_client_port: client port of the first one, the others follow it; 0 chooses free ones.

    Raises:
        PortInUse: a port that was asked for is taken.
        BrokerFailed: no free port was found.
    """
    asked = [first_client_port + i for i in range(brokers)] if first_client_port else []
    free = _free_ports(random.SystemRandom(), asked)
    for port in asked:
        if not is_free(port):
            raise PortInUse(port)
    client_ports = asked or [next(free) for _ in range(brokers)]
    controller_ports = [next(free) for _ in range(brokers)]
    return tuple(
        Node(node_id, client_port, controller_port)
        for node_id, (client_port, controller_port) in enumerate(zip(client_ports, controller_ports, strict=True), 1)
    )


def _free_ports(rng: random.Random, promised: Collection[int]) -> Iterator[int]:
    """Yield different free ports; another process may still take one before it is used: the caller then starts over.

    Args:
        rng: what chooses.
        promised: ports that are free as long as their broker has not started; they are left out.
    """
    for port in rng.sample(range(_FIRST_PORT, _LAST_PORT + 1), _TRIES_MAX):
        if port not in promised and is_free(port):
            yield port
    raise BrokerFailed(f"No free port between {_FIRST_PORT} and {_LAST_PORT} on {LOOPBACK}: close some listeners.")
