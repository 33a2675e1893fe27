"""What the membership of workers in their consumer group needs to be told.

The one rule: a value that cannot work is refused here, when it is made; what only brokers can refuse is named in the
log when they do.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.errors import ConfigurationError
from collector.kafka.settings import KafkaSettings

# The client misses a heartbeat or two whenever the event loop is busy; with fewer in a session that would end it.
HEARTBEATS_A_SESSION_MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipSettings:
    """Who we are in the group, and how soon its members notice each other's comings and goings.

    Args:
        group_id: of the consumer group; None: ``<state topic>.workers``, so that workers share shards exactly if they
            share state. All members must run the same assignor: give the group another name if that ever changes.
        instance_id: static membership: a name of this worker that survives its restarts and that no other worker has.
            A worker that is back within the session timeout finds its shards as it left them. None: a new member at
            each start, whose shards move at once when it stops.
        instance_is_automatic: the instance id was made up, so that a worker that was killed finds its shards again. A
            planned stop leaves the group at once all the same, and when somebody else has the id we go on without.
        session_timeout_s: a worker that says nothing for so long loses its shards: the take-over after a crash. The
            brokers' ``group.min.session.timeout.ms`` (6 s by default) is the least.
        heartbeat_interval_s: how often the broker is asked whether the group changes. Members learn of a planned leave
            by this question only, so the interval is the longest part of a planned take-over: half a second keeps that
            below one second, for two small requests a second and worker.
        rebalance_timeout_s: how long the group waits for a member to join again. Everybody goes on working meanwhile,
            and nobody waits for anything before joining, so it only has to exceed the pauses of a busy event loop.
        poll_timeout_s: how long one fetch is pending; an error of the group client is noticed after so long at most.
        rebuild_errors: after so many errors without a sign of life between them a new client is made, >= 1.
        rebuild_silence_s: after so long without a sign of life too, errors or not.
        backoff_first_s: pause before a new client, doubled up to ``backoff_max_s`` while clients fail without having
            been a member; times 0.5 to 1, so that workers do not come back all at once.
        backoff_max_s: see there.

    Raises:
        ConfigurationError: values that contradict each other; one line each.
    """

    group_id: str | None = None
    instance_id: str | None = None
    instance_is_automatic: bool = False
    session_timeout_s: float = 10.0
    heartbeat_interval_s: float = 0.5
    rebalance_timeout_s: float = 6.0
    poll_timeout_s: float = 1.0
    rebuild_errors: int = 20
    rebuild_silence_s: float = 30.0
    backoff_first_s: float = 0.5
    backoff_max_s: float = 15.0

    def __post_init__(self) -> None:
        mistakes = [*_size_mistakes(self), *_order_mistakes(self)]
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))

    def group(self, kafka: KafkaSettings) -> str:
        """The id of the group."""
        return self.group_id or f"{kafka.state_topic}.workers"


def _size_mistakes(settings: MembershipSettings) -> list[str]:
    names = (
        *("session_timeout_s", "heartbeat_interval_s", "rebalance_timeout_s", "poll_timeout_s"),
        *("rebuild_silence_s", "backoff_first_s", "backoff_max_s"),
    )
    mistakes = [f"kafka membership {name}: must be greater than 0" for name in names if getattr(settings, name) <= 0]
    if settings.rebuild_errors < 1:
        mistakes.append(f"kafka membership rebuild_errors: must be at least 1, got {settings.rebuild_errors}")
    mistakes += [
        f"kafka membership {name}: must not be empty"
        for name in ("group_id", "instance_id")
        if getattr(settings, name) == ""
    ]
    return mistakes


def _order_mistakes(settings: MembershipSettings) -> list[str]:
    mistakes = []
    if settings.heartbeat_interval_s * HEARTBEATS_A_SESSION_MIN > settings.session_timeout_s:
        mistakes.append(
            f"kafka membership heartbeat_interval_s: {settings.heartbeat_interval_s:g} s leaves less than "
            f"{HEARTBEATS_A_SESSION_MIN} heartbeats in a session_timeout_s of {settings.session_timeout_s:g} s"
        )
    bound_s = settings.session_timeout_s + settings.rebalance_timeout_s
    if settings.rebuild_silence_s < bound_s:
        mistakes.append(
            f"kafka membership rebuild_silence_s: {settings.rebuild_silence_s:g} s is shorter than session_timeout_s + "
            f"rebalance_timeout_s ({bound_s:g} s): a client that only waits for others would be thrown away"
        )
    if settings.backoff_first_s > settings.backoff_max_s:
        mistakes.append("kafka membership backoff_first_s: must not be greater than backoff_max_s")
    return mistakes
