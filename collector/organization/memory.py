"""What an organization knows of its account groups: restored from the durable state, forgotten as a whole.

Rule: `restore` replaces everything; an account group that appears later finds its durable state here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import anyio

from collector.core.backfill_jobs import BackfillJobs
from collector.core.identity import IdentityForm
from collector.core.model import State
from collector.core.progress import Progress, ProgressSettings
from collector.core.seen import SeenSessions
from collector.errors import StartRefused

_KINDS = ("progress", "seen")
"""First parts of the durable keys."""


@dataclass(slots=True)
class AccountGroupMemory:
    """Progress and published sessions of one account group.

    Whoever decides about a page holds the lock until what it decided is durable and applied.
    """

    progress: Progress
    seen: SeenSessions
    lock: anyio.Lock = field(default_factory=anyio.Lock)


def organizations_in(state: State) -> set[str]:
    """Names of the organizations that a shard's durable state tells of."""
    parts = (key.split("/", 2) for key in state)
    return {unquote(part[1]) for part in parts if len(part) > 2 and part[0] in _KINDS}


class OrganizationMemory:
    """The memory of one organization.

    Durable keys: ``progress/<organization>/<aid>``, ``seen/<...>/<...>/``, ``backfill/<...>/<job>``.
    """

    def __init__(self, name: str, settings: ProgressSettings, identity: IdentityForm) -> None:
        self._name = name
        self._quoted = quote(name, safe="")
        self._settings = settings
        self._identity = identity
        self._groups: dict[str, AccountGroupMemory] = {}
        self.jobs = BackfillJobs(name)
        self._not_restored: dict[str, dict[str, bytes]] = {}  # aid -> key -> value

    def restore(self, state: State) -> None:
        """Forget everything, and take what is ours of a shard's durable state.

        Raises:
            StartRefused: a backfill job is not readable.
        """
        try:
            self.jobs.restore(state)
        except ValueError as error:
            raise StartRefused(
                f"organization {self._name}: the state topic holds a backfill job that this version cannot read "
                f"({error}); use the version that wrote it"
            ) from error
        self._groups, self._not_restored = {}, {}
        for key, value in state.items():
            kind, _, rest = key.partition("/")
            name, _, rest = rest.partition("/")
            if kind in _KINDS and name == self._quoted:
                self._not_restored.setdefault(rest.partition("/")[0], {})[key] = value

    def group(self, aid: str) -> AccountGroupMemory:
        """The memory of an account group; empty for one that was never walked.

        Raises:
            StartRefused: its durable state is not readable.
        """
        group = self._groups.get(aid)
        if group is None:
            group = self._groups[aid] = self._restored(aid, self._not_restored.pop(aid, {}))
        return group

    def remembered(self, aids: Collection[str] = ()) -> Iterator[tuple[str, Progress]]:
        """Where each account group stands that was ever walked, or each of ``aids``; to be shown before it is walked.

        What is not readable is passed over: `group` refuses it, for those that are collected.
        """
        for aid in aids or list(self._groups | self._not_restored):
            group = self._groups.get(aid)
            progress = self._durable(aid) if group is None else group.progress
            if progress is not None and progress.ledger is not None:
                yield aid, progress

    def _durable(self, aid: str) -> Progress | None:
        key = f"progress/{self._quoted}/{aid}"
        try:
            return Progress.restore(key, self._settings, self._not_restored.get(aid, {}).get(key))
        except (ValueError, KeyError, TypeError):
            return None

    def _restored(self, aid: str, state: dict[str, bytes]) -> AccountGroupMemory:
        key, prefix = f"progress/{self._quoted}/{aid}", f"seen/{self._quoted}/{aid}/"
        try:
            progress = Progress.restore(key, self._settings, state.pop(key, None))
            seen = SeenSessions(prefix, aid, progress.kept_from, self._identity)
            for chunk_key, value in state.items():
                seen.restore(chunk_key, value)
        except (ValueError, KeyError, TypeError) as error:
            raise StartRefused(
                f"organization {self._name}, account group {aid}: the state topic holds what this version cannot read "
                f"({error}). Was it written by a newer or older collector, or by something else? Run that one, or name "
                "another kafka.state_topic (a new one starts from initial_lookback and may repeat events)."
            ) from error
        return AccountGroupMemory(progress, seen)
