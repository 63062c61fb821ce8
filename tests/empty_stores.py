"""Empty SQLite stores for tests: the tables are made once in a process, and copied from then on.

Making them takes five times as long as opening a store that has them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore


def write_empty_store(path: Path) -> Path:
    """Write a store that has all tables, and nothing in them, to be opened with any secret. Return its path."""
    path.touch(0o600, exist_ok=False)
    path.write_bytes(_empty_store())
    return path


@cache
def _empty_store() -> bytes:
    with TemporaryDirectory(prefix="flybridge-store-") as place, ThreadPoolExecutor(1) as thread:
        path = Path(place) / "store.db"
        thread.submit(lambda: asyncio.run(_make(path))).result()  # a loop may run in this one
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("DELETE FROM state")  # it holds what the secret is recognised by
        return path.read_bytes()


async def _make(path: Path) -> None:
    store = SqliteStore(path, Seal(b"a secret that no test has"))
    await store.open()
    await store.close()
