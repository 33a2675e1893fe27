"""What members tell each other rides behind the assignor's own data, and disturbs nothing. No broker."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.structs import TopicPartition

from collector.kafka.profiles import Profile, Profiles, new_assignor, profile_in, with_profile

TOPIC = "shards"


class Cluster:
    """What the assignor asks of it: four partitions."""

    def topics(self) -> set[str]:
        return {TOPIC}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1, 2, 3}


def assignor(profile: Profile) -> tuple[Any, list[Profiles]]:
    """A member's assignor, and what it has heard."""
    heard: list[Profiles] = []
    return new_assignor(lambda: profile, heard.append), heard


def rebalance(members: dict[str, Any]) -> dict[str, set[int]]:
    """What the leader, the first of them, gives to each; told to each as the broker would."""
    metadata = {
        name: ConsumerProtocolMemberMetadata.decode(member.metadata([TOPIC]).encode())
        for name, member in members.items()
    }
    given = next(iter(members.values())).assign(Cluster(), metadata)
    for name, member in members.items():
        member.on_assignment(ConsumerProtocolMemberAssignment.decode(given[name].encode()))
    return {name: {p.partition for p in assignment.partitions()} for name, assignment in given.items()}


def test_everybody_hears_everybody() -> None:
    """Each member is told the profiles of all, whoever leads."""
    (one, heard_by_one), (two, heard_by_two) = assignor({"worker": "one", "count": 1}), assignor({"worker": "two"})
    rebalance({"one": one, "two": two})
    assert heard_by_one == heard_by_two
    assert sorted(heard_by_one[0], key=len) == [{"worker": "two"}, {"worker": "one", "count": 1}]


def test_what_sticks_still_sticks() -> None:
    """With profiles, as without: a member that leaves and comes back moves as little as can be."""
    (one, _), (two, _) = assignor({"worker": "one"}), assignor({"worker": "two"})
    before = rebalance({"one": one, "two": two})
    assert sorted(map(len, before.values())) == [2, 2]
    assert rebalance({"two": two, "one": one}) == before
    alone = rebalance({"one": one})
    assert alone == {"one": {0, 1, 2, 3}}


def test_an_older_member_is_understood_and_understands() -> None:
    """One that knows no profiles is given its share, and gives others theirs."""

    class Older(StickyPartitionAssignor):  # type: ignore[misc]
        """Its memory in a class of its own."""

    newer, heard = assignor({"worker": "newer"})
    shares = rebalance({"newer": newer, "older": Older})
    assert heard == [({"worker": "newer"},)]
    assert rebalance({"older": Older, "newer": newer}) == shares
    assert heard[1:] == [()]


@pytest.mark.parametrize("data", [b"", None, b"te1\n", b"\xff\xffte1\n", b"nonsense", b"x\x00\x01te1\n"])
def test_what_is_no_profile_is_none(data: bytes | None) -> None:
    """Whatever another program sends, nothing is raised."""
    assert profile_in(data) is None


def test_a_profile_comes_back() -> None:
    """Behind memory and behind none."""
    member = TopicPartition(TOPIC, 1)
    memory = StickyPartitionAssignor._metadata([TOPIC], [member], 3).user_data
    for data in (memory, b""):
        packed = with_profile(data, {"worker": "w", "count": 3})
        assert profile_in(packed) == {"worker": "w", "count": 3}
        parsed = StickyPartitionAssignor.parse_member_metadata(ConsumerProtocolMemberMetadata(0, [TOPIC], packed))
        assert (parsed.partitions, parsed.generation) == (([member], 3) if data else ([], -1))
