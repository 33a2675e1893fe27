"""Whether all workers of the group have the same configuration.

One rule: it is said, never enforced. An organization whose shard belongs to a worker that does not know it is collected
by nobody, so a difference that stays is an error; while a changed file makes its way to all machines it is normal.

Compared are the organizations and what decides about their events. What may differ is left out: credentials, files,
names of workers, log and admin settings. The number of shards cannot differ: every worker compares it with the topics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from collector.config import Config
from collector.kafka.profiles import Profile, Profiles

_OWN_AFFAIR = {"token", "token_file", "user", "ca_file"}
"""Of an organization: what each machine may have in its own way."""

_COMMON = {"initial_lookback", "late_horizon", "overlap", "events"}
"""Besides organizations: what decides which events there are, and how they look."""

DIGEST_LENGTH = 16
"""Hexadecimal digits; nobody attacks this, and 64 bits tell configurations apart."""


def profile_of(config: Config, worker: str) -> Profile:
    """What this worker tells the others about its configuration. Nothing of it is a secret.

    Args:
        config: in use.
        worker: a name that people recognise.
    """
    names = sorted(organization.name for organization in config.organizations)
    sections = sorted(o.model_dump_json(exclude=_OWN_AFFAIR) for o in config.organizations)
    return {
        "worker": worker,
        "count": len(names),
        "organizations": _digest(names),
        "settings": _digest([config.model_dump_json(include=_COMMON), *sections]),
    }


def differences(ours: Profile, theirs: Profile) -> tuple[str, ...]:
    """In what another worker's configuration differs: ``organizations`` or ``settings``; nothing: it does not."""
    if ours.get("organizations") != theirs.get("organizations"):
        return ("organizations",)
    return ("settings",) if ours.get("settings") != theirs.get("settings") else ()


class Agreement:
    """Compares our profile with those of the others, whenever either changes.

    Args:
        ours: see `profile_of`.
        told: the other workers, by name, with what differs.
    """

    def __init__(self, ours: Profile, told: Callable[[Sequence[tuple[Profile, tuple[str, ...]]]], None]) -> None:
        self.ours = ours
        self._told = told
        self._heard: Profiles = ()

    def heard(self, profiles: Profiles) -> None:
        """The group has told the profiles of all its members."""
        self._heard = profiles
        self._compare()

    def changed(self, ours: Profile) -> None:
        """Our configuration is another one now."""
        self.ours = ours
        self._compare()

    def _compare(self) -> None:
        others = [profile for profile in self._heard if profile.get("worker") != self.ours["worker"]]
        self._told([(profile, differences(self.ours, profile)) for profile in others])


def _digest(parts: Sequence[str]) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]
