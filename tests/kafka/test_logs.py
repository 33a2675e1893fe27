"""The limit on aiokafka's log lines."""

from __future__ import annotations

import logging

import pytest

from collector.kafka.logs import LINES_A_PERIOD, PERIOD_S, RateLimit, limit_client_logs


def _record(message: str, *values: object, at_s: float) -> logging.LogRecord:
    record = logging.LogRecord("aiokafka", logging.ERROR, __file__, 1, message, values, None)
    record.created = at_s
    return record


def test_repeated_lines_are_counted_and_told() -> None:
    """Of lines that differ in values only, a few a minute pass; the next minute's first tells how many did not."""
    limit = RateLimit()
    passed = [limit.filter(_record("Unable connect to %s", number, at_s=100.0 + number)) for number in range(20)]
    assert passed == [True] * LINES_A_PERIOD + [False] * (20 - LINES_A_PERIOD)
    assert limit.filter(_record("another message", at_s=110.0))

    later = _record("Unable connect to %s", "b", at_s=100.0 + PERIOD_S)
    assert limit.filter(later)
    assert later.getMessage() == f"Unable connect to b ({20 - LINES_A_PERIOD} more like this were left out)"
    calm = _record("Unable connect to %s", "b", at_s=100.0 + 2 * PERIOD_S)
    assert limit.filter(calm)
    assert calm.getMessage() == "Unable connect to b"


def test_limit_is_on_every_logger_of_the_client_once(caplog: pytest.LogCaptureFixture) -> None:
    """The loggers that flood while brokers are away are limited; doing it twice does not limit twice."""
    limit_client_logs()
    limit_client_logs()
    for name in ("aiokafka", "aiokafka.conn", "aiokafka.producer.sender", "aiokafka.consumer.fetcher"):
        assert sum(isinstance(limit, RateLimit) for limit in logging.getLogger(name).filters) == 1
    with caplog.at_level(logging.WARNING, "aiokafka"):
        for number in range(50):
            logging.getLogger("aiokafka").warning("a message of this test: %s", number)
    assert len(caplog.records) == LINES_A_PERIOD
