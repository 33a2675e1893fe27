"""What is logged: one line an event on standard error, its time first, and no secrets whatever a library says."""

import json
import logging

import pytest
import structlog

from collector.telemetry.logs import HIDDEN, configure_logs

CANARY = "canary-7d1f0a2b"


pytestmark = pytest.mark.usefixtures("logging_as_before")


def test_a_json_line_begins_with_time_level_and_event(capsys: pytest.CaptureFixture[str]) -> None:
    """Machines read any order; people who look at it want these first."""
    configure_logs("info", "json")
    structlog.get_logger("collector.test").info("walked", aid="7625")
    line = json.loads(capsys.readouterr().err)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["event"] == "walked"
    assert line["aid"] == "7625"


@pytest.mark.parametrize("form", ["json", "console"])
def test_credentials_are_hidden_whoever_logs_them(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Our own lines, a library's, a traceback's: a token does not come through."""
    configure_logs("debug", form)  # type: ignore[arg-type]
    log = structlog.get_logger("collector.test")
    log.info("asked", header=f"Bearer {CANARY}", token=CANARY, url=f"https://user:{CANARY}@api.example.com/")
    logging.getLogger("some.library").warning("sent Authorization: Basic %s", CANARY)
    try:
        raise RuntimeError(f"refused: Bearer {CANARY}")
    except RuntimeError:
        if form == "json":  # for people a traceback is drawn with its source lines, which hold the canary's name only
            log.exception("failed")
    printed = capsys.readouterr().err
    assert CANARY not in printed
    assert HIDDEN in printed


def test_less_than_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The level holds for us and for libraries; a library's routine is not worth a line at all."""
    configure_logs("info", "json")
    structlog.get_logger("collector.test").debug("detail")
    logging.getLogger("httpx").info("HTTP Request: POST ...")
    logging.getLogger("aiokafka.consumer.fetcher").error("tried again in a moment")
    assert capsys.readouterr().err == ""
