"""An empty environment, and a way to load a configuration from text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.config import Loaded, load
from collector.errors import ConfigurationError

LoadText = Callable[[str], Loaded]
Mistakes = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("TE_COLLECTOR_") or name == "KAFKA_BOOTSTRAP_SERVERS":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Load a file with this text."""

    def load_it(text: str) -> Loaded:
        file = tmp_path / "collector.toml"
        file.write_text(text, encoding="utf-8")
        return load(Path(file.name))

    return load_it


@pytest.fixture
def mistakes(load_text: LoadText) -> Mistakes:
    """Return the lines of the error that a file with this text causes, without the first."""

    def mistakes_in(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load_text(text)
        first, *lines = str(caught.value).splitlines()
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        assert first == f"the configuration (collector.toml) has {count}:"
        return [line.strip() for line in lines]

    return mistakes_in
