"""Settings and broker properties."""

from itertools import islice
from pathlib import Path
from random import Random

import pytest

from collector.local_kafka.errors import PortInUse
from collector.local_kafka.ports import _free_ports, choose_nodes, is_free
from collector.local_kafka.settings import LocalKafkaSettings, Node, broker_properties, render_properties
from tests.local_kafka.listening import listener


@pytest.mark.parametrize("brokers", [0, 2, 4])
def test_cluster_sizes(brokers: int) -> None:
    """Only one broker, or three with a quorum, make sense."""
    with pytest.raises(ValueError, match="1 or 3"):
        LocalKafkaSettings(data_dir=Path("unused"), brokers=brokers)


@pytest.mark.parametrize(("port", "brokers"), [(-1, 1), (65_536, 1), (65_534, 3)])
def test_ports_exist(port: int, brokers: int) -> None:
    """Every broker's port is one that exists."""
    with pytest.raises(ValueError, match="port must be between 0 and"):
        LocalKafkaSettings(data_dir=Path("unused"), port=port, brokers=brokers)


@pytest.mark.parametrize(("brokers", "factor", "in_sync"), [(1, "1", "1"), (3, "3", "2")])
def test_replication(brokers: int, factor: str, in_sync: str) -> None:
    """Internal topics get the replication that the cluster can give; with more InitProducerId never answers."""
    nodes = tuple(Node(i, 20_000 + i, 21_000 + i) for i in range(1, brokers + 1))
    properties = broker_properties(nodes[0], nodes, {})
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        assert properties[f"{topic}.replication.factor"] == factor
    assert properties["transaction.state.log.min.isr"] == in_sync
    assert properties["controller.quorum.voters"].count("@127.0.0.1:") == brokers


def test_overrides_win() -> None:
    """A property that the caller gives replaces ours."""
    nodes = (Node(1, 20_001, 21_001),)
    assert broker_properties(nodes[0], nodes, {"num.io.threads": "9"})["num.io.threads"] == "9"


def test_properties_file_is_ascii() -> None:
    """Values survive Java's reader: backslashes, leading spaces, line ends and characters of every plane."""
    rendered = render_properties({"key": " a\\b\nü\U0001f600"})
    assert rendered == "key=\\u0020a\\\\b\\n\\u00fc\\ud83d\\ude00\n"


def test_ports_do_not_collide() -> None:
    """Three brokers get six different ports, all below those that the kernel gives to outgoing connections."""
    nodes = choose_nodes(3, 0)
    ports = [port for node in nodes for port in (node.client_port, node.controller_port)]
    assert len(set(ports)) == 6
    assert max(ports) < 32_768


def test_asked_ports_follow_each_other() -> None:
    """The first client port is the one that was asked for, the others are the next ones."""
    (free,) = choose_nodes(1, 0)
    first = free.client_port
    if all(is_free(first + i) for i in range(3)):
        assert [node.client_port for node in choose_nodes(3, first)] == [first, first + 1, first + 2]


def test_a_port_that_was_asked_for_is_given_to_nobody_else() -> None:
    """What would be chosen first, for a controller, is left out when it is promised to a client already."""
    first = next(_free_ports(Random(1), ()))
    others = list(islice(_free_ports(Random(1), (first,)), 20))
    assert len(set(others)) == 20
    assert first not in others


def test_a_port_in_use_is_named() -> None:
    """A port that somebody listens on is refused by its number."""
    with listener() as port, pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is in use") as caught:
        choose_nodes(1, port)
    assert caught.value.port == port
