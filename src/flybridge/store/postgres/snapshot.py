"""Snapshots of whole cohorts in PostgreSQL, staged in temporary tables.

Temporary tables are not logged, are visible to their connection only, and go with it: a process that dies leaves
nothing behind. A connection that breaks is not made again, for what was staged is gone with it: the snapshot has
failed, and the next run starts over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from flybridge.sealing import Seal
from flybridge.store.audiences.snapshot import COMPARE, Snapshot
from flybridge.store.audiences.staging import Staged
from flybridge.store.postgres.arrays import columns
from flybridge.store.postgres.connection import connect

# What is sorted and what is staged stays in so much memory, and lies on the server's disk beyond it.
SESSION: Final = "SET work_mem = '32MB'; SET temp_buffers = '32MB'; SET maintenance_work_mem = '64MB'"
COLUMNS: Final = """person bytea NOT NULL, mark bytea, sealed bytea, lack bigint NOT NULL, who bytea, extra bytea,
    sealed_extra bytea, told bigint NOT NULL"""
TABLES: Final = (
    f"CREATE TEMPORARY TABLE loaded ({COLUMNS})",
    f"CREATE TEMPORARY TABLE snapshot ({COLUMNS})",
    """CREATE TEMPORARY TABLE changes (person bytea NOT NULL, was bigint NOT NULL, was_mark bytea,
         was_lack bigint NOT NULL, wanted bigint NOT NULL, mark bytea, sealed bytea, lack bigint NOT NULL, who bytea,
         extra bytea, sealed_extra bytea)""",
    "CREATE TEMPORARY TABLE moves (mark bytea PRIMARY KEY, n bigint NOT NULL, sealed bytea, extra bytea)",
)
LOAD: Final = b"""
    INSERT INTO pg_temp.loaded SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[],
                                                    $6::bytea[], $7::bytea[], $8::bigint[])"""
TYPES: Final = ("bytea", "bytea", "bytea", "bigint", "bytea", "bytea", "bytea", "bigint")
_LAST_ORDER: Final = re.compile(r"\sORDER BY [\w.]{1,64}$")  # of what goes into tables without an order
_ANY: Final = re.compile(r"max\((\w+)\)")  # there is no greatest of `bytea`


class PostgresSnapshot(Snapshot):
    """A snapshot being staged, on a connection of its own."""

    sort = (
        "INSERT INTO staged.snapshot SELECT DISTINCT ON (person) * FROM staged.loaded ORDER BY person, lack, mark",
        "DROP TABLE staged.loaded",
        "ALTER TABLE staged.snapshot ADD PRIMARY KEY (person)",
        "ANALYZE staged.snapshot",
    )
    compare = (
        "TRUNCATE staged.changes, staged.moves",
        *(_ANY.sub(r"(array_agg(\1) FILTER (WHERE \1 IS NOT NULL))[1]", _LAST_ORDER.sub("", sql)) for sql in COMPARE),
        "ANALYZE staged.changes",
        "ANALYZE staged.moves",
    )

    def __init__(self, dsn: str, seal: Seal, audience: int) -> None:
        super().__init__(seal, audience)
        self._db = connect(dsn)
        self._cursor: psycopg.Cursor[tuple[Any, ...]] = psycopg.Cursor(self._db)
        for sql in (SESSION, *TABLES):
            self._db.execute(sql.encode())

    def close(self) -> None:
        self._db.close()

    def _stage(self, rows: Sequence[Staged]) -> None:
        self._db.execute(LOAD, columns(TYPES, rows))

    def _known(self, table: str, column: str, keys: Collection[bytes]) -> set[bytes]:
        if not keys:
            return set()
        sql = f"SELECT {column} FROM {table} WHERE audience = $1 AND {column} = ANY($2)".encode()  # noqa: S608 - ours
        wanted = columns(("bytea",), [(key,) for key in keys])
        return {key for (key,) in self._db.execute(sql, (self._audience, *wanted), binary=True)}

    def _run(self, sql: str, named: Mapping[str, object] | None = None) -> list[Any]:
        sql = re.sub(r"(?<!:):(\w+)", r"%(\1)s", sql).replace("staged.", "pg_temp.")
        self._cursor.execute(sql.encode(), named)
        return self._cursor.fetchall() if self._cursor.description else []

    def _transaction(self, *, dry: bool) -> AbstractContextManager[object]:
        return self._db.transaction(force_rollback=dry)
