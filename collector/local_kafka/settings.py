"""What a local Kafka is asked to be, and the broker properties that follow from it.

The one rule: pure values; nothing here touches a file, a port or a process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

KAFKA_VERSION = "4.3.1"  # the lock file kafka-4.3.1.jars beside this module
LOOPBACK = "127.0.0.1"  # brokers have no access control: never reachable from another machine

# Small buffers and few threads: a broker fits beside the program that is being tried out (about 200 MB).
_BASE_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": "data",  # relative to the broker's directory, so that no path needs escaping
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "100",
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": "4194304",  # must exceed 1 MiB a cleaner thread
        "log.cleaner.io.buffer.size": "131072",
        "broker.session.timeout.ms": "3000",  # a broker killed with -9 waits for its own old session
        "broker.heartbeat.interval.ms": "500",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
        # With Kafka's default of 30 s, read_committed readers were sometimes stuck for over 18 s after a kill -9 right
        # behind a commit; not seen with 2 s. The likely reason: unwritten markers wait for a poll of this length.
        "request.timeout.ms": "2000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
    }
)

# Seconds become tenths: cleaning, time-outs of transactions, and the restart after kill -9.
FAST_TEST_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "log.cleaner.backoff.ms": "300",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
        "broker.session.timeout.ms": "1000",
        "broker.heartbeat.interval.ms": "200",
    }
)


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalKafkaSettings:
    """What to start.

    Args:
        data_dir: holds cluster id, topics and logs; kept, and used again by the next start. Created if missing.
        port: client port of the first broker on 127.0.0.1 (the others follow it); 0 chooses free ports.
        brokers: 1, or 3 with replication factor 3 and two replicas in sync.
        properties: broker properties that override ours.
        listeners: further listeners of the first broker on 127.0.0.1: name -> (port, security protocol). What they need
            besides belongs into `properties`.
        jars_dir: directory that holds the jars of the lock file; by default they are fetched once and cached.
        cache_dir: for jars and ahead-of-time caches; by default the user's cache directory.
        heap_mb: Java heap of each broker in MiB.
        start_timeout_s: seconds from the start of the Java processes until every broker must answer.
        report: is told, one line each, about steps that take long.
    """

    data_dir: Path
    port: int = 0
    brokers: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    jars_dir: Path | None = None
    cache_dir: Path | None = None
    heap_mb: int = 256
    start_timeout_s: float = 120.0
    report: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        """Refuse cluster sizes for which the replication settings make no sense, and ports that do not exist."""
        if self.brokers not in (1, 3):
            raise ValueError(f"brokers must be 1 or 3, not {self.brokers}")
        port_max = 65_536 - self.brokers
        if not 0 <= self.port <= port_max:
            raise ValueError(f"port must be between 0 and {port_max}, not {self.port}")


@dataclass(frozen=True, slots=True)
class Node:
    """One broker's identity and ports; the ports stay the same while the cluster runs."""

    node_id: int
    client_port: int
    controller_port: int


def broker_properties(
    node: Node,
    nodes: tuple[Node, ...],
    overrides: Mapping[str, str],
    further_listeners: Mapping[str, tuple[int, str]] | None = None,
) -> dict[str, str]:
    """Return one broker's complete properties.

    The quorum's voters are static even for one broker: they are then not written into the data directory, and the
    controller ports may differ at each start.

    Args:
        node: the broker.
        nodes: all brokers of the cluster, this one included.
        overrides: win over everything else.
        further_listeners: see `LocalKafkaSettings.listeners`.
    """
    factor = str(len(nodes))
    in_sync = str(len(nodes) // 2 + 1)
    listeners = f"PLAINTEXT://{LOOPBACK}:{node.client_port},CONTROLLER://{LOOPBACK}:{node.controller_port}"
    protocols = _BASE_PROPERTIES["listener.security.protocol.map"]
    for name, (port, protocol) in (further_listeners or {}).items():
        listeners += f",{name}://{LOOPBACK}:{port}"
        protocols += f",{name}:{protocol}"
    return {
        **_BASE_PROPERTIES,
        "node.id": str(node.node_id),
        "controller.quorum.voters": ",".join(f"{n.node_id}@{LOOPBACK}:{n.controller_port}" for n in nodes),
        "listeners": listeners,
        "listener.security.protocol.map": protocols,
        "advertised.listeners": listeners,
        "default.replication.factor": factor,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": factor,
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": in_sync,
        **overrides,
    }


def render_properties(properties: Mapping[str, str]) -> str:
    """Return the text of a Java properties file, which is ASCII with backslash escapes."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in properties.items())


def _escape(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n")
    units = escaped.encode("utf-16-be")
    characters = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(c) if 0x20 < c < 0x7F else f"\\u{c:04x}" for c in characters)
