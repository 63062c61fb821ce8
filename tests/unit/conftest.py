"""What several tests of units rest on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.stores import write_empty_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Return an empty store."""
    store = SqliteStore(write_empty_store(tmp_path / "store.db"), Seal(b"secret"))
    await store.open()
    yield store
    await store.close()
