"""The data directory: made once, used again, refused when it is not ours."""

import json
import os
import sys
from pathlib import Path

import pytest

from collector.local_kafka.data_dir import DataDir, open_data_dir
from collector.local_kafka.errors import DataDirUnusable
from collector.local_kafka.java import GuardedProcess

pytestmark = pytest.mark.anyio


async def _open_and_close(path: Path, brokers: int = 1) -> DataDir:
    data_dir = await open_data_dir(path, brokers)
    data_dir.close()
    return data_dir


async def test_the_cluster_id_stays(tmp_path: Path) -> None:
    """A directory gets a cluster id at its first use and keeps it."""
    first = await _open_and_close(tmp_path / "new" / "data")
    second = await _open_and_close(tmp_path / "new" / "data")
    assert first.cluster_id == second.cluster_id
    assert len(first.cluster_id) == 22
    assert not first.cluster_id.startswith("-")


async def test_foreign_directory(tmp_path: Path) -> None:
    """A directory with somebody's files is refused and left as it was."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataDirUnusable, match="was not made by a local Kafka"):
        await _open_and_close(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


async def test_another_number_of_brokers(tmp_path: Path) -> None:
    """A directory of one broker cannot become one of three."""
    await _open_and_close(tmp_path / "data", 1)
    with pytest.raises(DataDirUnusable, match=r"holds a cluster of 1 broker\(s\), not 3: ask for 1"):
        await _open_and_close(tmp_path / "data", 3)


async def test_formatted_for_another_cluster(tmp_path: Path) -> None:
    """Storage that was copied from another cluster is refused before Kafka sees it."""
    data_dir = await open_data_dir(tmp_path / "data", 1)
    try:
        assert not data_dir.is_formatted(1)
        meta = data_dir.broker_dir(1) / "data" / "meta.properties"
        meta.parent.mkdir(parents=True)
        meta.write_text(f"#\nversion=1\nnode.id=1\ncluster.id={data_dir.cluster_id}\n")
        assert data_dir.is_formatted(1)
        meta.write_text("#\nversion=1\nnode.id=1\ncluster.id=AnotherClusterOfOurs00\n")
        with pytest.raises(DataDirUnusable, match="was formatted for broker 1 of cluster AnotherClusterOfOurs00"):
            data_dir.is_formatted(1)
    finally:
        data_dir.close()


async def test_in_use(tmp_path: Path) -> None:
    """Two clusters never share a directory; it is free again when the first has ended."""
    data_dir = await open_data_dir(tmp_path / "data", 1)
    try:
        with pytest.raises(DataDirUnusable, match="is in use by a running local Kafka"):
            await _open_and_close(tmp_path / "data")
    finally:
        data_dir.close()
    await _open_and_close(tmp_path / "data")


async def test_in_use_as_long_as_a_broker_lives(tmp_path: Path) -> None:
    """A broker's guardian holds the lock too: a directory whose parent is gone is not free before its brokers are."""
    data_dir = await open_data_dir(tmp_path / "data", 1)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = await GuardedProcess.start(command, cwd=tmp_path, log_file=tmp_path / "log", lock_fd=data_dir.lock_fd)
    try:
        data_dir.close()
        with pytest.raises(DataDirUnusable, match="is in use"):
            await _open_and_close(tmp_path / "data")
    finally:
        await process.aclose()
    await _open_and_close(tmp_path / "data")


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"cluster_id": "x", "brokers": "many"})])
async def test_damaged_description(tmp_path: Path, content: str) -> None:
    """A damaged description is an error for people."""
    await _open_and_close(tmp_path / "data")
    (tmp_path / "data" / "cluster.json").write_text(content)
    with pytest.raises(DataDirUnusable, match="is damaged"):
        await _open_and_close(tmp_path / "data")


async def test_not_a_directory(tmp_path: Path) -> None:
    """A path that cannot become a directory is an error for people."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataDirUnusable, match="cannot be used"):
        await _open_and_close(tmp_path / "file" / "data")
