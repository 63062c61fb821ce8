"""Snapshots of whole cohorts in SQLite, staged in a scratch file.

The scratch file keeps millions of rows out of the store and its log; it holds keyed hashes and sealed identifiers, and
is deleted whatever happens. Both sides of the comparison are in the order of their primary keys, which makes it a
merge: memory does not grow with the cohort. It is done before the store's write lock is taken.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from flybridge.records import Member
from flybridge.sealing import Seal
from flybridge.store.audiences.snapshot import COMPARE, Snapshot
from flybridge.store.audiences.staging import Staged
from flybridge.store.sqlite.connection import among, connect
from flybridge.system.private_files import private_file

CACHE_MB: Final = 16
ROWS: Final = """(person BLOB {}, mark BLOB, sealed BLOB, lack INTEGER NOT NULL, who BLOB, extra BLOB,
    sealed_extra BLOB, told INTEGER NOT NULL)"""


def lean(path: Path, cache_mb: int = CACHE_MB) -> sqlite3.Connection:
    """Open the store for work on millions of rows: a small cache, nothing mapped, sorting on the disk."""
    db = connect(path, cache_mb)
    db.execute("PRAGMA mmap_size = 0")
    db.execute("PRAGMA temp_store = FILE")
    return db


class SqliteSnapshot(Snapshot):
    """A snapshot being staged, in a scratch file."""

    sort = (
        f"CREATE TABLE staged.snapshot {ROWS.format('PRIMARY KEY')} WITHOUT ROWID",
        "INSERT OR IGNORE INTO staged.snapshot SELECT * FROM staged.loaded ORDER BY person, lack, mark",
        "DROP TABLE staged.loaded",
    )
    compare = (
        "DROP TABLE IF EXISTS staged.changes",
        "DROP TABLE IF EXISTS staged.moves",
        """CREATE TABLE staged.changes (person BLOB PRIMARY KEY, was INTEGER NOT NULL, was_mark BLOB, was_lack INTEGER
             NOT NULL, wanted INTEGER NOT NULL, mark BLOB, sealed BLOB, lack INTEGER NOT NULL, who BLOB, extra BLOB,
             sealed_extra BLOB) WITHOUT ROWID""",
        "CREATE TABLE staged.moves (mark BLOB NOT NULL, n INTEGER NOT NULL, sealed BLOB, extra BLOB)",
        *COMPARE,
    )

    def __init__(self, store: Path, scratch: Path, seal: Seal, audience: int) -> None:
        super().__init__(seal, audience)
        self._scratch = scratch
        remove(scratch)
        private_file(scratch)
        self._db = lean(store)
        self._db.execute("ATTACH ? AS staged", (str(scratch),))
        self._db.execute("PRAGMA staged.journal_mode = OFF")
        self._db.execute("PRAGMA staged.synchronous = OFF")
        self._db.execute(f"PRAGMA staged.cache_size = {-1024 * CACHE_MB}")
        self._db.execute(f"CREATE TABLE staged.loaded {ROWS.format('NOT NULL')}")

    def close(self) -> None:
        self._db.close()
        remove(self._scratch)

    def load(self, members: Sequence[Member]) -> None:
        self._db.execute("BEGIN")
        super().load(members)
        self._db.execute("COMMIT")

    def _stage(self, rows: Sequence[Staged]) -> None:
        self._db.executemany("INSERT INTO staged.loaded VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _known(self, table: str, column: str, keys: Collection[bytes]) -> set[bytes]:
        sql = f"SELECT {column} FROM {table} WHERE audience = ? AND {column} IN (??)"  # noqa: S608 - ours
        return {key for (key,) in among(self._db, sql, keys, self._audience)}

    def _run(self, sql: str, named: Mapping[str, object] | None = None) -> list[Any]:
        sql = re.sub(r"::\w+| FOR UPDATE", "", sql).replace("IS DISTINCT FROM", "IS NOT").replace("greatest(", "max(")
        return self._db.execute(sql, named or {}).fetchall()

    @contextmanager
    def _transaction(self, *, dry: bool) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("ROLLBACK" if dry else "COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def remove(scratch: Path) -> None:
    """Delete a scratch file and what SQLite puts beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)
