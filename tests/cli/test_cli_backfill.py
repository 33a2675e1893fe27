"""`te-collector backfill`: what is said about a mistake, before anything is asked of anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

# ruff: noqa: E501 - what is said stands as it is said
from collector.cli.backfill import Wanted, parse_time, request_of
from collector.cli.backfill_view import as_text
from collector.config import load_config
from collector.core.backfill import BackfillJob, Counts, JobState
from tests.cli.conftest import Run

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
CONFIG = """
[kafka]
bootstrap_servers = "127.0.0.1:1"
[[organizations]]
name = "acme"
token = "t"
account_groups = ["11", "22"]
[[organizations]]
name = "other"
token = "t"
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Two organizations, and a broker that is not there."""
    path = tmp_path / "collector.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--organization: which one? configured are acme, other"),
        (("--organization", "acne", "--from", "1d"), "--organization: 'acne' is not configured; configured are acme, other"),
        (("--organization", "acme", "--account-group", "33", "--from", "1d"), "acme has no account group 33; configured are 11, 22"),
        (("--organization", "acme"), "--from: from when on?"),
        (("--organization", "acme", "--from", "soon"), "--from: expected a time such as 2026-11-01T06:00:00Z"),
        (("--organization", "acme", "--from", "1d", "--to", "2999-01-01"), "--to: 2999-01-01T00:00:00.000Z lies in the future"),
        (("--organization", "acme", "--from", "1d", "--to", "2d"), "is not before --to"),
        (("--organization", "acme", "--from", "40d"), "is older than what ThousandEyes keeps (30d, api_retention): ask from"),
        (("--organization", "acme", "--from", "1d", "--quota-share", "1"), "--quota-share: expected a number over 0"),
    ],
)  # fmt: skip
def test_mistakes_end_with_2_and_say_what_would_be_right(
    run_command: Run, config_file: Path, arguments: tuple[str, ...], said: str
) -> None:
    """No broker is asked for any of them."""
    shown = run_command("backfill", "--config", str(config_file), *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert said in shown.err


def test_the_request(config_file: Path) -> None:
    """Times as written, dates in UTC, how long ago; account groups once each."""
    config = load_config(config_file)
    wanted = Wanted("acme", ("22", "22"), "2026-11-24", "2h", 0.3)
    request = request_of(config, wanted, NOW)
    assert (request.start, request.end) == (int(NOW) - 36 * 3_600, int(NOW) - 2 * 3_600)
    assert (request.account_groups, request.quota_share) == (("22",), 0.3)
    assert request_of(config, wanted, NOW).job != request.job
    assert parse_time("--from", "2026-11-25T13:00:00+01:00", NOW) == NOW


def test_a_job_in_lines(config_file: Path) -> None:
    """What a person asks: which, how far, what came of it, what is missing."""
    request = request_of(load_config(config_file), Wanted("acme", ("11",), "2d", "1d", 0.2), NOW)
    job = BackfillJob(request, NOW, NOW).begun(("11",), NOW)
    job = job.walked("11", request.start + 43_200, Counts(3, 40, 5, 1), NOW)
    job = job.passed_over("11", request.start + 43_200, request.start + 43_260, NOW)
    assert list(as_text(job.ended(JobState.FAILED, NOW, "why"))) == [
        f"{request.job}  acme  2026-11-23T12:00:00Z to 2026-11-24T12:00:00Z (1d)  failed: why",
        "  account groups 11; 50% walked, quota share 0.2",
        "  3 pages: 40 sessions published, 5 known before, 1 dead letters",
        "  could not be read: account group 11, 2026-11-24T00:00:00Z to 2026-11-24T00:01:00Z",
    ]
