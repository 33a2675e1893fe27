"""Fetches the jars that a directory lacks from Maven Central; a program of its own, started by `jar_cache`.

The one rule: a file reaches the directory only after it was verified, by one rename.

A process of its own because fetching is blocking code in threads: a process can be ended at any moment, and it may
point every TLS connection to the system's trust store (company proxies) without changing anything for others.

Usage: python -m collector.local_kafka.download DIRECTORY
Its exit codes are in `download_codes`; the last line on standard error says what happened.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import truststore
from jgo.maven import MavenContext

from collector.local_kafka.download_codes import BROKEN, FETCHED, UNAVAILABLE
from collector.local_kafka.errors import JarBroken
from collector.local_kafka.jars import JAR_THREADS, Jar, broken, broken_jars

_READ_TIMEOUT_S = 20  # without a byte from the repository
_SCRATCH_PREFIX = ".fetching-"
_ABANDONED_AFTER_S = 3600  # four times the longest fetch that the caller allows


def _remove_abandoned(directory: Path) -> None:
    """Remove what killed fetches left behind."""
    for scratch in directory.glob(f"{_SCRATCH_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if time.time() - scratch.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(scratch, ignore_errors=True)


def _fetch(jar: Jar, directory: Path, scratch: Path) -> None:
    if broken(jar, directory / jar.file_name) is None:
        return  # another process was faster
    context = MavenContext(repo_cache=scratch, timeout=_READ_TIMEOUT_S)
    path = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
    if what := broken(jar, path):
        raise JarBroken(f"{jar.group}:{jar.artifact}:{jar.version} as fetched {what}")
    path.replace(directory / jar.file_name)


def main(directory: Path) -> int:
    """Fetch what the directory lacks and return the exit code."""
    truststore.inject_into_ssl()
    directory.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(directory)
    lacking = list(broken_jars(directory))
    with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=directory) as scratch:
        pool = ThreadPoolExecutor(JAR_THREADS)
        try:
            # The first failure ends it: without a network each jar would fail the same way.
            for future in [pool.submit(_fetch, jar, directory, Path(scratch)) for jar in lacking]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return FETCHED


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except JarBroken as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(BROKEN)
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises RuntimeError for "not found"
        sys.stderr.write(f"{type(error).__name__}: {error}".replace("\n", " ") + "\n")
        sys.exit(UNAVAILABLE)
