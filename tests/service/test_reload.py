"""When another configuration is taken: whole, valid, and not while it is still being written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from collector.config import Config, OrganizationSection
from collector.errors import ConfigurationError
from collector.service.reload import Reload, changed_keys

pytestmark = pytest.mark.anyio

DEADLINE_S = 30.0


def config(*names: str, **more: object) -> Config:
    """A configuration with these organizations."""
    return Config(organizations=tuple(OrganizationSection(name=name, token="t") for name in names), **more)


class Watched:
    """A file whose lines are names of organizations, and what was made of it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "names"
        self.taken: list[list[str]] = []
        self.told: list[tuple[str | None, tuple[str, ...]]] = []
        self.missing: set[str] = set()
        self.reads = 0

    def read(self) -> Config:
        self.reads += 1
        names = self.file.read_text().split()
        if wrong := [name for name in names if name in self.missing]:
            raise ConfigurationError(f"the token of {wrong[0]} is missing")
        return config(*names)

    def reload(self) -> Reload:
        return Reload(
            self.read(),
            read=self.read,
            file=self.file,
            apply=lambda taken: self.taken.append([organization.name for organization in taken.organizations]),
            told=lambda problem, keys: self.told.append((problem, keys)),
        )

    async def until(self, reached: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not reached():  # noqa: ASYNC110  # the watcher tells nobody
                await anyio.sleep(0.02)


async def test_a_file_that_is_being_written_is_not_taken_half(tmp_path: Path) -> None:
    """What changes at every look is still being written; what two looks find is taken, once."""
    watched = Watched(tmp_path)
    watched.file.write_text("a b c")
    reload = watched.reload()
    contents = iter(["a", "a b", "a b d", "a b d"])
    look = reload._content

    async def content_of_the_next_look() -> bytes:
        if (text := next(contents, None)) is not None:
            watched.file.write_text(text)
        return await look()

    async with anyio.create_task_group() as tasks:
        await reload._take("start")
        reload._content = content_of_the_next_look  # type: ignore[method-assign]
        tasks.start_soon(reload._watch_file)
        await watched.until(lambda: len(watched.taken) == 2)
        tasks.cancel_scope.cancel()
    assert watched.taken == [["a", "b", "c"], ["a", "b", "d"]]


async def test_what_was_refused_is_tried_again(tmp_path: Path) -> None:
    """The file of a token may come after the file that names it; until then the old configuration stays."""
    watched = Watched(tmp_path)
    watched.file.write_text("a")
    watched.missing = {"b"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watched.reload().run)
        await watched.until(lambda: bool(watched.taken))
        watched.file.write_text("a b")
        await watched.until(lambda: watched.told[-1][0] == "the token of b is missing")
        assert watched.taken == [["a"]]
        watched.missing = set()
        await watched.until(lambda: watched.taken[-1] == ["a", "b"])
        assert watched.told[-1] == (None, ())
        tasks.cancel_scope.cancel()


async def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    """Between the removal of the old one and the arrival of the new one the old configuration stays in use."""
    watched = Watched(tmp_path)
    watched.file.write_text("a")

    def read() -> Config:
        try:
            return watched.read.__func__(watched)  # type: ignore[attr-defined]
        except OSError as error:
            raise ConfigurationError(str(error)) from None

    reload = Reload(
        config("a"),
        read=read,
        file=watched.file,
        apply=lambda taken: watched.taken.append([organization.name for organization in taken.organizations]),
        told=lambda problem, keys: watched.told.append((problem, keys)),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reload.run)
        await watched.until(lambda: bool(watched.taken))
        watched.file.unlink()
        await watched.until(lambda: watched.told[-1][0] is not None)
        watched.file.write_text("a c")
        await watched.until(lambda: watched.taken[-1] == ["a", "c"])
        assert watched.taken == [["a"], ["a", "c"]]
        tasks.cancel_scope.cancel()


def test_keys_that_need_a_restart_are_named_as_people_write_them() -> None:
    """Whatever is not an organization, with its table."""
    old = config("a", kafka={"shards": 4}, overlap="5m")
    new = config("b", kafka={"shards": 8, "group_id": "g"}, overlap="6m", admin={"listen": "127.0.0.1:1"})
    assert sorted(changed_keys(old, new)) == ["admin.listen", "kafka.group_id", "kafka.shards", "overlap"]
