"""Copying an embedded store into an empty PostgreSQL database.

The rows are the same on both sides, sealed bytes included, so that nothing is opened on the way. The bridge must not be
running: what it files while its store is being read is not copied.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg

from flybridge.errors import FlybridgeError, StoreUnavailable
from flybridge.store.core.reports import audit
from flybridge.store.migrate import COLUMNS, apply_postgres, apply_sqlite, scripts
from flybridge.store.postgres.connection import GATE, Db, checked, connect
from flybridge.store.postgres.refusals import place_of, refusal
from flybridge.store.postgres.tables import PostgresRows
from flybridge.store.sqlite.connection import connect as open_file
from flybridge.store.sqlite.tables import SqliteRows

PAGE: Final = 5000

NOT_COPIED: Final = {"migrations", "ids"}
"""The database applies its own migrations, and a sequence goes on from the number in `ids`. Each other table of the
file is copied, with its columns."""

HELD: Final = "SELECT ledger.id FROM ledger JOIN cells ON cells.id = cell WHERE outcome = 'held'"
RESTS: Final[Mapping[str, str]] = {
    "receipts": "ORDER BY made_ms, rowid",  # their rows get a number on the way
    "holds": f"WHERE id IN ({HELD})",  # the file keeps the rows of released ones, the database does not
    "hold_keys": f"WHERE hold IN ({HELD})",
}
"""What a table's rows are to be read with."""


async def copy_store(
    sqlite_path: str | Path, postgres_dsn: str, progress: Callable[[str, int], None] | None = None
) -> Mapping[str, int]:
    """Copy a store from its file into an empty database, all or nothing, and check it there.

    Returns how many rows were copied, by table.

    `progress` is called, from another thread, with the table and how many of its rows have been copied. Raises
    `StoreUnavailable` if one of the two can't be used, and `FlybridgeError` if the database is not empty or does not
    hold afterwards what the file holds. Then nothing was changed.
    """
    return await asyncio.to_thread(_copy, Path(sqlite_path), postgres_dsn, progress or (lambda table, rows: None))


def _copy(path: Path, dsn: str, progress: Callable[[str, int], None]) -> Mapping[str, int]:
    if not path.is_file():
        raise StoreUnavailable(f"There is no store at {path}: name the file store.db in the data directory.")
    try:
        with connect(dsn) as db:
            checked(db)
            apply_postgres(db, scripts("postgres"))
            file = open_file(path)
            try:
                apply_sqlite(file, scripts("sqlite"))
                file.execute("BEGIN")  # one moment for everything that is read
                with db.transaction():
                    return _copied(file, db, progress, place_of(dsn))
            finally:
                file.close()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"The store {path} can't be read: {error}.") from error
    except psycopg.Error as error:
        raise refusal(dsn, error) from None


def _copied(file: sqlite3.Connection, db: Db, progress: Callable[[str, int], None], where: str) -> Mapping[str, int]:
    db.execute("SELECT pg_advisory_xact_lock($1::bigint)", (GATE,))
    there = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    tables = [name for (name,) in there if name not in NOT_COPIED]
    full = [table for table in (*tables, "tallies") if table != "state" and _count(db, table, "LIMIT 1")]
    if full:
        raise FlybridgeError(
            f"{where[0].upper()}{where[1:]} has rows in {', '.join(full)} already. Copy into an empty one."
        )
    db.execute("DELETE FROM state")  # that of an empty store, opened before
    rows = {table: _table(file, db, table, progress) for table in tables}
    _number_on(file, db, tables)
    for table, n in rows.items():
        if (found := _count(db, table)) != n:
            raise FlybridgeError(f"{n} rows of {table} were read and {found} have arrived. Nothing was copied.")
    before, after = audit(SqliteRows(file)), audit(PostgresRows(db))
    if before != after:
        what = next((one.what for one in after if one not in before), "a discrepancy of the file is gone")
        raise FlybridgeError(f"The copy's account differs from the file's: {what} Nothing was copied.")
    return rows


def _table(file: sqlite3.Connection, db: Db, table: str, progress: Callable[[str, int], None]) -> int:
    columns = [name for _, name, *_ in file.execute(f"PRAGMA table_info({table})")]
    types: dict[str, int] = dict(db.execute(COLUMNS.encode(), (table,)).fetchall())
    names, n = ", ".join(columns), 0
    cursor = file.execute(f"SELECT {names} FROM {table} {RESTS.get(table, '')}")  # noqa: S608 - our own names
    copying = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)".encode()
    with db.cursor() as target, target.copy(copying) as copy:
        copy.set_types([types[name] for name in columns])
        while page := cursor.fetchmany(PAGE):
            for row in page:
                copy.write_row([_clean(value) for value in row])
            n += len(page)
            progress(table, n)
    return n


def _clean(value: object) -> object:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _number_on(file: sqlite3.Connection, db: Db, tables: Sequence[str]) -> None:
    """Continue ids, and the numbers that rows of a table have, after the file's last."""
    (following,) = file.execute("SELECT next FROM ids").fetchone()
    db.execute("SELECT setval('ids', $1::bigint)", (following,))
    numbered = b"""SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                   WHERE attidentity <> '' AND relname = ANY($1) AND pg_table_is_visible(attrelid)"""
    for table, column in db.execute(numbered, (tables,)).fetchall():
        db.execute(
            f"""SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max({column}))
                FROM {table} HAVING max({column}) IS NOT NULL""".encode()  # noqa: S608 - our own names
        )


def _count(db: Db, table: str, limit: str = "") -> int:
    row = db.execute(f"SELECT count(*) FROM (SELECT 1 FROM {table} {limit}) AS rows".encode()).fetchone()  # noqa: S608
    return 0 if row is None else int(row[0])
