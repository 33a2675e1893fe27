"""The data directory: whose it is, which cluster it holds, and where each broker's files are.

    DATA_DIR/cluster.json        cluster id and number of brokers, written once
    DATA_DIR/lock                held while a cluster runs
    DATA_DIR/broker-N/           server.properties, log4j2.properties, broker.log, java.log, format.log, data/, tmp/

The one rule: a directory that was not empty and is not ours is never written to.
Invariant: one running cluster a directory; the lock is shared with each broker's guardian, so that it is free only when
the brokers have ended, however their parent ended.
"""

import base64
import fcntl
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from collector.local_kafka.errors import DataDirUnusable
from collector.local_kafka.settings import KAFKA_VERSION

_LOCK_TIMEOUT_S = 3.0  # the brokers of a parent that was killed this moment need some tenths of a second to end
_LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class DataDir:
    """A locked data directory; `close` gives the lock back."""

    path: Path
    cluster_id: str
    lock_fd: int

    def broker_dir(self, node_id: int) -> Path:
        """Return where the files of one broker are."""
        return self.path / f"broker-{node_id}"

    def is_formatted(self, node_id: int) -> bool:
        """Return whether the broker's storage was formatted, for this cluster.

        Raises:
            DataDirUnusable: it was formatted for another cluster or broker.
        """
        try:
            text = (self.broker_dir(node_id) / "data" / "meta.properties").read_text("latin-1")
        except FileNotFoundError:
            return False
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
        if (found.get("cluster.id"), found.get("node.id")) != (self.cluster_id, str(node_id)):
            raise DataDirUnusable(
                f"{self.broker_dir(node_id)} was formatted for broker {found.get('node.id')} of cluster "
                f"{found.get('cluster.id')}, not for broker {node_id} of {self.cluster_id}: choose another directory."
            )
        return True

    def close(self) -> None:
        """Give the lock back."""
        os.close(self.lock_fd)


async def open_data_dir(path: Path, brokers: int) -> DataDir:
    """Create the directory or take it into use again.

    Args:
        path: the directory, absolute.
        brokers: how many brokers it must be for.

    Raises:
        DataDirUnusable: it cannot be created or written, holds something else or another number of brokers, or is
            in use.
    """
    try:
        lock_fd = await to_thread.run_sync(_open_lock, path)
        try:
            await _lock(path, lock_fd)
            cluster_id = await to_thread.run_sync(_cluster_id, path, brokers)
        except BaseException:
            os.close(lock_fd)
            raise
    except OSError as error:
        raise DataDirUnusable(f"{path} cannot be used ({error.strerror}): choose another directory.") from error
    return DataDir(path, cluster_id, lock_fd)


def _open_lock(path: Path) -> int:
    path.mkdir(parents=True, exist_ok=True)
    ours = (path / "cluster.json").exists() or (path / "lock").exists()
    if not ours and any(path.iterdir()):
        raise DataDirUnusable(f"{path} is not empty and was not made by a local Kafka: choose another directory.")
    return os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


async def _lock(path: Path, lock_fd: int) -> None:
    with anyio.move_on_after(_LOCK_TIMEOUT_S):
        while True:
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await anyio.sleep(_LOCK_POLL_S)
            else:
                return
    raise DataDirUnusable(f"{path} is in use by a running local Kafka: stop that one, or choose another directory.")


def _cluster_id(path: Path, brokers: int) -> str:
    """Return the cluster id that the directory holds, after writing a new one into a new directory."""
    description = path / "cluster.json"
    if not description.exists():
        unfinished = path / "cluster.json.new"
        unfinished.write_text(
            json.dumps({"cluster_id": _new_cluster_id(), "brokers": brokers, "kafka": KAFKA_VERSION}) + "\n", "utf-8"
        )
        unfinished.replace(description)
    try:
        found = json.loads(description.read_text("utf-8"))
        cluster_id, found_brokers = str(found["cluster_id"]), int(found["brokers"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataDirUnusable(f"{description} is damaged ({error!r}): choose another directory.") from error
    if found_brokers != brokers:
        raise DataDirUnusable(
            f"{path} holds a cluster of {found_brokers} broker(s), not {brokers}: ask for {found_brokers}, or choose "
            "another directory."
        )
    return cluster_id


def _new_cluster_id() -> str:
    """Return a random UUID the way Kafka writes it; a leading dash would read as an option on its command line."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return text
