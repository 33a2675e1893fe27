"""A broker's disk without room, on a machine whose disk has some.

The one rule: the limit is that of the broker's process (``RLIMIT_FSIZE``), so that nobody else feels it. A write beyond
it fails like one on a full disk, but for the number (EFBIG, not ENOSPC), and Kafka treats both alike: as a disk that
failed. A new process has room again.
"""

from __future__ import annotations

import resource

import pytest

from collector.local_kafka.broker import Broker

needs_limits = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process, as Linux can")


def fill(broker: Broker, file_bytes_max: int = 1) -> None:
    """From now on no file of a broker grows beyond so many bytes; by default nothing can be written any more."""
    _, hard = resource.prlimit(broker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (file_bytes_max, hard))


def segment_bytes(broker: Broker, topic: str, partition: int) -> int:
    """How large the newest segment of a partition is."""
    *_, newest = sorted(broker.directory.glob(f"*/{topic}-{partition}/*.log"))
    return newest.stat().st_size
