"""Which shards are this worker's: its membership in the group that shares the shards topic among workers.

The one rule: it is a hint for latency. What makes two owners of a shard safe is the shard's transactional id, so the
set reported here may be wrong for a moment, in either direction, and nothing may depend on it.

A rebalance takes everything from everybody and gives most of it back. It is not reported when it begins, only what it
ends with: what stays is not disturbed. `Tenure` says for how long that is right.

Membership heals by itself: a client that fails, is silent, or has ended is closed and replaced after a pause.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import anyio
import structlog
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from collector.errors import StartRefused
from collector.kafka.committed_reader import BACKOFF_FIRST_S, next_backoff_s
from collector.kafka.errors import KafkaUnreachable, describe
from collector.kafka.group_client import GroupClient, InstanceTaken
from collector.kafka.leave_group import remove_member
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.profiles import NO_PARTITIONS, Profile, Profiles
from collector.kafka.settings import KafkaSettings
from collector.kafka.tenure import Tenure
from collector.kafka.topics import look_again

# A planned stop has a grace period, and what is not said within it the session timeout will say.
_LEAVE_S = 5.0

# With two processes under one instance id each take-over stops the other one; so rarely that work gets done between.
_TAKEN_SESSIONS = 3

# How often an error that heals is told, seconds.
_TOLD_EVERY_S = 60.0

_REMEDIES: dict[type[KafkaError], str] = {
    InvalidSessionTimeoutError: (
        "the brokers refuse the session timeout; compare it with their group.min.session.timeout.ms and "
        "group.max.session.timeout.ms"
    ),
    GroupAuthorizationFailedError: "grant READ on the consumer group",
    TopicAuthorizationFailedError: "grant READ and DESCRIBE on the shards topic",
    InconsistentGroupProtocolError: "another program uses this group id; give the workers a group of their own",
    InstanceTaken: "give each worker an instance id of its own",
    KafkaConnectionError: "are the brokers up, and is kafka.bootstrap_servers right? It is tried again and again",
}

_log = structlog.get_logger(__name__)


class ShardMembership:
    """Keeps this worker in the group and reports which shards are its own. Used once.

    Args:
        kafka: where the brokers are; the shards topic exists.
        settings: of the membership.
        changed: called in the event loop with each new set of shards, when it differs from the one before; the first
            one before is empty. It must not block, and what it raises ends ``run``.
        profile: what the other members are told about this one; see `announce`.
        heard: called with the profiles of all members whenever the group settles.
        rng: jitter of the pauses.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: MembershipSettings,
        *,
        changed: Callable[[frozenset[int]], None],
        profile: Profile | None = None,
        heard: Callable[[Profiles], None] = lambda profiles: None,
        rng: random.Random | None = None,
    ) -> None:
        self._kafka = kafka
        self._settings = settings
        self._changed = changed
        self._profile: Profile = profile or {}
        self._heard = heard
        self._rng = rng or random.Random()
        self._group_id = settings.group(kafka)
        self._tenure = Tenure(
            session_timeout_s=settings.session_timeout_s, rebalance_timeout_s=settings.rebalance_timeout_s
        )
        self._log = _log.bind(group=self._group_id, instance=settings.instance_id)
        self._reported: frozenset[int] = frozenset()
        self._had_shards = False
        self._told_s = -_TOLD_EVERY_S
        self._noted = asyncio.Event()
        self._staying: anyio.CancelScope | None = None  # made by ``run``, as is the next one
        self._stopped: anyio.Event | None = None
        self._leaving = False
        self._client: GroupClient | None = None

    @property
    def owned(self) -> frozenset[int]:
        """The set reported last."""
        return self._reported

    @property
    def is_member(self) -> bool:
        """Whether the group counts us in now and has told us our share, be it nothing. Call it in the event loop."""
        return self._tenure.is_member(_now_s())

    def announce(self, profile: Profile) -> None:
        """From now on this is what the other members are told; they hear it soon."""
        self._profile = profile
        if self._client is not None:
            self._client.announce()

    async def run(self) -> None:
        """Joins, and stays a member until cancelled or until ``leave``.

        Cancelling it leaves the group too, if that takes no time; ``leave`` makes sure.

        Raises:
            StartRefused: the topics that it shared are gone, or have become unsafe; in a group.
        """
        assert self._stopped is None, "a membership is used once"
        self._stopped = anyio.Event()
        self._staying = anyio.CancelScope()
        if self._leaving:
            self._staying.cancel()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._report_changes)
                with self._staying:
                    await self._stay_member()
                tasks.cancel_scope.cancel()
            self._report()
        finally:
            self._stopped.set()

    async def leave(self, *, for_good: bool = False) -> None:
        """Ends ``run`` for a planned stop: the empty set is reported, then the group is left. Never raises.

        Without an instance id, or with an automatic one, others take over at once. With one that was chosen the
        membership stays, and its shards with it, for the session timeout: a worker that is back by then goes on as if
        nothing had happened.

        Args:
            for_good: leave at once with any instance id, because this worker does not come back.
        """
        self._leaving = True
        instance_id = self._settings.instance_id
        # A client that closes forgets who it was, a dynamic one because it has left.
        static_member_id = self._client.member_id if self._client is not None else ""
        if self._staying is not None and self._stopped is not None:
            self._staying.cancel()
            await self._stopped.wait()
        member_id = self._client.member_id if self._client is not None else ""
        if instance_id is not None:
            # Only ourselves, if the id was not chosen: on another machine of this name it may be somebody else's.
            member_id = static_member_id if self._settings.instance_is_automatic else ""
        if not (for_good or self._settings.instance_is_automatic if instance_id else member_id):
            return
        try:
            await remove_member(
                self._kafka,
                self._group_id,
                member_id=member_id,
                instance_id=instance_id,
                timeout_s=_LEAVE_S,
            )
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            self._log.warning(
                "membership_not_left", detail=describe(error), others_wait_s=self._settings.session_timeout_s
            )

    async def _report_changes(self) -> None:
        while True:
            self._noted.clear()
            self._report()
            with anyio.move_on_after(self._tenure.changes_in_s(_now_s())):
                await self._noted.wait()

    def _report(self) -> None:
        owned = self._tenure.owned(_now_s())
        if owned == self._reported:
            return
        gained, lost = owned - self._reported, self._reported - owned
        self._log.info("membership_changed", owned=sorted(owned), gained=sorted(gained), lost=sorted(lost))
        self._reported = owned
        self._had_shards = self._had_shards or bool(owned)
        self._changed(owned)

    async def _stay_member(self) -> None:
        failures = 0
        while True:
            began_s = _now_s()
            client = self._client = GroupClient(
                self._kafka,
                self._settings,
                tenure=self._tenure,
                changed=self._noted.set,
                profile=lambda: self._profile,
                heard=self._heard,
            )
            try:
                error = await self._use(client)
            finally:
                self._tenure.ended()
                self._noted.set()
                with anyio.CancelScope(shield=True):  # bounded by the client's own deadlines
                    await client.close()
            was_member = self._tenure.alive_s >= began_s
            failures = 1 if was_member and not isinstance(error, InstanceTaken) else failures + 1
            if isinstance(error, InstanceTaken) and self._settings.instance_is_automatic:
                self._go_on_without_instance_id()
                failures, error = 1, KafkaError(f"{error}: going on without")
            pause_s = self._pause_s(failures, error)
            self._log.warning(
                "membership_client_failed", detail=describe(error), remedy=_remedy(error), pause_s=round(pause_s, 1)
            )
            await anyio.sleep(pause_s)

    def _go_on_without_instance_id(self) -> None:
        """Nobody chose the id, so nobody has to repair it: two machines may have one name."""
        self._settings = replace(self._settings, instance_id=None, instance_is_automatic=False)

    async def _use(self, client: GroupClient) -> Exception:
        """Uses a client for as long as it lives, and returns what it died of."""
        try:
            await client.open()
            return await self._poll(client)
        except StartRefused:
            raise
        except Exception as error:  # whatever aiokafka fails with, the answer is a new client
            return error

    async def _poll(self, client: GroupClient) -> NoReturn:
        """Keeps a fetch pending until the client is given up; raises its last error."""
        opened_s = _now_s()
        alive_s, errors, backoff_s = self._tenure.alive_s, 0, BACKOFF_FIRST_S
        while True:
            failure: Exception | None = None
            try:
                await client.poll()
            except InstanceTaken:
                raise
            except Exception as error:  # errors of the group come out of the poll, and many of them heal
                failure = error
            if self._tenure.alive_s > alive_s:
                alive_s, errors = self._tenure.alive_s, 0
            if failure is None:
                backoff_s = BACKOFF_FIRST_S
            silent_s = _now_s() - max(opened_s, alive_s)
            if failure is None:
                if silent_s < self._settings.rebuild_silence_s:
                    continue
                raise TimeoutError(f"no sign of life for {silent_s:.0f} s")
            errors += 1
            if errors == 1 and _now_s() - self._told_s >= _TOLD_EVERY_S:  # joining over and over is a sign of life too
                self._told_s = _now_s()
                self._log.warning("membership_client_error", detail=describe(failure), remedy=_remedy(failure))
            if NO_PARTITIONS in str(failure) and self._had_shards:
                await self._require_topics()
            if client.dead or "AssertionError" in str(failure) or errors >= self._settings.rebuild_errors:
                raise failure
            await asyncio.sleep(backoff_s)
            backoff_s = next_backoff_s(backoff_s)

    async def _require_topics(self) -> None:
        """The brokers gave us shards and know none any more: somebody may have deleted the topic."""
        try:
            await look_again(self._kafka)
        except KafkaUnreachable as error:
            self._log.warning("membership_topics_unknown", detail=str(error))

    def _pause_s(self, failures: int, error: Exception) -> float:
        first_s = self._settings.backoff_first_s
        longest_s = self._settings.backoff_max_s
        if isinstance(error, InstanceTaken):
            first_s = _TAKEN_SESSIONS * self._settings.session_timeout_s
            longest_s = max(longest_s, 10 * first_s)
        return min(longest_s, first_s * 2.0 ** min(failures - 1, 10)) * self._rng.uniform(0.5, 1.0)


def _remedy(error: Exception) -> str | None:
    """What a person can do about it, where it does not heal by itself."""
    return next((remedy for kind, remedy in _REMEDIES.items() if isinstance(error, kind)), None)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
