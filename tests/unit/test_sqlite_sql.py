"""What SQLite is asked where PostgreSQL's words are translated."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from flybridge.store.core.queries import reads
from flybridge.store.core.tables import Read
from flybridge.store.sqlite.connection import connect, prepared
from flybridge.store.sqlite.sql import READS, plain


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("SELECT a FROM t WHERE b > $1::bigint AND c = $2", "SELECT a FROM t WHERE b > ?1 AND c = ?2"),
        ("SELECT a FROM t WHERE b > $1 AND c = ANY($2::bytea[])", "SELECT a FROM t WHERE b > ?1 AND c IN (??)"),
        (
            "SELECT sum(n)::bigint FROM t WHERE $1::text IS NULL OR a = $1",
            "SELECT sum(n) FROM t WHERE ?1 IS NULL OR a = ?1",
        ),
        ('SELECT a FROM t ORDER BY a COLLATE "C", b', "SELECT a FROM t ORDER BY a, b"),
        ("SELECT a FROM t WHERE b = $1 FOR UPDATE", "SELECT a FROM t WHERE b = ?1"),
        ("SELECT a FROM t ORDER BY t.a\n FOR UPDATE OF t SKIP LOCKED", "SELECT a FROM t"),
        ("SELECT a FROM t ORDER BY b LIMIT $2 FOR UPDATE OF t SKIP LOCKED", "SELECT a FROM t ORDER BY b LIMIT ?2"),
    ],
)
def test_types_locks_and_their_order_are_left_out(said: str, asked: str) -> None:
    assert plain(said) == asked


def test_sqlite_takes_every_statement_that_reads(tmp_path: Path) -> None:
    db = prepared(tmp_path / "store.db", lambda path: connect(path, 8))
    for sql in READS.values():
        with suppress(sqlite3.ProgrammingError):  # it lacks its parameters; one that is wrong is an OperationalError
            db.execute(f"EXPLAIN {sql.replace('??', '?')}")
    assert set(reads("cells", "holds", "series", "in_flight")) <= set(READS) == set(Read)
    db.close()
