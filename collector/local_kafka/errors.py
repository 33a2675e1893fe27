"""What can go wrong with a Kafka on this machine, one class for each thing a person can do about it.

LocalKafkaError
├── LocalKafkaNotInstalled   install the optional extra
├── JarsUnavailable          get on the network, or give a directory of jars
├── JarBroken                replace the file
├── PortInUse                stop the other program, or choose another port
├── DataDirUnusable          choose another directory
└── BrokerFailed             read the broker's log

Every message is one line that says what happened, where, and what to do.
"""

from collector.errors import CollectorError


class LocalKafkaError(CollectorError):
    """The local Kafka cannot do what was asked; the message is written for the person who asked."""


class LocalKafkaNotInstalled(LocalKafkaError):
    """The Java runtime or the Maven client of the optional extra `local` is missing."""


class JarsUnavailable(LocalKafkaError):
    """Kafka's jars are neither in the cache nor to be fetched."""


class JarBroken(LocalKafkaError):
    """A jar's size or SHA-256 is not the one that the lock file records."""


class PortInUse(LocalKafkaError):
    """Another program listens on a port that was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} on 127.0.0.1 is in use: stop the program that holds it, or choose another port.")
        self.port = port


class DataDirUnusable(LocalKafkaError):
    """The data directory belongs to something else, to another set of brokers, or to a running Kafka."""


class BrokerFailed(LocalKafkaError):
    """A broker ended, or did not answer in time."""
