"""Kafka's jars: which they are, where they are kept, and that they are the ones we mean.

The one rule: no jar is handed to Java before its size and SHA-256 matched the lock file.
Invariant: a jar appears in the cache under its name by one rename, complete and verified, so that any number of
processes may fill the same cache at once.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from collector.local_kafka.errors import JarBroken, JarsUnavailable
from collector.local_kafka.settings import KAFKA_VERSION

JAR_THREADS = 8  # fetching is latency-bound, hashing releases the interpreter's lock
_CACHE_NAME = "te-collector"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name under which Maven repositories and Kafka's own distribution keep it."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars() -> tuple[Jar, ...]:
    """Return the jars of the lock file, in the order of the class path."""
    lock = resources.files(__package__).joinpath(f"kafka-{KAFKA_VERSION}.jars").read_text("utf-8")
    return tuple(_parse(line) for line in lock.splitlines() if line and not line.startswith("#"))


def _parse(line: str) -> Jar:
    coordinates, size_bytes, sha256 = line.split()
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, int(size_bytes), sha256)


def cache_dir(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return where this user's caches of this program are kept: `TE_COLLECTOR_CACHE_DIR`, else the platform's place."""
    if chosen := environment.get("TE_COLLECTOR_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / _CACHE_NAME
    base = environment.get("XDG_CACHE_HOME", "")
    # The specification (https://specifications.freedesktop.org/basedir-spec/latest/) says to ignore relative paths.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / _CACHE_NAME


def broken(jar: Jar, path: Path) -> str | None:
    """Return what is wrong with the file, or None if it is the jar that the lock file means."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes != jar.size_bytes:
            return f"has {size_bytes} bytes instead of {jar.size_bytes}"
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if sha256 == jar.sha256 else f"has SHA-256 {sha256} instead of {jar.sha256}"


def broken_jars(directory: Path) -> dict[Jar, str]:
    """Return every jar of the lock file that the directory lacks or holds broken, with what is wrong with it."""
    jars = locked_jars()
    with ThreadPoolExecutor(JAR_THREADS) as pool:
        found = pool.map(lambda jar: broken(jar, directory / jar.file_name), jars)
        return {jar: wrong for jar, wrong in zip(jars, found, strict=True) if wrong}


def check_given_directory(directory: Path) -> None:
    """Refuse a directory of jars that is not what the lock file records.

    Raises:
        JarsUnavailable: jars are missing.
        JarBroken: a jar is there and is another file.
    """
    wrong = broken_jars(directory)
    for jar, what in wrong.items():
        if what == "is missing":
            missing = sum(w == what for w in wrong.values())
            raise JarsUnavailable(
                f"{directory} lacks {missing} of the {len(locked_jars())} jars of Kafka {KAFKA_VERSION}, "
                f"the first is {jar.file_name}: give a directory that holds them all, or none."
            )
        raise JarBroken(
            f"{directory / jar.file_name} {what}: replace it with {jar.group}:{jar.artifact}:{jar.version}."
        )


def class_path(directory: Path) -> str:
    """Return Java's class path; its order is part of what an ahead-of-time cache depends on."""
    return os.pathsep.join(str(directory / jar.file_name) for jar in locked_jars())
