"""Snapshots of whole cohorts: staged beside the store, compared by SQL, and applied in one transaction.

The scratch file keeps millions of rows out of the store and its log; it holds keyed hashes and sealed identifiers, and
is deleted whatever happens. Both sides of the comparison are in the order of their primary keys, which makes it a
merge: memory does not grow with the cohort. It is done before the store's write lock is taken; what was filed meanwhile
shows in the audience's `revision`, and then it is repeated within the lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from flybridge.errors import StoreUnavailable
from flybridge.records import Member
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Applied, Claim
from flybridge.store.audiences.sql import ERASABLE
from flybridge.store.audiences.staging import anonymous_of, marks_of, older_of, staged
from flybridge.store.sqlite.connection import among, connect
from flybridge.system.private_files import private_file

CACHE_MB: Final = 16

# The rows as they came, and in the order of people, one each: with an identifier, if one of theirs has it.
LOADED: Final = """
    CREATE TABLE staged.loaded (person BLOB NOT NULL, mark BLOB, sealed BLOB, lack INTEGER NOT NULL, who BLOB,
      extra BLOB, sealed_extra BLOB, told INTEGER NOT NULL)"""
SORT: Final = (
    """CREATE TABLE staged.snapshot (person BLOB PRIMARY KEY, mark BLOB, sealed BLOB, lack INTEGER NOT NULL, who BLOB,
         extra BLOB, sealed_extra BLOB, told INTEGER NOT NULL) WITHOUT ROWID""",
    "INSERT OR IGNORE INTO staged.snapshot SELECT * FROM staged.loaded ORDER BY person, lack, mark",
    "DROP TABLE staged.loaded",
)

COMPARE: Final = (
    "DROP TABLE IF EXISTS staged.changes",
    "DROP TABLE IF EXISTS staged.moves",
    """CREATE TABLE staged.changes (person BLOB PRIMARY KEY, was INTEGER NOT NULL, was_mark BLOB, was_lack INTEGER NOT
         NULL, wanted INTEGER NOT NULL, mark BLOB, sealed BLOB, lack INTEGER NOT NULL, who BLOB, extra BLOB,
         sealed_extra BLOB) WITHOUT ROWID""",
    # A forgotten person does not come back, whatever Amplitude still has.
    """DELETE FROM staged.snapshot WHERE person IN (SELECT key FROM main.tombstones)
         OR mark IN (SELECT key FROM main.tombstones)""",
    # Who has come, or is listed by something else. What the file does not tell about an identifier stays as it is
    # known.
    """INSERT INTO staged.changes
       SELECT s.person, coalesce(m.wanted, 0), m.mark, coalesce(m.lack, 0), 1, s.mark, s.sealed, s.lack, s.who, s.extra,
              s.sealed_extra
       FROM staged.snapshot s LEFT JOIN main.members m ON m.audience = :audience AND m.person = s.person
       WHERE m.person IS NULL OR (m.said_ms <= :said AND (m.wanted = 0 OR
         (s.told = 1 AND (m.mark IS NOT s.mark OR m.lack <> s.lack OR m.extra IS NOT s.extra))))
       ORDER BY s.person""",
    # Who is not there any more.
    """INSERT INTO staged.changes
       SELECT m.person, m.wanted, m.mark, m.lack, 0, NULL, NULL, 0, NULL, NULL, NULL FROM main.members m
       WHERE m.audience = :audience AND m.said_ms <= :said
         AND NOT EXISTS (SELECT 1 FROM staged.snapshot s WHERE s.person = m.person)
       ORDER BY m.person""",
    # A device that was known when it was staged, and is not any more.
    """UPDATE staged.changes SET mark = NULL, lack = 1 WHERE mark IS NOT NULL AND sealed IS NULL
         AND NOT EXISTS (SELECT 1 FROM main.devices d WHERE d.audience = :audience AND d.mark = changes.mark)""",
    """CREATE TABLE staged.moves AS SELECT mark, sum(n) AS n, max(sealed) AS sealed, max(extra) AS extra FROM (
         SELECT was_mark AS mark, -1 AS n, NULL AS sealed, NULL AS extra FROM staged.changes
           WHERE was = 1 AND was_mark IS NOT NULL
         UNION ALL
         SELECT mark, 1, sealed, sealed_extra FROM staged.changes WHERE wanted = 1 AND mark IS NOT NULL)
       GROUP BY mark ORDER BY mark""",
)

SUMS: Final = """
    SELECT coalesce(sum(wanted > was), 0), coalesce(sum(wanted < was), 0),
           coalesce(sum((wanted = 1 AND lack > 0) - (was = 1 AND was_lack > 0)), 0) FROM staged.changes"""

TAKE_OVER: Final = (
    "DELETE FROM members WHERE audience = :audience AND person IN (SELECT person FROM staged.changes WHERE wanted = 0)",
    """INSERT INTO members (audience, person, wanted, said_ms, mark, lack, who, extra)
       SELECT :audience, person, 1, :said, mark, lack, who, extra FROM staged.changes WHERE wanted = 1 ORDER BY person
       ON CONFLICT (audience, person) DO UPDATE SET wanted = 1, said_ms = excluded.said_ms, mark = excluded.mark,
         lack = excluded.lack, who = excluded.who, extra = excluded.extra""",
    """INSERT INTO devices (audience, mark, sealed, wanted, standing, extra)
       SELECT :audience, mark, sealed, n, 0, extra FROM staged.moves WHERE n >= 0 AND sealed IS NOT NULL ORDER BY mark
       ON CONFLICT (audience, mark) DO UPDATE SET wanted = devices.wanted + excluded.wanted,
         extra = coalesce(excluded.extra, devices.extra)""",
    """UPDATE devices SET wanted = wanted + moves.n, extra = CASE WHEN wanted + moves.n > 0 THEN coalesce(moves.extra,
         devices.extra) END
       FROM staged.moves WHERE devices.audience = :audience AND devices.mark = moves.mark
         AND (moves.n < 0 OR moves.sealed IS NULL)""",
    f"""UPDATE audiences SET refused = refused - (SELECT count(*) FROM devices
          WHERE audience = :audience AND standing = 3 AND {ERASABLE}
            AND mark IN (SELECT mark FROM staged.moves WHERE n <= 0)) WHERE id = :audience""",  # noqa: S608 - ours
    f"""DELETE FROM devices WHERE audience = :audience AND {ERASABLE}
          AND mark IN (SELECT mark FROM staged.moves WHERE n <= 0)""",  # noqa: S608 - ours
    """UPDATE audiences SET people = people + :joined - :left, lacking = lacking + :lacking, held = 0,
         floor_ms = max(floor_ms, :said), snapshot_ms = max(snapshot_ms, :said), revision = revision + 1
       WHERE id = :audience""",
)


def lean(path: Path, cache_mb: int = CACHE_MB) -> sqlite3.Connection:
    """Open the store for work on millions of rows: a small cache, nothing mapped, sorting on the disk."""
    db = connect(path, cache_mb)
    db.execute("PRAGMA mmap_size = 0")
    db.execute("PRAGMA temp_store = FILE")
    return db


class SqliteSnapshot:
    """A snapshot being staged, in a scratch file. Its methods are called one after the other."""

    def __init__(self, store: Path, scratch: Path, seal: Seal, audience: int) -> None:
        self._seal = seal
        self._audience = audience
        self._scratch = scratch
        remove(scratch)
        private_file(scratch)
        self._db = lean(store)
        self._db.execute("ATTACH ? AS staged", (str(scratch),))
        self._db.execute("PRAGMA staged.journal_mode = OFF")
        self._db.execute("PRAGMA staged.synchronous = OFF")
        self._db.execute(f"PRAGMA staged.cache_size = {-1024 * CACHE_MB}")
        self._db.execute(LOADED)

    def close(self) -> None:
        self._db.close()
        remove(self._scratch)

    def load(self, members: Sequence[Member]) -> None:
        """Stage members. Identifiers are sealed only where the store has not sealed them already."""
        db = self._db
        db.execute("BEGIN")
        devices = self._known("SELECT mark FROM devices WHERE audience = ? AND mark IN (??)", marks_of(members))
        older = anonymous_of(members)
        for key in self._known("SELECT person FROM members WHERE audience = ? AND person IN (??)", older):
            # With a row of each key the snapshot ends the older one.
            db.execute(
                "UPDATE OR IGNORE members SET person = ? WHERE audience = ? AND person = ?",
                (older[key], self._audience, key),
            )
        people = self._known("SELECT person FROM members WHERE audience = ? AND person IN (??)", older_of(members))
        rows = staged(self._seal, members, devices, people)
        db.executemany("INSERT INTO staged.loaded VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")

    def _known(self, sql: str, keys: Collection[bytes]) -> set[bytes]:
        return {key for (key,) in among(self._db, sql, keys, self._audience)}

    def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        db = self._db
        named = {"audience": self._audience, "said": said_ms}
        for sql in SORT:
            db.execute(sql)
        (rows,) = db.execute("SELECT count(*) FROM staged.snapshot").fetchone()
        seen = self._compare(named)
        db.execute("BEGIN IMMEDIATE")
        try:
            if self._revision(claim) != seen:
                self._compare(named)
            joined, left, lacking = db.execute(SUMS).fetchone()
            if dry:
                db.execute("ROLLBACK")
                return Applied(rows, joined, left)
            (people,) = db.execute("SELECT people FROM audiences WHERE id = ?", (self._audience,)).fetchone()
            if max_shrink is not None and left > people * max_shrink:
                db.execute("UPDATE audiences SET held = ? WHERE id = ?", (left, self._audience))
                db.execute("COMMIT")
                return Applied(rows, held=left)
            named |= {"joined": joined, "left": left, "lacking": lacking}
            for sql in TAKE_OVER:
                db.execute(sql, {name: value for name, value in named.items() if f":{name}" in sql})
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return Applied(rows, joined, left)

    def _compare(self, named: dict[str, int]) -> int:
        """Write the differences. Returns the audience's revision as of which they hold."""
        db = self._db
        (revision,) = db.execute("SELECT revision FROM audiences WHERE id = ?", (self._audience,)).fetchone()
        for sql in COMPARE:
            db.execute(sql, {name: value for name, value in named.items() if f":{name}" in sql})
        return int(revision)

    def _revision(self, claim: Claim) -> int:
        revision, owner = self._db.execute(
            "SELECT revision, owner FROM audiences WHERE id = ?", (self._audience,)
        ).fetchone()
        if owner != claim.owner:
            raise StoreUnavailable(f"Another process runs the audience {claim.name} now: the snapshot was discarded.")
        return int(revision)


def remove(scratch: Path) -> None:
    """Delete a scratch file and what SQLite puts beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)
