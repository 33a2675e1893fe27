"""When events of which organization became readable: librdkafka, read committed, in a thread of its own."""

import itertools
import threading
import time
from collections import defaultdict
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import confluent_kafka

POLL_S = 0.05
READY_S = 30.0


class Arrivals:
    """Follows the events topic from now on.

    Args:
        bootstrap_servers: of Kafka.
        topic: of the events; it exists.
    """

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "takeover-reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=READY_S).topics[topic].partitions
        end = confluent_kafka.OFFSET_END
        self._consumer.assign([confluent_kafka.TopicPartition(topic, partition, end) for partition in partitions])
        self._lock = threading.Lock()
        self._seen: dict[str, list[float]] = defaultdict(list)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
        self._consumer.close()

    def longest_silence(self, organization: str, since: float) -> float:
        """The longest time between two events of an organization that ended after a moment of the monotonic clock."""
        with self._lock:
            times = list(self._seen[organization])
        return max((after - before for before, after in itertools.pairwise(times) if after > since), default=0.0)

    def first_after(self, organization: str, moment: float) -> float | None:
        """When the first one arrived after it; None: not yet."""
        with self._lock:
            return min((at for at in self._seen[organization] if at >= moment), default=None)

    def _follow(self) -> None:
        while not self._ending.is_set():
            message = self._consumer.poll(POLL_S)
            if message is None or message.error() is not None:
                continue
            source = dict(message.headers() or ())["ce_source"].decode()  # /thousandeyes/<organization>/<aid>
            with self._lock:
                self._seen[unquote(source.split("/")[2])].append(time.monotonic())
