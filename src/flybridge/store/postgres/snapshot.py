"""Snapshots of whole cohorts in PostgreSQL: staged in temporary tables, compared there, applied in one transaction.

Temporary tables are not logged, are visible to their connection only, and go with it: a process that dies leaves
nothing behind. A connection that breaks is not made again, for what was staged is gone with it: the snapshot has
failed, and the next run starts over.

The comparison is made before the audience's row is locked. What was filed meanwhile, and a person who was forgotten,
show in its `revision`, and then it is repeated behind the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import psycopg

from flybridge.errors import StoreUnavailable
from flybridge.records import Member
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Applied, Claim
from flybridge.store.audiences.sql import ERASABLE
from flybridge.store.audiences.staging import anonymous_of, marks_of, older_of, staged
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
RENAME: Final = b"""
    UPDATE members SET person = $3 WHERE audience = $1 AND person = $2
      AND NOT EXISTS (SELECT 1 FROM members WHERE audience = $1 AND person = $3)"""
TYPES: Final = ("bytea", "bytea", "bytea", "bigint", "bytea", "bytea", "bytea", "bigint")

# In the order of people, one each: with an identifier, if one of their rows has it.
SORT: Final = (
    """INSERT INTO pg_temp.snapshot SELECT DISTINCT ON (person) * FROM pg_temp.loaded ORDER BY person, lack, mark""",
    "DROP TABLE pg_temp.loaded",
    "ALTER TABLE pg_temp.snapshot ADD PRIMARY KEY (person)",
    "ANALYZE pg_temp.snapshot",
)

COMPARE: Final = (
    "TRUNCATE pg_temp.changes, pg_temp.moves",
    # A forgotten person does not come back, whatever Amplitude still has.
    """DELETE FROM pg_temp.snapshot
       WHERE person IN (SELECT key FROM tombstones) OR mark IN (SELECT key FROM tombstones)""",
    # Who has come, or is listed by something else. What the file does not tell about an identifier stays as it is
    # known.
    """INSERT INTO pg_temp.changes
       SELECT s.person, coalesce(m.wanted, 0), m.mark, coalesce(m.lack, 0), 1, s.mark, s.sealed, s.lack, s.who, s.extra,
              s.sealed_extra
       FROM pg_temp.snapshot s LEFT JOIN members m ON m.audience = %(audience)s AND m.person = s.person
       WHERE m.person IS NULL OR (m.said_ms <= %(said)s AND (m.wanted = 0 OR
         (s.told = 1 AND (m.mark IS DISTINCT FROM s.mark OR m.lack <> s.lack OR m.extra IS DISTINCT FROM s.extra))))""",
    # Who is not there any more.
    """INSERT INTO pg_temp.changes
       SELECT m.person, m.wanted, m.mark, m.lack, 0, NULL, NULL, 0, NULL, NULL, NULL FROM members m
       WHERE m.audience = %(audience)s AND m.said_ms <= %(said)s
         AND NOT EXISTS (SELECT 1 FROM pg_temp.snapshot s WHERE s.person = m.person)""",
    # A device that was known when it was staged, and is not any more.
    """UPDATE pg_temp.changes c SET mark = NULL, lack = 1 WHERE mark IS NOT NULL AND sealed IS NULL
         AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.audience = %(audience)s AND d.mark = c.mark)""",
    # Of many sealed forms of the same identifier one is as good as another.
    """INSERT INTO pg_temp.moves
       SELECT mark, sum(n), (array_agg(sealed) FILTER (WHERE sealed IS NOT NULL))[1],
              (array_agg(extra) FILTER (WHERE extra IS NOT NULL))[1] FROM (
         SELECT was_mark AS mark, -1 AS n, NULL::bytea AS sealed, NULL::bytea AS extra FROM pg_temp.changes
           WHERE was = 1 AND was_mark IS NOT NULL
         UNION ALL
         SELECT mark, 1, sealed, sealed_extra FROM pg_temp.changes WHERE wanted = 1 AND mark IS NOT NULL) AS both_sides
       GROUP BY mark""",
    "ANALYZE pg_temp.changes",
    "ANALYZE pg_temp.moves",
)

SUMS: Final = """
    SELECT coalesce(sum((wanted > was)::integer), 0), coalesce(sum((wanted < was)::integer), 0),
      coalesce(sum((wanted = 1 AND lack > 0)::integer - (was = 1 AND was_lack > 0)::integer), 0) FROM pg_temp.changes"""

TAKE_OVER: Final = (
    """DELETE FROM members m USING pg_temp.changes c
       WHERE m.audience = %(audience)s AND m.person = c.person AND c.wanted = 0""",
    """INSERT INTO members (audience, person, wanted, said_ms, mark, lack, who, extra)
       SELECT %(audience)s, person, 1, %(said)s, mark, lack, who, extra FROM pg_temp.changes WHERE wanted = 1
       ORDER BY person
       ON CONFLICT (audience, person) DO UPDATE SET wanted = 1, said_ms = excluded.said_ms, mark = excluded.mark,
         lack = excluded.lack, who = excluded.who, extra = excluded.extra""",
    """INSERT INTO devices (audience, mark, sealed, wanted, standing, extra)
       SELECT %(audience)s, mark, sealed, n, 0, extra FROM pg_temp.moves WHERE n >= 0 AND sealed IS NOT NULL
       ORDER BY mark
       ON CONFLICT (audience, mark) DO UPDATE SET wanted = devices.wanted + excluded.wanted,
         extra = coalesce(excluded.extra, devices.extra)""",
    """UPDATE devices SET wanted = wanted + moves.n,
         extra = CASE WHEN wanted + moves.n > 0 THEN coalesce(moves.extra, devices.extra) END
       FROM pg_temp.moves AS moves WHERE devices.audience = %(audience)s AND devices.mark = moves.mark
         AND (moves.n < 0 OR moves.sealed IS NULL)""",
    f"""UPDATE audiences SET refused = refused - (SELECT count(*) FROM devices JOIN pg_temp.moves USING (mark)
          WHERE audience = %(audience)s AND standing = 3 AND n <= 0 AND {ERASABLE}) WHERE id = %(audience)s""",  # noqa: S608 - ours
    f"""DELETE FROM devices USING pg_temp.moves AS moves WHERE devices.audience = %(audience)s AND {ERASABLE}
          AND devices.mark = moves.mark AND moves.n <= 0""",  # noqa: S608 - ours
    """UPDATE audiences SET people = people + %(joined)s, lacking = lacking + %(lacking)s, held = 0,
         floor_ms = greatest(floor_ms, %(said)s), snapshot_ms = greatest(snapshot_ms, %(said)s),
         revision = revision + 1 WHERE id = %(audience)s""",
)


class PostgresSnapshot:
    """A snapshot being staged, on a connection of its own. Its methods are called one after the other."""

    def __init__(self, dsn: str, seal: Seal, audience: int) -> None:
        self._seal = seal
        self._audience = audience
        self._db = connect(dsn)
        self._cursor: psycopg.Cursor[tuple[Any, ...]] = psycopg.Cursor(self._db)
        for sql in (SESSION, *TABLES):
            self._db.execute(sql.encode())

    def close(self) -> None:
        self._db.close()

    def load(self, members: Sequence[Member]) -> None:
        """Stage members. Identifiers are sealed only where the store has not sealed them already."""
        devices = self._known(b"SELECT mark FROM devices WHERE audience = $1 AND mark = ANY($2)", marks_of(members))
        older = anonymous_of(members)
        for key in sorted(self._known(b"SELECT person FROM members WHERE audience = $1 AND person = ANY($2)", older)):
            # With a row of each key the snapshot ends the older one.
            self._db.execute(RENAME, (self._audience, key, older[key]))
        people = self._known(b"SELECT person FROM members WHERE audience = $1 AND person = ANY($2)", older_of(members))
        if rows := staged(self._seal, members, devices, people):
            self._db.execute(LOAD, columns(TYPES, rows))

    def _known(self, sql: bytes, keys: Collection[bytes]) -> set[bytes]:
        if not keys:
            return set()
        wanted = columns(("bytea",), [(key,) for key in keys])
        return {key for (key,) in self._db.execute(sql, (self._audience, *wanted), binary=True)}

    def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        named = {"audience": self._audience, "said": said_ms}
        for sql in SORT:
            self._run(sql)
        ((rows,),) = self._run("SELECT count(*) FROM pg_temp.snapshot").fetchall()
        seen = self._revision(claim)
        self._compare(named)
        with self._db.transaction(force_rollback=dry):
            if self._revision(claim, "FOR UPDATE") != seen:
                self._compare(named)
            ((joined, left, lacking),) = self._run(SUMS).fetchall()
            if dry:
                return Applied(rows, joined, left)
            ((people,),) = self._run("SELECT people FROM audiences WHERE id = %(audience)s", named).fetchall()
            if max_shrink is not None and left > people * max_shrink:
                self._run("UPDATE audiences SET held = %(held)s WHERE id = %(audience)s", {**named, "held": left})
                return Applied(rows, held=left)
            named |= {"joined": joined - left, "lacking": lacking}
            for sql in TAKE_OVER:
                self._run(sql, named)
        return Applied(rows, joined, left)

    def _run(self, sql: str, named: dict[str, int] | None = None) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._cursor.execute(sql.encode(), named)

    def _compare(self, named: dict[str, int]) -> None:
        """Write the differences into `changes` and `moves`."""
        for sql in COMPARE:
            self._run(sql, named)

    def _revision(self, claim: Claim, lock: str = "") -> int:
        sql = f"SELECT revision, owner FROM audiences WHERE id = %(audience)s {lock}"  # noqa: S608 - ours
        rows = self._run(sql, {"audience": self._audience}).fetchall()
        if not rows or rows[0][1] != claim.owner:
            raise StoreUnavailable(f"Another process runs the audience {claim.name} now: the snapshot was discarded.")
        return int(rows[0][0])
