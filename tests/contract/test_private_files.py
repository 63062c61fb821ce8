"""Files that only their owner may read, made so without touching the locks that SQLite holds on them."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flybridge.system.private_files import private_database, private_file

OTHER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=0)
db.execute("SELECT count(*) FROM t").fetchone()
db.close()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_made_private_whether_it_is_there_or_not(tmp_path):
    """Whatever the umask."""
    former = os.umask(0)
    try:
        private_file(tmp_path / "new")
        (tmp_path / "old").write_text("kept")
        private_file(tmp_path / "old")
    finally:
        os.umask(former)
    assert (mode(tmp_path / "new"), mode(tmp_path / "old")) == (0o600, 0o600)
    assert (tmp_path / "old").read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no POSIX locks")
def test_the_locks_of_an_open_database_stay(tmp_path):
    """Another process that opens and closes it must not take it for unused, and delete its log."""
    path = tmp_path / "store.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE t (n INTEGER)")
    db.execute("INSERT INTO t VALUES (1)")
    private_database(path)
    subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
    assert (tmp_path / "store.db-wal").stat().st_size > 0
    db.execute("INSERT INTO t VALUES (2)")
    subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
    db.close()
    assert sqlite3.connect(path).execute("SELECT count(*) FROM t").fetchone() == (2,)
