"""A file of the data directory that is deleted or replaced under a process that runs: nothing is answered for there."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from filings import NOW_MS, direct, envelope

from flybridge.errors import InboxUnavailable, StoreUnavailable
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

SEAL = Seal(b"the secret of the contract suite")


def delete(path):
    path.unlink()


def replace(path):
    """Put an earlier copy in place, as `mv` and most programs for backups do."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    os.replace(copy, path)


def move_the_folder(path):
    path.parent.rename(path.parent.with_name("elsewhere"))


WAYS = [delete, replace, move_the_folder]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ["", "-wal"])
async def test_an_inbox_takes_nothing_into_a_file_that_has_no_name(tmp_path, way, ending):
    """It was acknowledged, and gone with the end of the process. What was taken before is processed."""
    path = tmp_path / "data" / "inbox.db"
    inbox = SqliteInbox(path, SEAL)
    await inbox.open()
    await inbox.accept(envelope())
    way(path.with_name(path.name + ending))
    for _ in range(2):
        with pytest.raises(InboxUnavailable, match=r"inbox\.db.* was (deleted|replaced) while flybridge runs: stop"):
            await inbox.accept(envelope())
    leased = await inbox.lease(10, NOW_MS, 1000)
    assert leased is not None
    assert len(leased.envelopes) == 1
    await inbox.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ["", "-wal"])
async def test_a_store_files_nothing_into_a_file_that_has_no_name(tmp_path, way, ending):
    """So that it stays in the inbox."""
    path = tmp_path / "data" / "store.db"
    store = SqliteStore(path, SEAL)
    await store.open()
    await store.file([direct("install")], NOW_MS)
    way(path.with_name(path.name + ending))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"store\.db.* was (deleted|replaced) while flybridge runs: stop"):
            await store.file([direct("install")], NOW_MS)
    await store.close()


async def test_files_that_grow_and_are_folded_keep_their_names(tmp_path):
    """Neither a checkpoint nor VACUUM nor the end of another process moves them."""
    stores = [SqliteStore(tmp_path / "store.db", SEAL) for _ in range(2)]
    for store in stores:
        await store.open()
    await stores[0].file([direct("install")], NOW_MS)
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("VACUUM")
    await stores[1].close()
    await stores[0].file([direct("purchase")], NOW_MS)
    await stores[0].close()
