"""The live status: what an operator sees at a glance, as plain data.

Rule: one mutable tree, written by the observers only, read as a whole by `StatusBoard.snapshot`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from collector.core.model import MonoS
from collector.telemetry.account_group import AccountGroupStatus, account_group
from collector.telemetry.backfill import BackfillBoard

LAST_EVENTS = 20
"""Newest events shown."""

NAMES_MAX = 5
"""Names in a sentence, at most."""


@dataclass(slots=True)
class OrganizationStatus:
    """One organization: its quota as the last answer told it, its requests, its account groups."""

    name: str
    stopped: str | None = None
    requests: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    quota_limit: int | None = None
    quota_remaining: int | None = None
    quota_usable: int = 0
    quota_reset_at: MonoS | None = None
    in_flight: int = 0
    clock_skew_s: float = 0.0
    server_offset_s: float = 0.0
    groups: dict[str, AccountGroupStatus] = field(default_factory=dict)
    backfills: BackfillBoard = field(default_factory=BackfillBoard)


@dataclass(slots=True)
class ShardStatus:
    """One shard: whose it is, and how often it was taken.

    Args:
        number: of the shard.
        organizations: on it, as configured.
        assigned: whether the group says that it is ours.
        owned: whether we hold it and have restored its state.
    """

    number: int
    organizations: tuple[str, ...]
    assigned: bool = True
    owned: bool = False
    restores: int = 0
    keys: int = 0
    restore_s: float = 0.0
    transactions: int = 0
    records: int = 0
    last_error: str | None = None

    @property
    def state(self) -> str:
        """In a word: ``owned``, ``restoring``, ``draining`` (it is another worker's by now), or ``elsewhere``."""
        if self.assigned:
            return "owned" if self.owned else "restoring"
        return "draining" if self.owned else "elsewhere"


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """This worker in the group that shares the shards.

    Args:
        group: its id.
        instance: the worker's instance id; None: it has none.
        is_member: whether the group counts us in at this moment and has told us our share, be it nothing.
    """

    group: str
    instance: str | None
    is_member: Callable[[], bool]


class StatusBoard:
    """The status of one process.

    Args:
        version: of the collector.
        wall: local wall clock, seconds since 1970.
        monotonic: local monotonic clock.
    """

    def __init__(self, version: str, wall: Callable[[], float], monotonic: Callable[[], MonoS]) -> None:
        self._version = version
        self.wall = wall
        self.monotonic = monotonic
        self._started_at = wall()
        self.phase = "starting"
        self.held_up: str | None = None  # what keeps anything from beginning, such as a Kafka that does not answer
        self.organizations: dict[str, OrganizationStatus] = {}
        self.shards: dict[int, ShardStatus] = {}
        self.configuration_problem: str | None = None  # why the last one that was read is not in use
        self.restart_keys: tuple[str, ...] = ()  # whose values wait for a restart
        self.workers: list[dict[str, Any]] = []  # the others: what they say about themselves, and what differs
        self.group: GroupStatus | None = None  # None: alone, all shards are ours
        self.last_events: deque[dict[str, Any]] = deque(maxlen=LAST_EVENTS)

    @property
    def ready(self) -> bool:
        """Whether what is ours is being done: every shard of ours restored, every organization on them answered.

        A member whose shards hold nothing is ready: it stands by. One that is no member is not.
        """
        return not self.waits_for()

    def waits_for(self) -> list[str]:
        """What is missing before this process is ready, a sentence each; nothing when it is."""
        if not self.shards:
            starting = "Kafka is asked for its topics" if self.phase == "starting" else "no organization is configured"
            return [self.held_up or starting]
        found = []
        if self.group is not None and not self.group.is_member():
            found.append(f"this worker is no member of the group {self.group.group} now: it joins, or Kafka is away")
        restoring = [shard for shard in self.shards.values() if shard.assigned and not shard.owned]
        if restoring:
            numbers = _some([str(shard.number) for shard in restoring])
            problem = next((f": {shard.last_error}" for shard in restoring if shard.last_error), "")
            found.append(f"{'shards' if len(restoring) > 1 else 'shard'} {numbers} being restored{problem}")
        silent = [one.name for one in self.organizations.values() if not one.requests and not one.stopped]
        if silent:
            found.append(f"no answer of the API yet for {_some(silent)}")
        return found

    def snapshot(self) -> dict[str, Any]:
        """All of it as JSON-ready data."""
        now, waits_for = self.monotonic(), self.waits_for()
        return {
            "version": self._version,
            "phase": self._phase(),
            "ready": not waits_for,
            "waits_for": waits_for,
            "configuration": {"problem": self.configuration_problem, "needs_restart": list(self.restart_keys)},
            "group": None
            if self.group is None
            else {
                "id": self.group.group,
                "instance": self.group.instance,
                "member": self.group.is_member(),
                "others": self.workers,
            },
            "started_at": self._started_at,
            "uptime_s": self.wall() - self._started_at,
            "shards": [
                {
                    "shard": shard.number,
                    "organizations": list(shard.organizations),
                    "state": shard.state,
                    "owned": shard.owned,
                    "restores": shard.restores,
                    "keys": shard.keys,
                    "restore_s": round(shard.restore_s, 3),
                    "transactions": shard.transactions,
                    "records": shard.records,
                    "last_error": shard.last_error,
                }
                for shard in self.shards.values()
            ],
            "organizations": [self._organization(organization, now) for organization in self.organizations.values()],
            "last_events": list(self.last_events),
        }

    def _phase(self) -> str:
        if self.phase != "collecting" or self.group is None:
            return self.phase
        if not self.group.is_member():
            return "joining"
        return "collecting" if any(shard.assigned for shard in self.shards.values()) else "standby"

    def _organization(self, status: OrganizationStatus, now: MonoS) -> dict[str, Any]:
        server_now = now + status.server_offset_s
        reset_in_s = None if status.quota_reset_at is None else max(0.0, status.quota_reset_at - now)
        return {
            "organization": status.name,
            "stopped": status.stopped,
            "requests": {str(code): count for code, count in sorted(status.requests.items())},
            "failures": dict(status.failures),
            "rate_limited": status.requests[429],
            "quota": {
                "limit": status.quota_limit,
                "remaining": status.quota_remaining,
                "usable": status.quota_usable,
                "reset_in_s": None if reset_in_s is None else round(reset_in_s, 1),
                "in_flight": status.in_flight,
            },
            "clock_skew_s": round(status.clock_skew_s, 3),
            "backfills": status.backfills.snapshot(now, server_now),
            "account_groups": [account_group(group, now, server_now) for group in status.groups.values()],
        }


def _some(names: list[str]) -> str:
    more = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
