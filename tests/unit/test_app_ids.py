"""Which spellings are the id of one app, wherever ids are compared."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flybridge.appsflyer.cost_file import CostFileRow
from flybridge.config.settings import Config, loads
from flybridge.errors import ConfigError
from flybridge.history.rows import is_of_app, is_path_of_app
from flybridge.insight.reported_costs import costs_of_files
from flybridge.operations.explain import app_of, explain
from flybridge.operations.messages import read_messages

NOW_MS = 1_790_000_000_000
ONE = [
    ("id499000111", "499000111"),
    ("ID499000111", "id499000111"),
    (" id499000111 ", "id499000111"),
    ("\u200bid499000111", "id499000111"),
    ("com.example.shop", "com.Example.Shop"),
    ("com.example.shop\u200b", "com.example.shop"),
    ("idle.game", "idle.game"),
    ("id.co.shop", "id.co.shop"),
]
TWO = [
    ("id499000111", "id499000112"),
    ("idle.game", "le.game"),
    ("id.co.shop", "co.shop"),
    ("com.example.shop", "com.example.shop-xiaomi"),
    ("steam-3564740", "3564740"),
]
PAIRS = [*((*pair, True) for pair in ONE), *((*pair, False) for pair in TWO)]
pairs = pytest.mark.parametrize(("said", "own", "is_same"), PAIRS)


def configured(*ids: str) -> Config:
    """Return a configuration of apps with these ids, that send to one project."""
    entries = [
        f'[[apps]]\nname = "app-{number}"\nappsflyer_app_id = {json.dumps(app_id)}\nplatform = "other"\n'
        'appsflyer.push_token = "t"\namplitude.api_key = "k"\n'
        for number, app_id in enumerate(ids)
    ]
    return loads("\n".join(['secret = "0123456789abcdef0123456789abcdef"', *entries]), Path(), {})


def install(app_id: str) -> dict[str, Any]:
    """Return an install of an app."""
    return {"event_name": "install", "app_id": app_id, "appsflyer_id": "1769860811311-1234567", "idfa": "x"}


@pairs
def test_a_row_and_a_folder_are_of_the_app(said: str, own: str, is_same: bool):
    """Of raw data and of a Data Locker."""
    assert is_of_app({"app_id": said}, own) is is_same
    assert is_path_of_app(f"b/t=inapps/dt=2026-06-30/h=10/app_id={said}/part-0.gz", own) is is_same


@pytest.mark.parametrize("said", ["", " ", "\u200b"])
def test_a_row_that_names_no_app_is_of_any(said: str):
    """A blank names none."""
    assert is_of_app({"app_id": said}, "com.example.shop")


@pairs
def test_a_message_is_of_the_app(said: str, own: str, is_same: bool):
    """That which it is posted to."""
    config = configured(own)
    (message,) = read_messages(json.dumps(install(said)).encode())
    (found,) = explain(config, config.apps[0], message, NOW_MS)
    assert (found.reason == "other_app") is not is_same


@pairs
def test_a_message_is_explained_by_the_app_that_it_names(said: str, own: str, is_same: bool):
    """Without `--app`."""
    config = configured("com.example.another", own)
    messages = read_messages(json.dumps(install(said)).encode())
    if is_same:
        assert app_of(config, None, messages).name == "app-1"
    else:
        with pytest.raises(ConfigError, match="does not say which app"):
            app_of(config, None, messages)


@pairs
def test_an_app_may_not_send_to_one_project_twice(said: str, own: str, is_same: bool):
    """However its id is spelled."""
    if is_same:
        with pytest.raises(ConfigError, match=r"is the same AppsFlyer app|it holds a blank"):
            configured(own, said)
    else:
        assert len(configured(own, said).apps) == 2


@pairs
def test_costs_are_of_the_app(said: str, own: str, is_same: bool):
    """In files of Cost ETL, which have all apps of the account."""
    row = CostFileRow(date(2026, 1, 31), "unityads_int", "", "", 1.0, 1, 1, said, "EUR")
    assert bool(costs_of_files("shop", own, "EUR", [row])) is is_same
