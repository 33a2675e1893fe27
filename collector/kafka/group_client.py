"""One client of the group of workers: joins, keeps a fetch pending, and tells a `Tenure` what it hears.

The one rule: a client is used once. When it fails, for whatever reason, it is closed and another one is made, because a
group client of aiokafka can be dead for ever while its process lives.

What is peculiar to aiokafka 0.14.0, and relied on here
(https://github.com/aio-libs/aiokafka/blob/v0.14.0/aiokafka/consumer/group_coordinator.py):

- Errors of the group come only out of a pending fetch; without one the client even leaves the group after a while.
- It swallows what a rebalance listener raises. Ours only takes notes.
- It says nothing about heartbeats. All requests to the coordinator pass one method, ``_send_req``, and that is where we
  listen. https://kafka.apache.org/protocol.html#protocol_error_codes
- It sends a join for every assignor in the list, each of which is a rebalance for everybody: a list of one.
- Its heartbeats carry no instance id, so a static member that was replaced by another process hears that it is unknown,
  would join at once, and replace the other one in turn, twice a second and for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.structs import TopicPartition

from collector.kafka.closing import finish_within, see_exception
from collector.kafka.connection import client_arguments
from collector.kafka.errors import FENCED_INSTANCE_ID
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.profiles import Profile, Profiles, new_assignor
from collector.kafka.settings import KafkaSettings
from collector.kafka.tenure import Tenure

_NO_ERROR = 0
_ILLEGAL_GENERATION = 22
_UNKNOWN_MEMBER = 25
_REBALANCE_IN_PROGRESS = 27

_MEMBER_STILL = (_NO_ERROR, _REBALANCE_IN_PROGRESS)
_MEMBER_NO_MORE = (_ILLEGAL_GENERATION, _UNKNOWN_MEMBER, FENCED_INSTANCE_ID)

# A join is answered when all have joined, which takes the rebalance timeout at most; longer than that for the answer.
_ANSWER_S = 1.0

# What a poll may take beyond its own time-out before it counts as stuck.
_POLL_GRACE_S = 5.0

# The client leaves in milliseconds, unless a join of it is pending; then somebody else has to say it.
_STOP_S = 0.5


class InstanceTaken(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Another process runs under our instance id, or somebody removed us: not ours to take back at once."""


class GroupClient:
    """A member of the group. ``open`` first, then ``poll`` again and again; ``close`` in every case.

    Args:
        kafka: where the brokers are.
        settings: of the membership.
        tenure: is told what we are given and whether we are still members.
        changed: called after each such note.
        profile: what we tell the other members about ourselves.
        heard: told what all members say about themselves.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: MembershipSettings,
        *,
        tenure: Tenure,
        changed: Callable[[], None],
        profile: Callable[[], Profile],
        heard: Callable[[Profiles], None],
    ) -> None:
        self._kafka = kafka
        self._settings = settings
        self._tenure = tenure
        self._changed = changed
        self._profile = profile
        self._tell = heard
        self._profiles: Profiles = ()  # as the group told them last
        self._announced: Profile | None = None  # ours, since it was last told
        self._consumer: Any = None
        self._replaced = False
        self._closed = False

    @property
    def member_id(self) -> str:
        """As what the broker knows us; empty when not a member, or no more."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        return coordinator.member_id if coordinator is not None else ""

    async def open(self) -> None:
        """Connects and begins to join; the assignment comes later.

        Raises:
            ConfigurationError: the certificate files cannot be used.
            KafkaError, OSError, TimeoutError: no broker answered in time, or one that knows no brokers, which happens
                while it starts; a client that goes on from there is dead for ever.
        """
        consumer = self._consumer = self._new_consumer()
        async with asyncio.timeout(self._kafka.start_timeout_s):
            await consumer.start()
        if not consumer._client.cluster.brokers():
            raise KafkaConnectionError("the broker that answered knows of no brokers")
        self._listen(consumer._coordinator)
        consumer.subscribe([self._kafka.shards_topic], listener=_Listener(self))

    async def poll(self) -> None:
        """Keeps a fetch pending for a while; what it returns is of no interest.

        Raises:
            InstanceTaken: see there.
            Exception: whatever aiokafka has met; some of it comes as assertions, some as bare exceptions.
        """
        if self._replaced:
            raise InstanceTaken(f"another process has joined {self._settings.group(self._kafka)} under our instance id")
        within_s = self._settings.poll_timeout_s + _POLL_GRACE_S
        try:
            async with asyncio.timeout(within_s):
                await self._consumer.getmany(timeout_ms=round(self._settings.poll_timeout_s * 1000))
        except TimeoutError:  # it waits for the assignment, whatever time-out it was given
            raise TimeoutError(f"the group has not settled within {within_s:g} s; asking again") from None

    @property
    def dead(self) -> bool:
        """Whether the task that joins and joins again has ended: nothing will ever come of this client."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        return coordinator is not None and coordinator._coordination_task.done()

    async def close(self) -> None:
        """Lets go of everything, within seconds; never raises. A dynamic member leaves the group if it still can."""
        self._closed = True
        consumer = self._consumer
        if consumer is None:
            return
        if not await finish_within(min(_STOP_S, self._kafka.close_timeout_s), consumer.stop()):
            await self._tear_down(consumer)
        coordinator = consumer._coordinator
        if coordinator is not None and coordinator._coordination_task.done():
            see_exception(coordinator._coordination_task)

    async def _tear_down(self, consumer: Any) -> None:
        """Tasks first: they would open the connections again. They end when they are cancelled, or with them."""
        coordinator, fetcher = consumer._coordinator, consumer._fetcher
        for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
            task = getattr(coordinator, name, None)
            if task is not None:
                task.cancel()
                see_exception(task)
        if fetcher is not None:
            await finish_within(self._kafka.close_timeout_s, fetcher.close())
        await finish_within(self._kafka.close_timeout_s, consumer._client.close())

    def _new_consumer(self) -> Any:
        settings = self._settings
        arguments = client_arguments(self._kafka, role="worker")
        arguments["request_timeout_ms"] = _ms(settings.rebalance_timeout_s + _ANSWER_S)
        return AIOKafkaConsumer(
            **arguments,
            group_id=settings.group(self._kafka),
            group_instance_id=settings.instance_id,
            session_timeout_ms=_ms(settings.session_timeout_s),
            heartbeat_interval_ms=_ms(settings.heartbeat_interval_s),
            rebalance_timeout_ms=_ms(settings.rebalance_timeout_s),
            partition_assignment_strategy=[new_assignor(self._profile, self._heard)],
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )

    def _listen(self, coordinator: Any) -> None:
        """Puts an ear on every request to the coordinator of the group."""
        send = coordinator._send_req

        async def heard(request: Any) -> Any:
            sent_s = _now_s()
            answer = await send(request)
            if isinstance(request, HeartbeatRequest | JoinGroupRequest | SyncGroupRequest):
                self._note(request, answer.error_code, sent_s)
            if self._replaced:
                await asyncio.Event().wait()  # until it is closed: an answer would make it join
            return answer

        coordinator._send_req = heard

    def _note(self, request: Any, code: int, sent_s: float) -> None:
        if self._closed:
            return
        if code in _MEMBER_NO_MORE:
            self._replaced = self._is_replaced(request, code)
            self._tenure.ended()
        elif isinstance(request, HeartbeatRequest):
            if code in _MEMBER_STILL:
                self._tenure.alive(sent_s)
        elif code == _NO_ERROR:
            self._tenure.alive(_now_s())  # joins and syncs wait at the broker, which counts from its answer
        self._changed()

    def _is_replaced(self, request: Any, code: int) -> bool:
        """Whether a static member is unknown although its session cannot have ended."""
        if self._settings.instance_id is None:
            return False
        unknown = code == _UNKNOWN_MEMBER and isinstance(request, HeartbeatRequest)
        within_session = _now_s() < self._tenure.alive_s + self._settings.session_timeout_s
        return code == FENCED_INSTANCE_ID or (unknown and within_session)

    def announce(self) -> None:
        """Let the others hear our profile if it is not what they know: by a rebalance, in which nothing moves."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        ours = self._profile()
        # A leader that tells nothing is an older one, and would not tell more if it were asked again.
        if self._closed or coordinator is None or not self._profiles or ours in (*self._profiles, self._announced):
            return
        self._announced = ours
        coordinator.request_rejoin()

    def _heard(self, profiles: Profiles) -> None:
        if self._closed:
            return
        self._profiles = profiles
        if self._profile() in profiles:
            self._announced = None
        self._tell(profiles)

    def rebalance_began(self) -> None:
        """For the listener."""
        if not self._closed:
            self._tenure.rebalance_began(_now_s())
            self._changed()

    def settled(self, assigned: Collection[TopicPartition]) -> None:
        """For the listener."""
        if not self._closed:
            coordinator = self._consumer._coordinator
            for assignor in coordinator._assignors:  # of two that claim a shard, the one that had it last keeps it
                assignor.on_generation_assignment(coordinator.generation)
            self._tenure.assigned((partition.partition for partition in assigned), _now_s())
            self._changed()
            self.announce()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, client: GroupClient) -> None:
        self._client = client

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._client.rebalance_began()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._client.settled(assigned)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
