"""Secrets stay secret: in representations, in errors, and on their way from a file."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from collector.config import Config, OrganizationSection, SecretFile, load
from collector.errors import ConfigurationError
from tests.config.conftest import LoadText

CANARY = "CANARY-0123456789"


def test_no_representation_shows_a_secret(monkeypatch: pytest.MonkeyPatch, load_text: LoadText) -> None:
    """Neither the configuration, nor how it was loaded, nor its JSON."""
    monkeypatch.setenv("TE_COLLECTOR_KAFKA__SASL_PASSWORD", CANARY)
    loaded = load_text(
        '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nsasl_username = "u"\n'
        f'[[organizations]]\nname = "acme"\ntoken = "{CANARY}"\n'
    )
    config = loaded.config
    shown = [repr(loaded), str(loaded), repr(loaded.environment), repr(config), str(config), config.model_dump_json()]
    assert [text for text in shown if CANARY in text] == []
    assert config.organizations[0].token is not None
    assert config.organizations[0].token.get_secret_value() == CANARY


@pytest.mark.parametrize(
    "text",
    [
        f'[[organizations]]\nname = "acme"\ntoken = "{CANARY} "\n',
        f'[[organizations]]\nname = "acme"\ntoken = ["{CANARY}"]\n',
        f'[[organizations]]\nname = "acme"\ntoken = {{ value = "{CANARY}" }}\n',
        f'[[organizations]]\nname = "acme"\ntokn = "{CANARY}"\n',
        f'[[organizations]]\nname = "acme"\ntoken = "{CANARY}"\ntoken_file = "x"\n',
        f'[[organizations]]\nname = "acme"\ntoken = "t"\nbase_url = "https://{CANARY}@example.com"\n',
        f'[[organizations]]\nname = "acme"\ntoken = "t"\nbase_url = "https:/{CANARY}@example.com"\n',
        f'token = "{CANARY}"\n',
        f'[kafka]\nsasl_password = "{CANARY}"\n',
        f'[kafka]\npassword = "{CANARY}"\n',
        f'[[organizations]]\nname = "acme"\ntoken = "{CANARY}\n',
        f'organizations = "{CANARY}"\n',
        f'organizations = ["{CANARY}"]\n',
    ],
)
def test_no_error_shows_a_secret(load_text: LoadText, text: str) -> None:
    """Not in the message, and not in the traceback with everything that led to it."""
    with pytest.raises(ConfigurationError) as caught:
        load_text(text)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_config_made_by_hand_does_not_show_it_either() -> None:
    """The error of pydantic itself hides the values."""
    with pytest.raises(ValidationError) as caught:
        Config(organizations=({"name": "a", "token": CANARY, "tokn": CANARY, "quota_share": 2},))  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("content", [CANARY, f"{CANARY}\n", f"{CANARY}\r\n", f"  {CANARY}\n\n"])
def test_a_secret_in_a_file_loses_the_newline(tmp_path: Path, content: str) -> None:
    """Editors and `echo` end a file with one."""
    file = tmp_path / "token"
    file.write_text(content)
    assert SecretFile(file, "token_file").read().get_secret_value() == CANARY


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A token is rotated without a restart, also when a link is turned to another file of the same size and time."""
    first, second, link = tmp_path / "1", tmp_path / "2", tmp_path / "token"
    first.write_text("first-token")
    second.write_text("other-token")
    for file in (first, second):
        os.utime(file, ns=(1, 1))
    link.symlink_to(first)
    secret = SecretFile(link, "token_file")
    assert secret.read().get_secret_value() == "first-token"
    link.unlink()
    link.symlink_to(second)
    assert secret.read().get_secret_value() == "other-token"


def test_a_file_that_is_gone_for_a_moment_does_no_harm(tmp_path: Path) -> None:
    """While it is replaced the secret read before stays in use, and the problem can be seen."""
    file = tmp_path / "token"
    file.write_text("first")
    secret = SecretFile(file, "organizations[0].token_file")
    secret.read()
    file.unlink()
    assert secret.read().get_secret_value() == "first"
    assert secret.problem == f"organizations[0].token_file: the file {file} does not exist"
    file.write_text("\n")
    assert secret.read().get_secret_value() == "first"
    assert secret.problem == f"organizations[0].token_file: the file {file} is empty"
    file.write_text("second")
    assert secret.read().get_secret_value() == "second"
    assert secret.problem is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"one\ntwo\n", "does not hold a secret alone: one line of visible ASCII without blanks is expected"),
        (
            f"{CANARY}\u00e9".encode(),
            "does not hold a secret alone: one line of visible ASCII without blanks is expected",
        ),
        (CANARY.encode() * 2000, "does not hold a secret alone: one line of visible ASCII without blanks is expected"),
    ],
)
def test_a_file_without_a_secret(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The message names the key and the file, and not what is in it."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        SecretFile(file, "token_file").read()
    assert str(caught.value) == f"token_file: the file {file} {message}"
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_password_may_hold_blanks(tmp_path: Path) -> None:
    """Only what is sent in a header is limited to what a header can carry."""
    file = tmp_path / "password"
    file.write_text("two wörds\n")
    assert SecretFile(file, "sasl_password_file", in_header=False).read().get_secret_value() == "two wörds"


def test_a_file_that_others_can_read_gets_a_warning(tmp_path: Path) -> None:
    """A group may be meant; everybody is not."""
    file = tmp_path / "token"
    file.write_text("t")
    secret = SecretFile(file, "token_file")
    file.chmod(0o640)
    assert secret.warning() is None
    file.chmod(0o644)
    assert secret.warning() == (
        f"token_file: every user of this machine can read {file}; chmod o-rwx {file} prevents it"
    )


def test_secrets_are_not_read_while_loading(load_text: LoadText) -> None:
    """A configuration can be checked where its secrets are not."""
    loaded = load_text('[[organizations]]\nname = "acme"\ntoken_file = "/nonexistent/token"\n')
    assert loaded.config.organizations == (OrganizationSection(name="acme", token_file=Path("/nonexistent/token")),)
    assert load(loaded.file).config == loaded.config
