"""The example file: valid, complete, and honest about the defaults."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from collector.config import Config, KafkaSection, OrganizationSection, load
from collector.config.sections import AdminSection, EventsSection

EXAMPLE = Path(__file__).parents[2] / "deploy" / "collector.example.toml"
SECTIONS: dict[str, type[BaseModel]] = {
    "": Config,
    "kafka": KafkaSection,
    "events": EventsSection,
    "admin": AdminSection,
    "organizations": OrganizationSection,
}
EXAMPLES_ONLY = {
    # keys whose line shows an example, because they have no default
    "kafka": {"instance_id", "replication_factor"}
    | {"sasl_mechanism", "sasl_username", "sasl_password_file", "sasl_password"}
    | {"ssl_ca_file", "ssl_cert_file", "ssl_key_file"},
    "admin": {"listen"},
    "organizations": {"token", "user", "account_groups", "search_filters", "ca_file"},
}


def _lines() -> Iterator[tuple[str, str, str, bool]]:
    """Section, key, written value and whether it is behind "#"."""
    section = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[+(\w+)\]+", line):
            section = header[1]
        elif entry := re.fullmatch(r"(#?)(\w+) = (.+)", line):
            yield section, entry[2], entry[3], bool(entry[1])


def test_the_example_is_valid() -> None:
    """It can be copied and used, once the token is where it says."""
    assert [organization.name for organization in load(EXAMPLE).config.organizations] == ["acme"]


def test_the_example_explains_every_key_and_no_other() -> None:
    """Each key of each table has its line, exactly once."""
    given = sorted((section, key) for section, key, _, _ in _lines())
    tables = set(SECTIONS) - {""}
    known = sorted(
        (section, key) for section, model in SECTIONS.items() for key in model.model_fields if key not in tables
    )
    assert given == known


def test_what_stands_behind_a_hash_is_the_default() -> None:
    """Removing the hash in front of a key changes nothing, unless the key has no default."""
    for section, key, text, is_comment in _lines():
        if is_comment and key not in EXAMPLES_ONLY.get(section, ()):
            required: dict[str, Any] = {"name": "x"} if section == "organizations" else {}
            model = SECTIONS[section]
            values = tomllib.loads(f"{key} = {text}")
            assert model(**required, **values) == model(**required), key


def test_every_line_is_accepted(tmp_path: Path) -> None:
    """Also the examples without a default hold what their keys expect."""
    for section, key, text, _ in _lines():
        values = tomllib.loads(f"{key} = {text}")
        required: dict[str, Any] = {"name": "x"} if section == "organizations" and key != "name" else {}
        SECTIONS[section](**required, **values)


def test_the_schema_accepts_the_example_and_refuses_other_keys() -> None:
    """Editors and CI can check a file without the collector."""
    schema = json.loads(json.dumps(Config.model_json_schema()))
    values = tomllib.loads(re.sub(r"^#(?=\w+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({"kafka": {"bootstrap_server": "a:1"}})
