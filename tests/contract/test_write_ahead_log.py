"""Several processes that open a new SQLite file at once wait for each other."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from flybridge.history.progress import Progress
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.system.write_ahead_log import use_write_ahead_log

SEAL = Seal(b"a secret of sixteen characters")


async def opened_store(path: Path) -> None:
    store = SqliteStore(path, SEAL)
    await store.open()
    await store.close()


async def opened_inbox(path: Path) -> None:
    inbox = SqliteInbox(path, SEAL)
    await inbox.open()
    await inbox.close()


async def opened_progress(path: Path) -> None:
    Progress(path).close()


@pytest.mark.parametrize("opened", [opened_store, opened_inbox, opened_progress])
def test_a_file_that_another_process_is_making_is_waited_for(tmp_path, opened):
    """As where intake, worker and console start together: SQLite says at once that it is locked."""
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE of_another (x)")
        made = Timer(0.3, lambda: other.execute("ROLLBACK"))
        made.start()
        asyncio.run(opened(path))
        made.join()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_is_not_waited_for_without_end(tmp_path):
    """And what is wrong otherwise is said at once."""
    path = tmp_path / "file.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None)) as db,
    ):
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE of_another (x)")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_write_ahead_log(db, 0.05)
        path.with_name("no.db").write_bytes(b"no database" * 100)
        with closing(sqlite3.connect(path.with_name("no.db"))) as none, pytest.raises(sqlite3.DatabaseError):
            use_write_ahead_log(none)
