"""What several tests of units rest on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from empty_stores import write_empty_store
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "a-token"
amplitude.api_key = "a-key"
"""


@pytest.fixture
def smallest_config(tmp_path: Path) -> Path:
    """Write a configuration of one app with what it must have, to which settings of the app can be added."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Return an empty store."""
    store = SqliteStore(write_empty_store(tmp_path / "store.db"), Seal(b"secret"))
    await store.open()
    yield store
    await store.close()
