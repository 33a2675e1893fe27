"""Takes a member out of a consumer group, by its member id or by its instance id.

The one rule: clients of its own. The client of the membership may be in the middle of a join, and a broker answers the
requests of one connection one after the other.

aiokafka 0.14.0 leaves groups with LeaveGroup up to version 1, which names a member by its member id and knows no
instance id; static members never leave at all. Version 3 names members by either.
https://kafka.apache.org/protocol.html#The_Messages_LeaveGroup
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, NoError, UnknownMemberIdError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from collector.kafka.closing import finish_within
from collector.kafka.connection import client_arguments
from collector.kafka.errors import FENCED_INSTANCE_ID, KafkaUnreachable, describe
from collector.kafka.settings import KafkaSettings

# A coordinator that moves or loads answers so at once; asked again until the deadline.
_RETRY_S = 0.1

_GONE = (NoError, UnknownMemberIdError)


async def remove_member(
    kafka: KafkaSettings, group_id: str, *, member_id: str = "", instance_id: str | None = None, timeout_s: float
) -> None:
    """Removes one member; a member that is no longer there counts as removed.

    Args:
        kafka: where the brokers are.
        group_id: of the group.
        member_id: of a dynamic member; with an instance id: of the process that may be meant alone.
        instance_id: of a static member; without a member id whichever process has it now.
        timeout_s: for everything but closing.

    Raises:
        TimeoutError: the coordinator could not be found, or did not answer.
        KafkaError, OSError: no broker answered, or the group may not be changed by us.
    """
    client = AIOKafkaClient(**client_arguments(kafka, role="leave"))
    try:
        async with asyncio.timeout(timeout_s):
            await client.bootstrap()
            while error := await _ask(client, group_id, member_id, instance_id):
                if not error.retriable:
                    raise error
                await asyncio.sleep(_RETRY_S)
    finally:
        await finish_within(kafka.close_timeout_s, client.close())


async def say_goodbye(kafka: KafkaSettings, group_id: str, instance_id: str, timeout_s: float) -> None:
    """Removes a static member, for an operator who knows that it does not come back.

    Raises:
        KafkaUnreachable: it was not done, with the reason.
    """
    try:
        await remove_member(kafka, group_id, instance_id=instance_id, timeout_s=timeout_s)
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise KafkaUnreachable(
            f"kafka: {instance_id} could not be removed from the group {group_id} at {kafka.bootstrap_servers} "
            f"({describe(error)}). Are the brokers up, and may we READ this group?"
        ) from error


async def _ask(client: Any, group_id: str, member_id: str, instance_id: str | None) -> KafkaError | None:
    """One request to whoever coordinates the group now; the error instead of success."""
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group_id)
        answer = await client.send(
            coordinator, _LeaveGroup(group_id, member_id, instance_id), group=ConnectionGroup.COORDINATION
        )
    except KafkaError as error:
        return error
    codes = [answer.error_code, *(code for _, _, code in answer.members)]
    errors = [error for error in map(for_code, set(codes) - {FENCED_INSTANCE_ID}) if error not in _GONE]
    return errors[0](group_id) if errors else None


class _LeaveGroupResponseV3(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class _LeaveGroupRequestV3(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveGroupResponseV3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class _LeaveGroup(Request[_LeaveGroupRequestV3]):  # type: ignore[misc]  # aiokafka has no types
    """Asks for one member to be removed."""

    API_KEY = 13

    def __init__(self, group_id: str, member_id: str, instance_id: str | None) -> None:
        self._fields = group_id, [(member_id, instance_id)]

    def build(self, request_struct_class: type[_LeaveGroupRequestV3]) -> _LeaveGroupRequestV3:
        return request_struct_class(*self._fields)
