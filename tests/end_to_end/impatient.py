"""`te-collector` with pauses of a tenth of a second: an outage of seconds holds as many tries as one of many minutes.

    python -m tests.end_to_end.impatient run --config FILE

Deadlines are shorter too, and nothing else differs: what counts its tries, and would give up after some of them, gives
up here too.
"""

from dataclasses import replace

from collector import shard
from collector.__main__ import main
from collector.config.sections import KafkaSection
from collector.kafka.membership_settings import MembershipSettings
from collector.kafka.settings import KafkaSettings
from collector.service import run, sinks

PAUSE_S = 0.1
DEADLINES_S = dict.fromkeys(("start_timeout_s", "send_timeout_s", "commit_timeout_s", "restore_timeout_s"), 4.0)
REBALANCE_S = 2.0


def make_impatient() -> None:
    """Shorten the pauses between two tries: of the start, of a shard and of the group."""
    sinks.RETRY_FIRST_S = sinks.RETRY_MAX_S = PAUSE_S
    shard.BACKOFF_FIRST_S = shard.BACKOFF_MAX_S = PAUSE_S
    of_kafka, of_membership = sinks.kafka_settings, run.membership_settings

    def kafka_settings(section: KafkaSection) -> KafkaSettings:
        return replace(of_kafka(section), request_timeout_ms=2000, **DEADLINES_S)  # type: ignore[arg-type]

    def membership_settings(section: KafkaSection, automatic_instance_id: str | None) -> MembershipSettings:
        given = of_membership(section, automatic_instance_id)
        return replace(
            given,
            rebalance_timeout_s=REBALANCE_S,
            rebuild_silence_s=given.session_timeout_s + REBALANCE_S,
            backoff_first_s=PAUSE_S,
            backoff_max_s=PAUSE_S,
        )

    sinks.kafka_settings, run.membership_settings = kafka_settings, membership_settings
    run.kafka_settings = kafka_settings


if __name__ == "__main__":
    make_impatient()
    main()
