"""Settings that cannot be used are refused with advice, all mistakes at once."""

from __future__ import annotations

import pytest

from collector.errors import ConfigurationError
from collector.sources.thousandeyes import Credentials, filter_mistakes
from tests.sources.raw_server import settings


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.thousandeyes.com",
        "https://api.thousandeyes.com/",
        "https://gateway.example.com:8443/te/api",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://localhost:8080",
        "http://[::1]:8080",
    ],
)
def test_base_urls_that_can_be_used(base_url: str) -> None:
    """HTTPS goes anywhere, clear text to this machine only."""
    assert settings(base_url).base_url == base_url


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("http://api.thousandeyes.com", "must be https"),
        ("http://10.0.0.1", "must be https"),
        ("http://localhost.example.com", "must be https"),
        ("api.thousandeyes.com", "scheme and a host"),
        ("ftp://api.thousandeyes.com", "scheme and a host"),
        ("https://", "scheme and a host"),
        ("", "scheme and a host"),
        ("https://[::1", "no URL"),
        ("https://api.thousandeyes.com:99999", "no URL"),
        ("https://api.thousandeyes.com/v7", "must not end in the version"),
        ("https://api.thousandeyes.com/v6/", "must not end in the version"),
        ("https://api.thousandeyes.com?x=1", "query"),
        ("https://api.thousandeyes.com#x", "fragment"),
    ],
)
def test_base_urls_that_cannot_be_used(base_url: str, message: str) -> None:
    """A base URL that would send a token astray, or never work, is refused."""
    with pytest.raises(ConfigurationError, match=message):
        settings(base_url)


def test_clear_text_can_be_allowed() -> None:
    """An operator may allow clear text, for example to a proxy beside the collector."""
    assert settings("http://api.internal", http_allowed=True).http_allowed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_version": "v5"}, "api_version 'v5' is unknown"),
        ({"format": "csv"}, "format 'csv' is unknown"),
        ({"format": "xml"}, "needs api_version v6"),
        ({"credentials": Credentials.from_token("x", user="a@example.com")}, "bearer tokens only"),
        ({"request_timeout_s": 0}, "request_timeout_s"),
        ({"request_timeout_s": float("nan")}, "request_timeout_s"),
        ({"request_timeout_s": float("inf")}, "request_timeout_s"),
        ({"body_bytes_max": 0}, "body_bytes_max"),
        ({"user_agent": "a\r\nX-Injected: b"}, "user_agent"),
        ({"search_filters": {"platfrom": ["mac"]}}, "did you mean 'platform'"),
    ],
)
def test_other_mistakes(changes: dict[str, object], message: str) -> None:
    """Every other value is checked when the settings are made."""
    with pytest.raises(ConfigurationError, match=message):
        settings("https://api.example.com", **changes)


def test_all_mistakes_are_told_at_once() -> None:
    """One line for each mistake, each with the organization's name."""
    with pytest.raises(ConfigurationError) as caught:
        settings("http://api.example.com", request_timeout_s=-1, search_filters={"x": []})
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("organization 'example': ") for line in lines)


@pytest.mark.parametrize(
    ("api_version", "key", "advice"),
    [
        ("v7", "visited_site", "did you mean 'visitedSite'?"),
        ("v7", "VisitedSite", "did you mean 'visitedSite'?"),
        ("v7", "agentid", "did you mean 'agentId'?"),
        ("v7", "nicmodel", "did you mean 'nicModel'?"),
        ("v6", "domains", "did you mean 'domain'?"),
        ("v6", "qqqq", "known are agentId, bssid, "),
    ],
)
def test_unknown_filter_gets_advice(api_version: str, key: str, advice: str) -> None:
    """A key that the API does not know is answered with the nearest one that it knows."""
    [mistake] = filter_mistakes(api_version, {key: ["x"]})
    assert mistake.startswith(f"search filter {key!r} is unknown to API {api_version}: ")
    assert advice in mistake


def test_filters_differ_by_version() -> None:
    """The keys that came with v7 are unknown to v6."""
    for key in ("nicModel", "nicDriverVersion"):
        assert filter_mistakes("v7", {key: ["x"]}) == []
        assert len(filter_mistakes("v6", {key: ["x"]})) == 1


@pytest.mark.parametrize("values", ["mac", [], [""], [7], [None]])
def test_filter_values_are_lists_of_texts(values: object) -> None:
    """A single text, an empty list or numbers are mistakes."""
    [mistake] = filter_mistakes("v7", {"platform": values})
    assert "list of one or more texts" in mistake


def test_good_filters_have_no_mistakes() -> None:
    """Known keys with texts pass, as do no filters at all."""
    for version in ("v6", "v7"):
        assert filter_mistakes(version, {}) == []
        assert filter_mistakes(version, {"platform": ["mac"], "ssid": ("a", "b")}) == []
