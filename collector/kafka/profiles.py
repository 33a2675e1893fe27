"""What the members of the group tell each other about themselves, on the way of every rebalance.

One rule: it rides on the group's own messages, so it costs no request, no topic and no right. Each member's join
carries its profile behind the assignor's data, which reads no further than its own end; the leader's assignment carries
all profiles to everybody.

A static member that is back in time is given its old assignment without a rebalance, and with it the old profiles. It
then asks for a rebalance, in which nothing moves, so that the others hear of what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyAssignorUserDataV1, StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError

Profile = Mapping[str, str | int]
"""A few short values by name, of one member."""

Profiles = tuple[Profile, ...]
"""Those of all members, oneself included."""

PROFILE_BYTES_MAX = 1_024
"""Of one profile; the leader's answer to each member holds all of them, and brokers bound it (1 MB by default)."""

_MARK = b"te1\n"
_LENGTH_BYTES = 2


NO_PARTITIONS = "the brokers know no partitions of"
"""How the error begins that hands out nothing."""


def with_profile(data: bytes, profile: Profile) -> bytes:
    """The assignor's data with a profile behind it."""
    packed = orjson.dumps(profile, option=orjson.OPT_SORT_KEYS)
    assert len(packed) <= PROFILE_BYTES_MAX, "a profile holds a few short values"
    return (data or _NO_MEMORY) + packed + len(packed).to_bytes(_LENGTH_BYTES, "big") + _MARK


def profile_in(data: bytes | None) -> Profile | None:
    """The profile behind the assignor's data; None: there is none that can be read."""
    if not data or not data.endswith(_MARK):
        return None
    end = len(data) - len(_MARK) - _LENGTH_BYTES
    length = int.from_bytes(data[end : end + _LENGTH_BYTES], "big")
    return _profile(data[max(0, end - length) : end])


def new_assignor(profile: Callable[[], Profile], heard: Callable[[Profiles], None]) -> type[StickyPartitionAssignor]:
    """aiokafka's sticky assignor keeps its memory in the class: a class for each client.

    Args:
        profile: ours, asked for at every join.
        heard: told the profiles of all members with every assignment; none when the leader tells none.
    """

    class OwnMemory(StickyPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
        @classmethod
        def metadata(cls, topics: Any) -> Any:
            plain = super().metadata(topics)
            data = with_profile(plain.user_data, profile())
            return ConsumerProtocolMemberMetadata(plain.version, plain.subscription, data)

        @classmethod
        def assign(cls, cluster: Any, members: Mapping[str, Any]) -> Any:
            """Refuses to hand out nothing: brokers that have just started may not know the topic yet."""
            for topic in {topic for member in members.values() for topic in member.subscription}:
                if not cluster.partitions_for_topic(topic):
                    raise KafkaError(f"{NO_PARTITIONS} {topic}")
            told = orjson.dumps([p for m in members.values() if (p := profile_in(m.user_data)) is not None])
            return {
                member: ConsumerProtocolMemberAssignment(given.version, given.assignment, told)
                for member, given in super().assign(cluster, members).items()
            }

        @classmethod
        def on_assignment(cls, assignment: Any) -> None:
            super().on_assignment(assignment)
            heard(_profiles(assignment.user_data))

    return OwnMemory


def _profiles(data: bytes | None) -> Profiles:
    try:
        told = orjson.loads(data or b"[]")
    except ValueError:
        return ()
    return tuple(each for each in told if isinstance(each, dict)) if isinstance(told, list) else ()


def _profile(data: bytes) -> Profile | None:
    try:
        profile = orjson.loads(data)
    except ValueError:
        return None
    return profile if isinstance(profile, dict) else None


# Without memory the assignor sends nothing, which nothing could stand behind.
_NO_MEMORY: bytes = StickyAssignorUserDataV1([], StickyPartitionAssignor.DEFAULT_GENERATION_ID).encode()
