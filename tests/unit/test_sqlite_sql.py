"""What SQLite is asked where PostgreSQL's words are translated."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from flybridge.store.core.queries import reads
from flybridge.store.core.tables import Read, Write
from flybridge.store.core.writes import WRITES as ALIKE
from flybridge.store.sqlite.connection import connect, prepared
from flybridge.store.sqlite.sql import READS, WRITES, one_row, plain


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


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("DELETE FROM t WHERE a = ANY($1::bigint[])", "DELETE FROM t WHERE a IN (VALUES (?))"),
        ("DELETE FROM t WHERE a < ANY($1::text[])", "DELETE FROM t WHERE a < ?"),
        ("INSERT INTO t (a, b) SELECT * FROM unnest($1::text[], $2::bytea[])", "INSERT INTO t (a, b) VALUES (?, ?)"),
        (
            "INSERT INTO t (a, b) SELECT *, 0 FROM unnest($1::text[]) AS new (a) ORDER BY a",
            "INSERT INTO t (a, b) VALUES (?, 0)",
        ),
        (
            """INSERT INTO t (a, n, shard) SELECT *, :shard FROM unnest($1::text[], $2::bigint[]) AS new
               ORDER BY 1 ON CONFLICT (f(a, n), shard) DO UPDATE SET n = greatest(t.n, excluded.n)""",
            "INSERT INTO t (a, n) VALUES (?, ?) ON CONFLICT DO UPDATE SET n = max(t.n, excluded.n)",
        ),
        (
            "UPDATE t SET a = new.b, c = c + new.a FROM unnest($1::text[], $2::text[]) AS new (a, b) WHERE b = new.b",
            "UPDATE t SET a = ?2, c = c + ?1 WHERE b = ?2",
        ),
        (
            "DELETE FROM t USING unnest($1::text[], $2::text[]) AS old (a, b) WHERE t.a IS NOT DISTINCT FROM old.b",
            "DELETE FROM t WHERE t.a IS ?2",
        ),
    ],
)
def test_a_write_is_said_for_one_row(said: str, asked: str) -> None:
    assert " ".join(one_row(said).split()) == asked


def test_an_update_can_read_its_rows_of_a_list() -> None:
    said = "UPDATE t SET a = new.b FROM unnest($1::text[], $2::text[]) AS new (a, b) WHERE t.a = new.a"
    asked = "UPDATE t SET a = column2 FROM (VALUES (?, ?)) WHERE t.a = column1"
    assert one_row(said, keeps_rows=True) == asked


def test_sqlite_takes_every_statement_that_writes(tmp_path: Path) -> None:
    db = prepared(tmp_path / "store.db", lambda path: connect(path, 8))
    for sql in WRITES.values():
        with suppress(sqlite3.ProgrammingError):
            db.execute(f"EXPLAIN {sql}")
    assert set(ALIKE) <= set(WRITES) == set(Write)
    db.close()


def test_sqlite_takes_every_statement_that_reads(tmp_path: Path) -> None:
    db = prepared(tmp_path / "store.db", lambda path: connect(path, 8))
    for sql in READS.values():
        with suppress(sqlite3.ProgrammingError):  # it lacks its parameters; one that is wrong is an OperationalError
            db.execute(f"EXPLAIN {sql.replace('??', '?')}")
    assert set(reads("cells", "holds", "series", "in_flight", "rowid")) <= set(READS) == set(Read)
    db.close()
