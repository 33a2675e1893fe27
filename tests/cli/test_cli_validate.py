"""`te-collector validate` and the start of `run`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

CANARY = "CANARY-0123456789"


def _write(directory: Path, text: str) -> None:
    (directory / "collector.toml").write_text(text, encoding="utf-8")


def test_what_will_be_done(run_command: Run, tmp_path: Path) -> None:
    """The organizations, the topics, and every value with its origin."""
    _write(
        tmp_path,
        'late_horizon = "12h"\n[admin]\nlisten = "127.0.0.1:9108"\n[kafka]\ntopic_prefix = "te"\n'
        '[[organizations]]\nname = "acme"\naccount_groups = ["7625"]\nquota_share = 0.5\n',
    )
    shown = run_command("validate", TE_COLLECTOR_TOKEN=CANARY, KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    assert (shown.code, shown.err) == (0, "")
    head, _, values = shown.out.partition("\n\nEffective values and where they come from:\n")
    assert head.splitlines() == [
        "The configuration (collector.toml) is valid. The collector will",
        '  - poll "acme": account groups 7625, API v7 at https://api.thousandeyes.com, '
        "with at most 50% of its request quota",
        "  - begin 1h ago on a first run, and accept sessions up to 12h late",
        "  - reach back 10m to 1h at every poll, and walk again for late sessions "
        "the last 1h every 15m and 12h every 1h",
        "  - write events to the topic te.user-sessions at kafka:9092,",
        "    dead letters to te.user-sessions.dlq, state to te.collector.state and te.collector.shards",
        "    (it creates those that are missing)",
        "  - show status and metrics at http://127.0.0.1:9108",
    ]
    table = [line.strip().split("  # ") for line in values.splitlines()]
    origins = {text.strip(): origin for text, origin in table}
    assert origins['late_horizon = "12h"'] == "collector.toml"
    assert origins['overlap = "10m"'] == "default"
    assert origins['kafka.events_topic = "te.user-sessions"'] == "default"
    assert origins['kafka.bootstrap_servers = "kafka:9092"'] == "KAFKA_BOOTSTRAP_SERVERS"
    assert origins['organizations[0].token = "********"'] == "TE_COLLECTOR_TOKEN"
    assert CANARY not in shown.out


@pytest.mark.parametrize("command", ["validate", "run"])
def test_mistakes_end_with_exit_code_2(run_command: Run, tmp_path: Path, command: str) -> None:
    """Every mistake on standard error, nothing on standard output, no traceback, no secret."""
    _write(tmp_path, f'overlap = "2d"\n[[organizations]]\nname = "acme"\ntokn = "{CANARY}"\n')
    shown = run_command(command)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.splitlines() == [
        "te-collector: the configuration (collector.toml) has 3 mistakes:",
        '  overlap: expected a duration from 0s to 24h, found "2d"',
        '  organizations[0].tokn: unknown key; did you mean "token"?',
        "  organizations[0].token: expected token or token_file, found neither",
    ]


def test_what_this_machine_lacks(run_command: Run, tmp_path: Path) -> None:
    """A missing token, missing certificates and filters that the API does not know stop a start: told all at once."""
    _write(
        tmp_path,
        '[kafka]\nsecurity_protocol = "SSL"\nssl_ca_file = "none.pem"\n'
        '[[organizations]]\nname = "acme"\ntoken_file = "no-token"\nsearch_filters = { domian = ["example.com"] }\n',
    )
    expected = [
        "kafka.ssl_ca_file: the file none.pem does not exist",
        "organization 'acme': search filter 'domian' is unknown to API v7: did you mean 'domain'?",
        "organizations[0].token_file: the file no-token does not exist",
    ]
    validated, run, without_files = (
        run_command("validate"),
        run_command("run"),
        run_command("validate", "--no-files"),
    )
    assert [shown.code for shown in (validated, run, without_files)] == [2, 2, 2]
    assert [line.strip() for line in validated.err.splitlines()[1:]] == expected
    assert [line.strip() for line in run.err.splitlines()[1:]] == expected
    assert [line.strip() for line in without_files.err.splitlines()[1:]] == expected[1:2]


def test_a_dry_run_needs_nothing_of_kafka(run_command: Run, tmp_path: Path) -> None:
    """Certificates for brokers that will not be asked are not looked for."""
    _write(
        tmp_path,
        '[kafka]\nsecurity_protocol = "SSL"\nssl_ca_file = "none.pem"\n'
        '[[organizations]]\nname = "acme"\ntoken_file = "no-token"\n',
    )
    shown = run_command("run", "--dry-run", "--once")
    assert shown.code == 2
    assert [line.strip() for line in shown.err.splitlines()[1:]] == [
        "organizations[0].token_file: the file no-token does not exist"
    ]


def test_warnings(run_command: Run, tmp_path: Path) -> None:
    """What works but should not stay so is told on standard error, and does not fail."""
    token = tmp_path / "token"
    token.write_text("t\n")
    token.chmod(0o644)
    _write(
        tmp_path,
        '[[organizations]]\nname = "acme"\ntoken_file = "token"\napi_version = "v6"\n'
        'base_url = "http://example.com"\nallow_http = true\n',
    )
    shown = run_command("validate")
    assert shown.code == 0
    assert shown.err.splitlines() == [
        "te-collector: warning: organizations[0].token_file: every user of this machine can read token; "
        "chmod o-rwx token prevents it",
        "te-collector: warning: organizations[0].api_version: unsupported by ThousandEyes since 2025-05-27; use v7",
        "te-collector: warning: organizations[0].allow_http: the token crosses the network in clear text",
    ]


def test_the_schema_is_json(run_command: Run) -> None:
    """It needs no configuration."""
    shown = run_command("validate", "--schema")
    assert shown.code == 0
    assert set(json.loads(shown.out)["properties"]) >= {"kafka", "organizations", "late_horizon"}
