"""The configuration under random mistakes: suggestions are right, and secrets stay inside."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.config.page import keys
from flybridge.config.read import ConfigReader
from flybridge.config.settings import Config, loads, shown
from flybridge.errors import ConfigError

BASE: dict[str, Any] = {
    "secret": "S3CRET-0123456789abcdef",
    "former_secrets": ["S3CRET-fedcba9876543210"],
    "server": {"host": "127.0.0.1", "port": 1},
    "cluster": {"nats": ["nats://S3CRET@h"], "postgres": "postgresql://u:S3CRET@h/d"},
    "console": {
        "password": "S3CRET-console",
        "users": [{"name": "ann", "password": "S3CRET-of-ann"}],
        "oidc": {"issuer": "https://login.example.com", "client_id": "c", "client_secret": "S3CRET-oidc"},
        "proxy": {"addresses": ["10.0.0.7"]},
    },
    "notify": {
        "webhook": {"url": "https://hooks.example.com/S3CRET-hook", "secret": "S3CRET-0123456789abcdef"},
        "slack": {"url": "https://hooks.example.com/S3CRET-chat"},
        "email": {
            "host": "mail.example.com",
            "sender": "bridge@example.com",
            "recipients": ["ops@example.com"],
            "user": "bridge",
            "password": "S3CRET-mail",
        },
    },
    "delivery": {"max_tries": 3, "uncertain": "park"},
    "retention": {"ledger_days": 1, "dead_days": 1, "dedup_days": 1},
    "apps": [
        {
            "name": "shop",
            "appsflyer_app_id": "com.example.shop",
            "platform": "android",
            "route": "http_v2",
            "appsflyer": {"push_token": "S3CRET-push", "s2s_key": "S3CRET-s2s", "api_token": "S3CRET-api"},
            "amplitude": {"api_key": "S3CRET-a", "secret_key": "S3CRET-b", "region": "eu", "webhook_token": "S3CRET-c"},
            "hold": {"window_hours": 72},
            "mapping": {
                "prefix": "AppsFlyer",
                "rows": [{"source": "a", "target": "b"}],
                "where": [{"property": "p", "exists": True}],
            },
            "streams": [{"events": ["*"], "where": [{"property": "p", "one_of": ["x"]}]}],
            "audiences": [
                {
                    "cohort": "c",
                    "import_key": "S3CRET-import",
                    "identifier": "gaid",
                    "where": [{"property": "p", "one_of": ["x"]}],
                }
            ],
        }
    ],
}
LEAVES = [path for path in keys() if path not in {"server.public_url"}]


def owner(table: Any, path: list[str]) -> tuple[dict[str, Any], str]:
    """Find the table that holds the key a path leads to, and where it is."""
    where = ""
    for part in path:
        table = table.setdefault(part, {})
        where = f"{where}.{part}" if where else part
        if isinstance(table, list):
            table, where = table[0], f"{where}[0]"
    return table, where


@st.composite
def misspelt(draw: st.DrawFn, word: str) -> str:
    """Return a word with one letter left out, doubled, swapped with the next or replaced."""
    at = draw(st.integers(0, len(word) - 1))
    how = draw(st.sampled_from(["drop", "double", "swap", "replace", "upper"]))
    match how:
        case "drop":
            return word[:at] + word[at + 1 :]
        case "double":
            return word[:at] + word[at] + word[at:]
        case "swap":
            return word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
        case "upper":
            return word.upper()
        case _:
            return word[:at] + draw(st.sampled_from(ascii_lowercase)) + word[at + 1 :]


@given(st.data())
def test_a_misspelt_key_is_refused_with_the_right_suggestion(data):
    """Whichever key is misspelt in whichever table, its name is suggested."""
    path = data.draw(st.sampled_from(LEAVES)).split(".")
    wrong = data.draw(misspelt(path[-1]))
    tables = msgspec.to_builtins(BASE)
    table, where = owner(tables, path[:-1])
    siblings = {name.split(".")[-1] for name in keys() if name.split(".")[:-1] == path[:-1]}
    if wrong in siblings or not wrong:
        return
    table[wrong] = table.pop(path[-1], "anything")
    with pytest.raises(ConfigError) as caught:
        ConfigReader(Path(), {}).read(Config, tables)
    assert caught.value.path == f"{where}.{wrong}".removeprefix(".")
    question, _, _ = caught.value.remedy.partition("?")
    assert question.startswith("Did you mean ")
    assert repr(path[-1]) in question


def refusal(work: Callable[[], object]) -> ConfigError | None:
    """Return the error of a call, if it has one."""
    try:
        work()
    except ConfigError as error:
        return error
    return None


def toml(value: Any) -> str:
    """Write plain values as TOML, inline below the first level."""
    match value:
        case dict():
            return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(toml(item) for item in value) + "]"
    return msgspec.json.encode(value).decode()


def text_of(tables: dict[str, Any]) -> str:
    """Write a whole file."""
    return "\n".join(f"{key} = {toml(value)}" for key, value in tables.items())


def test_the_base_of_these_tests_is_a_good_file():
    """Otherwise the tests here would pass for the wrong reason."""
    assert tomllib.loads(text_of(BASE)) == BASE
    assert loads(text_of(BASE), Path(), {}).apps[0].name == "shop"


def test_no_secret_is_printed_by_a_loaded_configuration():
    """repr, str and the plain form all hide every secret."""
    config = loads(text_of(BASE), Path(), {})
    for text in (repr(config), str(config), f"{config}", str(shown(config)), repr(config.apps[0].appsflyer)):
        assert "S3CRET" not in text
        assert "***" in text


@given(st.data())
def test_no_secret_is_printed_by_an_error(data):
    """Whatever is broken in a file full of secrets, the error holds none of them."""
    tables = msgspec.to_builtins(BASE)
    path = data.draw(st.sampled_from(LEAVES)).split(".")
    table, _ = owner(tables, path[:-1])
    key = path[-1]
    how = data.draw(st.sampled_from(["gone", "misspelt", "number", "list", "table", "refused"]))
    kept = table.pop(key, None)
    match how:
        case "misspelt":
            table[f"{key}x"] = kept or "x"
        case "number":
            table[key] = 123456
        case "list":
            table[key] = [kept or "x"]
        case "table":
            table[key] = {"x": kept or "x"}
        case "refused":
            table[key] = "S3CRET !"[: 8 if "token" in key else 6] if isinstance(kept, str) and "S3CRET" in kept else -1
    error = refusal(lambda: loads(text_of(tables), Path(), {}))
    if error is not None:
        assert "S3CRET" not in str(error)
        assert error.remedy.endswith((".", "?"))


@given(
    st.sampled_from(LEAVES),
    st.recursive(
        st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.datetimes()
        | st.dictionaries(st.text(), st.text()),
        st.lists,
        max_leaves=5,
    ),
)
def test_any_value_is_read_or_refused(path, value):
    """Nothing that TOML can hold leads to another exception than ConfigError, and that names the key."""
    tables = msgspec.to_builtins(BASE)
    table, where = owner(tables, path.split(".")[:-1])
    table[path.split(".")[-1]] = value
    error = refusal(lambda: ConfigReader(Path(), {}).read(Config, tables))
    if error is not None:
        assert error.path.startswith(f"{where}.{path.split('.')[-1]}".removeprefix("."))
