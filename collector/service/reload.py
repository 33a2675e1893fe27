"""Takes a changed configuration without a restart: at SIGHUP, and when its file has changed.

One rule: all or nothing. A configuration is taken when the whole of it is valid and usable on this machine; until then
the one before stays in use, and the log says what is wrong.

What can change is organizations: added, removed, or other in any key. Everything else needs a restart, and the log
names the keys. Tokens in files are read again anyway.

The file's content is looked at, not its time: editors replace files, and Kubernetes swaps a symbolic link above the
mounted file (https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically).
A content counts when two looks in a row find it, so that a file that is being written is not read half.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from collector.config import Config
from collector.config.sections import Section
from collector.errors import ConfigurationError

LOOK_EVERY_S = 2.0
"""Between two looks at the file: a change is taken within twice that. A look is one read of a few kilobytes."""

TRY_AGAIN_LOOKS = 5
"""What was refused is tried again at every fifth look: the file of a token may come after the file that names it."""

ReadConfig = Callable[[], Config]
"""Reads the configuration again; raises ConfigurationError with all mistakes."""


class Reload:
    """Watches for another configuration and has it applied.

    Mutable state, all of it: the configuration in use, the content of the file that was read last, and why that was
    refused.

    Args:
        config: in use.
        read: reads it again, and tries what can be tried without the network. It may block.
        file: where it comes from; None: the environment alone, which nobody can change from outside.
        apply: takes a configuration whose organizations differ; everything else in it is as before.
        told: whether the last one could be taken, and which keys wait for a restart.
    """

    def __init__(
        self,
        config: Config,
        *,
        read: ReadConfig,
        file: Path | None,
        apply: Callable[[Config], None],
        told: Callable[[str | None, tuple[str, ...]], None],
    ) -> None:
        self._config = config
        self._read = read
        self._file = file
        self._apply = apply
        self._told = told
        self._log = structlog.get_logger("collector.configuration")
        self._read_last = b""
        self._refused: str | None = None
        self._taking = anyio.Lock()

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._take("start")  # it may have changed since it was read
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heed_hangups)
            if self._file is not None:
                tasks.start_soon(self._watch_file)

    async def _heed_hangups(self) -> None:
        with anyio.open_signal_receiver(signal.SIGHUP) as signals:
            async for _ in signals:
                await self._take("SIGHUP")

    async def _watch_file(self) -> None:
        before, looks = self._read_last, 0
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            content, looks = await self._content(), looks + 1
            again = self._refused is not None and looks % TRY_AGAIN_LOOKS == 0
            if content == before and (again or content != self._read_last):
                await self._take("file")
            before = content

    async def _content(self) -> bytes:
        """A digest of the file; empty without a file, or while it is not there."""
        if self._file is None:
            return b""
        try:
            return sha256(await anyio.Path(self._file.expanduser()).read_bytes()).digest()
        except OSError:
            return b""

    async def _take(self, why: str) -> None:
        async with self._taking:
            self._read_last = await self._content()
            try:
                config = await to_thread.run_sync(self._read)
            except ConfigurationError as error:
                if str(error) != self._refused or why == "SIGHUP":
                    self._log.error(
                        "configuration not taken", why=why, detail=str(error), hint="the one before stays in use"
                    )
                self._refused = str(error)
                self._told(self._refused, ())
                return
            self._refused = None
            self._use(config, why)

    def _use(self, config: Config, why: str) -> None:
        """Take what can be taken, and say what waits for a restart."""
        waiting = tuple(changed_keys(self._config, config))
        if waiting:
            self._log.warning("configuration needs a restart", keys=waiting, hint="the old values stay in use")
        wanted = self._config.model_copy(update={"organizations": config.organizations})
        before = {organization.name: organization for organization in self._config.organizations}
        after = {organization.name: organization for organization in wanted.organizations}
        changes = {
            "added": sorted(after.keys() - before.keys()),
            "removed": sorted(before.keys() - after.keys()),
            "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
        }
        if why != "start" or any(changes.values()):
            self._log.info("configuration read", why=why, **changes)
        self._config = wanted
        self._apply(wanted)
        self._told(None, waiting)


def changed_keys(old: Config | Section, new: Config | Section, prefix: str = "") -> Iterator[str]:
    """The keys with other values, such as ``kafka.shards``; organizations left out."""
    for key in type(old).model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if before == after or key == "organizations":
            continue
        if isinstance(before, Section) and isinstance(after, Section):
            yield from changed_keys(before, after, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
