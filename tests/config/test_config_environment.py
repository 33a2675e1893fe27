"""The environment over the file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from collector.config import Config, OrganizationSection, load, load_config
from collector.config.environment import _SERVICE_LINK, short_name
from collector.errors import ConfigurationError
from tests.config.conftest import LoadText

ACME = '[[organizations]]\nname = "acme"\ntoken_file = "from-file"\n'
TWO = ACME + '[[organizations]]\nname = "other"\ntoken = "t"\n'


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_one_organization_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is all that is needed; every other key of the organization has its short variable."""
    _set(
        monkeypatch,
        TE_COLLECTOR_TOKEN="secret-token",
        TE_COLLECTOR_ORGANIZATION="acme",
        TE_COLLECTOR_BASE_URL="http://127.0.0.1:8080/",
        TE_COLLECTOR_API_VERSION="v6",
        TE_COLLECTOR_USER="user@example.com",
        TE_COLLECTOR_FORMAT="xml",
        TE_COLLECTOR_ACCOUNT_GROUPS="7625, 7626",
        TE_COLLECTOR_QUOTA_SHARE="0.5",
        TE_COLLECTOR_POLL_INTERVAL_MIN="30s",
        TE_COLLECTOR_SEARCH_FILTERS='{"platform": ["mac"], "domain": "a.com,b.com"}',
    )
    (organization,) = load_config().organizations
    assert organization.token is not None
    assert organization.token.get_secret_value() == "secret-token"
    assert organization.model_dump(exclude={"token", "poll_interval_max"}, exclude_defaults=True) == {
        "name": "acme",
        "base_url": "http://127.0.0.1:8080",
        "api_version": "v6",
        "user": "user@example.com",
        "format": "xml",
        "account_groups": ("7625", "7626"),
        "quota_share": 0.5,
        "poll_interval_min": timedelta(seconds=30),
        "search_filters": {"platform": ("mac",), "domain": ("a.com", "b.com")},
    }


def test_the_organization_of_the_environment_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name it is called default."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN_FILE="/run/secrets/te-token")
    assert load_config().organizations == (
        OrganizationSection(name="default", token_file=Path("/run/secrets/te-token")),
    )


def test_environment_wins_over_file(monkeypatch: pytest.MonkeyPatch, load_text: LoadText) -> None:
    """Keys at the top, in tables and in organizations are replaced one by one; their neighbours stay."""
    _set(
        monkeypatch,
        TE_COLLECTOR_LATE_HORIZON="12h",
        TE_COLLECTOR_KAFKA__SHARDS="4",
        TE_COLLECTOR_ORGANIZATIONS__1__QUOTA_SHARE="0.1",
        TE_COLLECTOR_ORGANIZATIONS__2__NAME="third",
        TE_COLLECTOR_ORGANIZATIONS__2__TOKEN="t",
    )
    loaded = load_text(f'late_horizon = "2h"\noverlap = "5m"\n[kafka]\nshards = 8\ntopic_prefix = "x"\n{TWO}')
    config = loaded.config
    assert (config.late_horizon, config.overlap) == (timedelta(hours=12), timedelta(minutes=5))
    assert (config.kafka.shards, config.kafka.events_topic) == (4, "x.user-sessions")
    assert [(item.name, item.quota_share) for item in config.organizations] == [
        ("acme", 0.8),
        ("other", 0.1),
        ("third", 0.8),
    ]
    assert loaded.origin(("late_horizon",)) == "TE_COLLECTOR_LATE_HORIZON"
    assert loaded.origin(("organizations", 1, "quota_share")) == "TE_COLLECTOR_ORGANIZATIONS__1__QUOTA_SHARE"
    assert loaded.origin(("organizations", 1, "token")) == "collector.toml"
    assert loaded.origin(("organizations", 1, "concurrency")) == "default"


def test_precedence_of_the_bootstrap_servers(monkeypatch: pytest.MonkeyPatch, load_text: LoadText) -> None:
    """TE_COLLECTOR_KAFKA__BOOTSTRAP_SERVERS, then KAFKA_BOOTSTRAP_SERVERS, then the file, then the default."""
    path = ("kafka", "bootstrap_servers")
    assert load_text(ACME).config.kafka.bootstrap_servers == "127.0.0.1:9092"
    text = '[kafka]\nbootstrap_servers = "file:1"\n' + ACME
    assert (load_text(text).config.kafka.bootstrap_servers, load_text(text).origin(path)) == (
        "file:1",
        "collector.toml",
    )
    _set(monkeypatch, KAFKA_BOOTSTRAP_SERVERS="a:1, b:2")
    loaded = load_text(text)
    assert (loaded.config.kafka.bootstrap_servers, loaded.origin(path)) == ("a:1,b:2", "KAFKA_BOOTSTRAP_SERVERS")
    _set(monkeypatch, TE_COLLECTOR_KAFKA__BOOTSTRAP_SERVERS="own:3")
    loaded = load_text(text)
    assert loaded.config.kafka.bootstrap_servers == "own:3"
    assert loaded.origin(path) == "TE_COLLECTOR_KAFKA__BOOTSTRAP_SERVERS"


@pytest.mark.parametrize("variable", ["TE_COLLECTOR_TOKEN", "TE_COLLECTOR_ORGANIZATIONS__0__TOKEN"])
def test_a_credential_of_the_environment_replaces_the_other_kind(
    monkeypatch: pytest.MonkeyPatch, load_text: LoadText, variable: str
) -> None:
    """A token from the environment takes the place of the file's token_file instead of conflicting with it."""
    _set(monkeypatch, **{variable: "t"})
    loaded = load_text(ACME)
    (organization,) = loaded.config.organizations
    assert organization.token_file is None
    assert organization.token is not None
    assert loaded.origin(("organizations", 0, "token")) == variable


def test_short_variables_need_one_organization(monkeypatch: pytest.MonkeyPatch, load_text: LoadText) -> None:
    """With several organizations it would be a guess whose token it is."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN="canary")
    with pytest.raises(ConfigurationError) as caught:
        load_text(TWO)
    assert str(caught.value).splitlines()[1:] == [
        "  TE_COLLECTOR_TOKEN: there are several organizations; say which one it is for, such as "
        "TE_COLLECTOR_ORGANIZATIONS__0__TOKEN"
    ]


def test_mistakes_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value is told with the variable that holds it, a variable that sets nothing with the nearest one."""
    _set(
        monkeypatch,
        TE_COLLECTOR_TOKEN="t",
        TE_COLLECTOR_TOKN="canary",
        TE_COLLECTOR_QUOTA_SHARE="lots",
        TE_COLLECTOR_LATE_HORIZON="1x",
        TE_COLLECTOR_KAFKA__SHRDS="1",
        TE_COLLECTOR_EVENTS="key",
        KAFKA_BOOTSTRAP_SERVERS="localhost",
    )
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert str(caught.value).splitlines() == [
        "the configuration (environment only) has 6 mistakes:",
        '  TE_COLLECTOR_TOKN: unknown variable; did you mean "TE_COLLECTOR_TOKEN"?',
        "  late_horizon (from TE_COLLECTOR_LATE_HORIZON): expected a duration such as "
        '"90s", "10m", "1h30m" or "1d", found "1x"',
        "  kafka.bootstrap_servers (from KAFKA_BOOTSTRAP_SERVERS): expected host:port, several separated by commas, "
        'such as "kafka-1:9092,kafka-2:9092", found "localhost"',
        '  kafka.shrds (from TE_COLLECTOR_KAFKA__SHRDS): unknown key; did you mean "shards"?',
        "  events (from TE_COLLECTOR_EVENTS): expected a table, found text",
        '  organizations[0].quota_share (from TE_COLLECTOR_QUOTA_SHARE): expected a number, found "lots"',
    ]


def test_a_variable_for_a_whole_table_wins_over_those_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read as one value, whatever order the environment has; other tables are not touched by it."""
    _set(
        monkeypatch,
        TE_COLLECTOR_ORGANIZATIONS__0__SEARCH_FILTERS__PLATFORM="win",
        TE_COLLECTOR_ORGANIZATIONS__0__SEARCH_FILTERS='{"platform": ["mac"]}',
        TE_COLLECTOR_ORGANIZATIONS__1__SEARCH_FILTERS__PLATFORM="linux, win",
        te_collector_organizations__1__name="lower case",
        TE_COLLECTOR_ORGANIZATIONS__0__NAME="acme",
        TE_COLLECTOR_ORGANIZATIONS__0__TOKEN="t",
        TE_COLLECTOR_ORGANIZATIONS__1__TOKEN="t",
    )
    found = {one.name: one.search_filters for one in load_config().organizations}
    assert found == {"acme": {"platform": ("mac",)}, "lower case": {"platform": ("linux", "win")}}


def test_a_key_below_a_single_value_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delimiter too many is told, not passed over."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN="t", TE_COLLECTOR_LOG__LEVEL="info", TE_COLLECTOR_LATE_HORIZON__S="1")
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert str(caught.value).splitlines()[1:] == [
        '  TE_COLLECTOR_LOG__LEVEL: unknown variable; did you mean "TE_COLLECTOR_LOG_LEVEL"?',
        "  late_horizon (from TE_COLLECTOR_LATE_HORIZON): expected a duration such as "
        '"90s", "10m", "1h30m" or "1d", found a table',
    ]


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TE_COLLECTOR_ORGANIZATIONS", "organizations (from TE_COLLECTOR_ORGANIZATIONS): expected a list, found text"),
        (
            "TE_COLLECTOR_ORGANIZATIONS__X__TOKEN",
            "TE_COLLECTOR_ORGANIZATIONS__X: expected the index of an organization, counted from 0 and none left out: "
            "the next one is 0",
        ),
    ],
)
def test_organizations_are_given_by_index(monkeypatch: pytest.MonkeyPatch, variable: str, said: str) -> None:
    """Anything else is the mistake, and its value is not shown: it may hold a token."""
    _set(monkeypatch, **{variable: "canary"})
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert str(caught.value).splitlines()[1:] == [f"  {said}"]


def test_a_short_variable_beside_an_organization_that_is_no_table_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told where it stands, without its value: it may be a token."""
    _set(monkeypatch, TE_COLLECTOR_ORGANIZATIONS__0="canary", TE_COLLECTOR_TOKEN="t")
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert str(caught.value).splitlines()[1:] == [
        "  organizations[0] (from TE_COLLECTOR_ORGANIZATIONS__0): expected a table, found text"
    ]


@pytest.mark.parametrize("token", [{}, {"TE_COLLECTOR_TOKEN": "t"}])
@pytest.mark.parametrize(
    "index", ["X", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT ZERO}", "9" * 4400, "-1", "", "00"]
)
def test_what_is_no_index_is_a_mistake(monkeypatch: pytest.MonkeyPatch, token: dict[str, str], index: str) -> None:
    """Whatever else is set, and however Python reads such digits; it is never passed over."""
    _set(monkeypatch, **token, **{f"TE_COLLECTOR_ORGANIZATIONS__{index}__TOKEN": "canary"})
    with pytest.raises(ConfigurationError) as caught:
        load()
    (line,) = str(caught.value).splitlines()[1:]
    assert f"TE_COLLECTOR_ORGANIZATIONS__{index[:20].upper()}" in line
    assert f"the next one is {len(token)}" in line
    assert "canary" not in str(caught.value)
    assert len(line) < 200


@pytest.mark.parametrize("text", ["", ACME])
def test_a_short_variable_beside_a_second_organization_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, load_text: LoadText, text: str
) -> None:
    """The second one is not dropped: there are several, and it would be a guess whose token it is."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN="t", TE_COLLECTOR_ORGANIZATIONS__1__TOKEN="t")
    with pytest.raises(ConfigurationError, match="TE_COLLECTOR_TOKEN: there are several organizations"):
        load_text(text)


def test_a_short_variable_and_the_first_index_are_one_organization(monkeypatch: pytest.MonkeyPatch) -> None:
    """What both set is taken from the longer name, which is the more exact one; nothing is lost."""
    _set(
        monkeypatch, TE_COLLECTOR_TOKEN="t", TE_COLLECTOR_QUOTA_SHARE="0.5", TE_COLLECTOR_ORGANIZATIONS__0__NAME="acme"
    )
    assert [(one.name, one.quota_share) for one in load_config().organizations] == [("acme", 0.5)]


def test_an_index_that_leaves_a_gap_is_a_mistake(monkeypatch: pytest.MonkeyPatch, load_text: LoadText) -> None:
    """The third organization cannot come before the second."""
    _set(monkeypatch, TE_COLLECTOR_ORGANIZATIONS__2__TOKEN="canary")
    with pytest.raises(
        ConfigurationError, match=r"ORGANIZATIONS__2: expected the index.* the next one is 1$"
    ) as caught:
        load_text(ACME)
    assert "canary" not in str(caught.value)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, load_text: LoadText) -> None:
    """Compose files and unit files pass variables on that have no value."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN="", TE_COLLECTOR_LATE_HORIZON="", KAFKA_BOOTSTRAP_SERVERS="")
    assert load_text(ACME).config == load_text(ACME).config.model_copy(
        update={"late_horizon": timedelta(days=1), "organizations": load_text(ACME).config.organizations}
    )
    assert load_text(ACME).origin(("organizations", 0, "token_file")) == "collector.toml"


@pytest.mark.parametrize(
    "variable",
    [
        "TE_COLLECTOR_SERVICE_HOST",
        "TE_COLLECTOR_SERVICE_PORT",
        "TE_COLLECTOR_SERVICE_PORT_HTTP",
        "TE_COLLECTOR_PORT",
        "TE_COLLECTOR_PORT_9108_TCP_ADDR",
        "TE_COLLECTOR_ADMIN_SERVICE_HOST",
    ],
)
def test_variables_of_a_kubernetes_service_are_no_mistake(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A service called te-collector puts them into every pod."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN="t", **{variable: "tcp://10.0.0.1:9108"})
    assert load_config().organizations


def test_no_key_hides_behind_another() -> None:
    """No short variable means two keys, and none is taken for a Kubernetes variable."""
    short = {short_name(key) for key in OrganizationSection.model_fields}
    top = {f"TE_COLLECTOR_{key.upper()}" for key in Config.model_fields} | {"TE_COLLECTOR_CONFIG"}
    assert not short & top
    assert not [name for name in short | top if _SERVICE_LINK.fullmatch(name.lower())]


def test_which_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The argument wins over TE_COLLECTOR_CONFIG, that over ./collector.toml, and without any there is no file."""
    _set(monkeypatch, TE_COLLECTOR_TOKEN="t")
    assert load().file is None
    for name in ("collector.toml", "named.toml", "argument.toml"):
        (tmp_path / name).write_text(f'[admin]\nlisten = "{name}:1"\n')
    assert load().config.admin.listen == "collector.toml:1"
    _set(monkeypatch, TE_COLLECTOR_CONFIG="named.toml")
    assert load().config.admin.listen == "named.toml:1"
    assert load(Path("argument.toml")).config.admin.listen == "argument.toml:1"


def test_a_config_made_by_hand_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `load` reads the environment."""
    _set(monkeypatch, TE_COLLECTOR_LATE_HORIZON="12h", LATE_HORIZON="12h")
    assert Config().late_horizon == timedelta(days=1)
