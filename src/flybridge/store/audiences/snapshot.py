"""Snapshots of whole cohorts: staged beside the store, compared by SQL, and applied in one transaction.

The comparison is made before the audience is locked. What was filed meanwhile, and a person who was forgotten, show in
the audience's `revision`, and then it is repeated behind the lock.

Statements are in PostgreSQL's words, as in `store.core.queries`. `staged` is where the backend has its tables for them:
`loaded` with the rows as they came, `snapshot` with one of each person, `changes` and `moves` with the differences.
"""

# ruff: noqa: S608 - the pieces are this module's own
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

from flybridge.errors import StoreUnavailable
from flybridge.records import Member
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Applied, Claim
from flybridge.store.audiences.sql import ERASABLE
from flybridge.store.audiences.staging import Staged, anonymous_of, marks_of, older_of, staged

RENAME: Final = """
    UPDATE members SET person = :person WHERE audience = :audience AND person = :key
      AND NOT EXISTS (SELECT 1 FROM members WHERE audience = :audience AND person = :person)"""
REVISION: Final = "SELECT revision, owner FROM audiences WHERE id = :audience"
COMPARE: Final = (
    # A forgotten person does not come back, whatever Amplitude still has.
    """DELETE FROM staged.snapshot
       WHERE person IN (SELECT key FROM tombstones) OR mark IN (SELECT key FROM tombstones)""",
    # Who has come, or is listed by something else. What the file does not tell about an identifier stays as it is
    # known.
    """INSERT INTO staged.changes
       SELECT s.person, coalesce(m.wanted, 0), m.mark, coalesce(m.lack, 0), 1, s.mark, s.sealed, s.lack, s.who, s.extra,
              s.sealed_extra
       FROM staged.snapshot s LEFT JOIN members m ON m.audience = :audience AND m.person = s.person
       WHERE m.person IS NULL OR (m.said_ms <= :said AND (m.wanted = 0 OR
         (s.told = 1 AND (m.mark IS DISTINCT FROM s.mark OR m.lack <> s.lack OR m.extra IS DISTINCT FROM s.extra))))
       ORDER BY s.person""",
    # Who is not there any more.
    """INSERT INTO staged.changes
       SELECT m.person, m.wanted, m.mark, m.lack, 0, NULL, NULL, 0, NULL, NULL, NULL FROM members m
       WHERE m.audience = :audience AND m.said_ms <= :said
         AND NOT EXISTS (SELECT 1 FROM staged.snapshot s WHERE s.person = m.person)
       ORDER BY m.person""",
    # A device that was known when it was staged, and is not any more.
    """UPDATE staged.changes AS c SET mark = NULL, lack = 1 WHERE mark IS NOT NULL AND sealed IS NULL
         AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.audience = :audience AND d.mark = c.mark)""",
    # Of many sealed forms of the same identifier one is as good as another.
    """INSERT INTO staged.moves
       SELECT mark, sum(n), max(sealed), max(extra) FROM (
         SELECT was_mark AS mark, -1 AS n, NULL::bytea AS sealed, NULL::bytea AS extra FROM staged.changes
           WHERE was = 1 AND was_mark IS NOT NULL
         UNION ALL
         SELECT mark, 1, sealed, sealed_extra FROM staged.changes WHERE wanted = 1 AND mark IS NOT NULL) AS both_sides
       GROUP BY mark ORDER BY mark""",
)
SUMS: Final = """
    SELECT coalesce(sum((wanted > was)::integer), 0), coalesce(sum((wanted < was)::integer), 0),
      coalesce(sum((wanted = 1 AND lack > 0)::integer - (was = 1 AND was_lack > 0)::integer), 0),
      coalesce(sum((was = 1 AND was_mark IS NOT NULL AND (wanted = 0 OR mark IS NULL))::integer), 0)
    FROM staged.changes"""
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
    """UPDATE devices SET wanted = wanted + moves.n,
         extra = CASE WHEN wanted + moves.n > 0 THEN coalesce(moves.extra, devices.extra) END
       FROM staged.moves AS moves WHERE devices.audience = :audience AND devices.mark = moves.mark
         AND (moves.n < 0 OR moves.sealed IS NULL)""",
    f"""UPDATE audiences SET refused = refused - (SELECT count(*) FROM devices
          WHERE audience = :audience AND standing = 3 AND {ERASABLE}
            AND mark IN (SELECT mark FROM staged.moves WHERE n <= 0)) WHERE id = :audience""",
    f"""DELETE FROM devices WHERE audience = :audience AND {ERASABLE}
          AND mark IN (SELECT mark FROM staged.moves WHERE n <= 0)""",
    """UPDATE audiences SET people = people + :joined - :left, lacking = lacking + :lacking, held = 0,
         floor_ms = greatest(floor_ms, :said), snapshot_ms = greatest(snapshot_ms, :said), revision = revision + 1
       WHERE id = :audience""",
)


class Snapshot(ABC):
    """One snapshot being staged. Its methods are called one after the other, from any thread."""

    sort: ClassVar[Sequence[str]]
    """Makes `snapshot` of `loaded`: in the order of people, one each, with an identifier if one of theirs has it."""
    compare: ClassVar[Sequence[str]]
    """`COMPARE`, with what empties its tables first."""

    def __init__(self, seal: Seal, audience: int) -> None:
        self._seal = seal
        self._audience = audience

    def load(self, members: Sequence[Member]) -> None:
        """Stage a part of it. Identifiers are sealed only where the store has not sealed them already."""
        devices = self._known("devices", "mark", marks_of(members))
        older = anonymous_of(members)
        for key in sorted(self._known("members", "person", older)):
            # With a row of each key the snapshot ends the older one.
            self._run(RENAME, {"audience": self._audience, "key": key, "person": older[key]})
        people = self._known("members", "person", older_of(members))
        if rows := staged(self._seal, members, devices, people):
            self._stage(rows)

    def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        """Compare it with the members and take it over."""
        named = {"audience": self._audience, "said": said_ms}
        for sql in self.sort:
            self._run(sql)
        ((rows,),) = self._run("SELECT count(*) FROM staged.snapshot")
        seen = self._revision(claim, REVISION)
        self._compare(named)
        with self._transaction(dry=dry):
            if self._revision(claim, f"{REVISION} FOR UPDATE") != seen:
                self._compare(named)
            ((joined, left, lacking, unlisted),) = self._run(SUMS)
            if dry:
                return Applied(rows, joined, left)
            ((people, lacked),) = self._run("SELECT people, lacking FROM audiences WHERE id = :audience", named)
            # Who stays without an identifier leaves AppsFlyer's audience as who leaves the cohort does.
            for held, of in ((left, people), (unlisted, people - lacked)):
                if max_shrink is not None and held > of * max_shrink:
                    self._run("UPDATE audiences SET held = :held WHERE id = :audience", {**named, "held": held})
                    return Applied(rows, held=held, held_of=of)
            named |= {"joined": joined, "left": left, "lacking": lacking}
            for sql in TAKE_OVER:
                self._run(sql, named)
        return Applied(rows, joined, left)

    @abstractmethod
    def close(self) -> None:
        """Discard it."""

    @abstractmethod
    def _run(self, sql: str, named: Mapping[str, object] | None = None) -> list[Any]:
        """Run a statement and return its rows."""

    @abstractmethod
    def _transaction(self, *, dry: bool) -> AbstractContextManager[object]:
        """Open a transaction that writes, and end it: with `dry` nothing is changed."""

    @abstractmethod
    def _known(self, table: str, column: str, keys: Collection[bytes]) -> set[bytes]:
        """Return those of the keys that a table has of this audience."""

    @abstractmethod
    def _stage(self, rows: Sequence[Staged]) -> None:
        """Write rows into `loaded`."""

    def _compare(self, named: Mapping[str, object]) -> None:
        """Write the differences into `changes` and `moves`."""
        for sql in self.compare:
            self._run(sql, named)

    def _revision(self, claim: Claim, sql: str) -> int:
        rows = self._run(sql, {"audience": self._audience})
        if not rows or rows[0][1] != claim.owner:
            raise StoreUnavailable(f"Another process runs the audience {claim.name} now: the snapshot was discarded.")
        return int(rows[0][0])
