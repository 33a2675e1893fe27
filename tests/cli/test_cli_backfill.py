"""`te-collector backfill`: what is said about a mistake, before anything is asked of anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

# ruff: noqa: E501 - what is said stands as it is said
from collector.cli.backfill import How, ask
from collector.cli.backfill_jobs import Known, hint, read_job
from collector.cli.backfill_view import as_text
from collector.cli.backfill_watch import cancel
from collector.cli.backfill_wish import Wanted, check_account_groups, overlaps, parse_time, request_of
from collector.config import load_config
from collector.core.backfill import BackfillJob, Counts, JobState
from collector.errors import ConfigurationError, StartRefused
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
        ((), "--organization: which one? Configured: acme, other"),
        (("--organization", "acne", "--from", "1d"), "--organization: 'acne' is not configured; did you mean \"acme\"? Configured: acme, other"),
        (("--organization", "xyz", "--from", "1d"), "--organization: 'xyz' is not configured. Configured: acme, other"),
        (("--organization", "acme", "--account-group", "33", "--from", "1d"), "acme has no account group 33. Configured: 11, 22"),
        (("--organization", "acme"), "--from: from when on?"),
        (("--organization", "acme", "--from", "soon"), "--from: expected a time such as 2026-11-01T06:00:00Z"),
        (("--organization", "acme", "--from", "1d", "--to", "2999-01-01"), "--to: 2999-01-01T00:00:00Z lies in the future; it is 20"),
        (("--organization", "acme", "--from", "2999-01-01"), "--from: 2999-01-01T00:00:00Z lies in the future; it is 20"),
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


def test_a_range_that_is_too_old_names_one_that_is_not(config_file: Path) -> None:
    """The remedy can be typed: a whole hour, and still right a while later."""
    config = load_config(config_file)
    with pytest.raises(ConfigurationError, match="ask from 2026-10-26T13:00:00Z on") as refused:
        request_of(config, Wanted("acme", (), "31d", None, 0.2), NOW + 1_800)
    assert "2026-10-25T12:30:00Z is older than what ThousandEyes keeps (30d, api_retention)" in str(refused.value)
    request_of(config, Wanted("acme", (), "2026-10-26T13:00:00Z", None, 0.2), NOW + 3_600)


def test_an_account_group_that_was_never_collected_is_refused_with_the_nearest() -> None:
    """Where the configuration names none, the state does; where nobody knows any, the worker will tell."""
    there = [str(n) for n in range(7_625, 7_640)]
    with pytest.raises(ConfigurationError) as refused:
        check_account_groups("acme", ("7625", "76255"), there, "Collected")
    assert str(refused.value).startswith(
        '--account-group: acme has no account group 76255; did you mean "7625"? Collected: 7625, 7626, '
    )
    assert str(refused.value).endswith(" and 5 more")
    check_account_groups("acme", ("1",), [], "Collected")


def known(config_file: Path, start: str, end: str, *aids: str, state: JobState | None = None) -> Known:
    """A job that was asked for before."""
    job = BackfillJob(request_of(load_config(config_file), Wanted("acme", aids, start, end, 0.2), NOW), NOW, NOW)
    return Known(job if state is None else job.ended(state, NOW), is_taken=True)


def test_the_same_job_twice_is_refused(config_file: Path) -> None:
    """While it is not over it has all of the range already: watching it is what the person wants."""
    wanted = request_of(load_config(config_file), Wanted("acme", ("11",), "2d", "1d", 0.2), NOW)
    for job in (
        known(config_file, "2d", "1d", "11"),
        known(config_file, "3d", "0s"),
        known(config_file, "2d", "1d", "11", "22"),
    ):
        with pytest.raises(ConfigurationError, match="has all of this range already") as refused:
            overlaps(wanted, [job], Path("my own.toml"))
        name = job.job.request.job
        assert f"{name}, which is waiting" in str(refused.value)
        assert f"te-collector backfill --config 'my own.toml' --watch {name} shows" in str(refused.value)
    ended = [
        known(config_file, "3d", "0s", state=state) for state in (JobState.DONE, JobState.CANCELLED, JobState.FAILED)
    ]
    assert overlaps(wanted, ended, None) == []


def test_overlapping_jobs_are_told(config_file: Path) -> None:
    """A part of the range, or some of the account groups: said, and done; what touches nothing is not mentioned."""
    wanted = request_of(load_config(config_file), Wanted("acme", ("11",), "2d", "1d", 0.2), NOW)
    every = request_of(load_config(config_file), Wanted("acme", (), "2d", "1d", 0.2), NOW)
    part, other = known(config_file, "30h", "0s"), known(config_file, "3d", "0s", "22")
    touching = known(config_file, "1d", "0s")
    (line,) = overlaps(wanted, [part, other, touching], None)
    assert line.startswith(f"{part.job.request.job}, which is waiting, has a part of this range too")
    assert len(overlaps(every, [part, other, touching], None)) == 2


@pytest.mark.usefixtures("logging_as_before")
def test_ctrl_c_before_it_is_known_whether_it_was_asked_for(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The person is told where to look; a dry run asks nothing, so there is nothing to tell."""

    def interrupted(*what: object, **how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anyio.run", interrupted)
    for how in (How(), How(dry_run=True)):
        with pytest.raises(KeyboardInterrupt):
            ask(config_file, Wanted("acme", (), "3h", None, 0.2), how)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("te-collector: interrupted; whether 20")
    assert line.endswith(f"is shown by te-collector backfill --config {config_file} --list")


@pytest.mark.usefixtures("logging_as_before")
def test_ctrl_c_before_it_is_known_whether_it_is_cancelled(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The person is told where to look."""

    def interrupted(*what: object, **how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anyio.run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cancel(config_file, "x", as_json=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"te-collector: interrupted; whether x is cancelled is shown by te-collector backfill --config {config_file} "
        f"--list"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--list", "--cancel", "x"), "--list and --cancel exclude each other"),
        (("--watch", "x", "--cancel", "y"), "--watch and --cancel exclude each other"),
        (("--cancel", "y", "--list", "--watch", "x"), "--list and --watch and --cancel exclude each other"),
        (("--cancel", "y", "--dry-run"), "--dry-run cannot be given with --cancel"),
        (("--watch", "y", "--quota-share", "0.2", "--organization", "acme"), "--quota-share, --organization cannot be given with --watch"),
        (("--list", "--from", "1d", "--to", "0s", "--no-wait"), "--from, --to, --wait/--no-wait cannot be given with --list"),
        (("--list", "--account-group", "11"), "--account-group cannot be given with --list"),
    ],
)  # fmt: skip
def test_one_thing_at_a_time(run_command: Run, config_file: Path, arguments: tuple[str, ...], said: str) -> None:
    """Nothing is listed instead of being cancelled, and nothing is cancelled to try out what that would do."""
    shown = run_command("backfill", "--config", str(config_file), *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert said in shown.err


def test_a_job_of_another_version_is_named_with_its_topic() -> None:
    """A line for people instead of a traceback."""
    with pytest.raises(StartRefused) as refused:
        read_job("te.state", "backfill/acme/x", b'{"version":99}')
    assert str(refused.value) == (
        "te.state holds what this version cannot read at backfill/acme/x (not of version 1: b'{\"version\":99}'); use the "
        "version that wrote it"
    )


def test_a_hint_can_be_typed() -> None:
    """With the configuration that the command was started with, as a shell reads it."""
    assert hint(None, "--list") == "te-collector backfill --list"
    assert hint(Path("a b.toml"), "--cancel", "x") == "te-collector backfill --config 'a b.toml' --cancel x"


def test_a_job_in_lines(config_file: Path) -> None:
    """What a person asks: which, how far, what came of it, what is missing."""
    request = request_of(load_config(config_file), Wanted("acme", ("11",), "2d", "1d", 0.2), NOW)
    job = BackfillJob(request, NOW, NOW).begun(("11",), NOW)
    job = job.walked("11", request.start + 43_200, Counts(3, 40, 5, 1), NOW)
    job = job.passed_over("11", request.start + 43_200, request.start + 43_260, NOW)
    assert list(as_text(job.ended(JobState.FAILED, NOW, "why"))) == [
        f"{request.job}  acme  2026-11-23T12:00:00Z to 2026-11-24T12:00:00Z (1d)  failed at 2026-11-25T12:00:00Z: why",
        "  account group 11; 50% walked, quota share 0.2",
        "  3 pages: 40 sessions published, 5 known before, 1 dead letter",
        "  could not be read: account group 11, 2026-11-24T00:00:00Z to 2026-11-24T00:01:00Z",
    ]
    waits = BackfillJob(request, NOW, NOW)
    assert next(as_text(waits, is_taken=False)).endswith("(1d)  waiting, no worker took it yet")
    cancelled = waits.ended(JobState.CANCELLED, NOW)
    assert next(as_text(cancelled, is_taken=False, is_heeded=False)).endswith(
        "(1d)  cancelled, no worker heeded it yet"
    )
