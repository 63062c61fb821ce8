"""Migrations: numbered `.sql` files, each applied once and in order.

The files of a backend are `store/sql/<backend>/NNN_name.sql`. Which of them are missing is decided here for all
backends; applying them is the backend's, and `apply_sqlite` is SQLite's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from flybridge.errors import StoreUnavailable
from flybridge.store.mask_labels import Run, mask_labels

if TYPE_CHECKING:
    from psycopg import Connection

MIGRATION_LOCK: Final = 0x666C796D
TABLE: Final = "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"


class Script(Struct, frozen=True):
    """One migration file."""

    number: int
    name: str
    sql: str


def scripts(backend: str, root: Traversable | None = None) -> list[Script]:
    """Read a backend's migrations, in order. `root` is the folder of all backends, the package's own by default."""
    folder = (root or files("flybridge.store") / "sql") / backend
    found = []
    for file in folder.iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql") and number.isdigit():
            found.append(Script(int(number), name, file.read_text("utf-8")))
    found.sort(key=lambda script: script.number)
    if [script.number for script in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {backend} must be numbered 1, 2, 3, ... without gaps")
    return found


def missing(known: Sequence[Script], applied: Mapping[int, str]) -> list[Script]:
    """Return the scripts a database still needs. `applied` maps numbers to names as the database recorded them.

    Raises `StoreUnavailable` if the database has migrations that this version does not know.
    """
    names = {script.number: script.name for script in known}
    for number, name in sorted(applied.items()):
        if names.get(number) != name:
            raise StoreUnavailable(
                f"The store was made by another version of flybridge: it has migration {number:03}_{name}, "
                f"and this version knows {len(known)}. Install the version that made it, or a newer one."
            )
    return [script for script in known if script.number not in applied]


STEPS: Final = {"masked_labels": mask_labels}
"""What a migration does that SQL can't, by its name: run after its file, in the same transaction."""


def apply_sqlite(db: sqlite3.Connection, known: Sequence[Script]) -> int:
    """Apply what is missing in one transaction. Returns how many files. Safe when two processes start at once."""
    db.execute("PRAGMA secure_delete = ON")  # what a migration deletes may name people
    stepped = False
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(TABLE)
        todo = missing(known, dict(db.execute("SELECT number, name FROM migrations")))
        for script in todo:
            for statement in statements(script.sql):
                db.execute(statement)
            if (step := STEPS.get(script.name)) is not None:
                stepped |= step(lambda sql, values: db.execute(sql.replace("$", "?"), values).fetchall(), _columns(db))
            db.execute("INSERT INTO migrations (number, name) VALUES (?, ?)", (script.number, script.name))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("PRAGMA secure_delete = OFF")
    if stepped:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return len(todo)


def _columns(db: sqlite3.Connection) -> Callable[[str], list[str]]:
    return lambda table: [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]


def apply_postgres(db: Connection[tuple[Any, ...]], known: Sequence[Script]) -> int:
    """Apply what is missing in one transaction. Returns how many files. A second process waits.

    Looks first, so that a database that is complete needs no right to make tables.
    """
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock($1)", (MIGRATION_LOCK,))
        there = db.execute("SELECT to_regclass('migrations') IS NOT NULL").fetchone()
        if there != (True,):
            db.execute(TABLE.encode())
        todo = missing(known, dict(db.execute("SELECT number, name FROM migrations").fetchall()))
        for script in todo:
            db.execute(script.sql.encode(), prepare=False)
            if (step := STEPS.get(script.name)) is not None:
                step(_run(db), lambda table: [name for name, _ in _run(db)(COLUMNS, (table,))])
            db.execute("INSERT INTO migrations (number, name) VALUES ($1, $2)", (script.number, script.name))
    return len(todo)


COLUMNS: Final = """SELECT attname, atttypid FROM pg_attribute
                    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
"""The names and types of a table's columns in PostgreSQL."""


def _run(db: Connection[tuple[Any, ...]]) -> Run:
    def run(sql: str, values: Sequence[object]) -> list[Any]:
        cursor = db.execute(sql.encode(), values)
        return cursor.fetchall() if cursor.description else []

    return run


def statements(sql: str) -> Iterator[str]:
    """Yield a script's statements. `executescript` would commit, and a migration is all or nothing."""
    text = ""
    for line in sql.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""
    if text.strip():
        yield text
