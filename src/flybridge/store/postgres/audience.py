"""The verbs of audiences in PostgreSQL: what each does within its transaction.

Every change of an audience locks its row first, and no verb of this module holds two: filing, forgetting and runs of
the same audience follow each other, and cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flybridge.sealing import Seal
from flybridge.store.audiences.audience import (
    CLAIMED,
    COUNTED,
    DUE,
    LISTED,
    Lease,
    is_still,
    opened,
    packed_run,
    standing_after,
    standing_of,
)
from flybridge.store.audiences.protocol import EXTRAS_WAIT_MS, NEVER_MS, Action, Claim, Device, Run, Standing, Target
from flybridge.store.postgres.arrays import Array, columns
from flybridge.store.postgres.audience_sql import ERASABLE
from flybridge.store.postgres.connection import Db
from flybridge.store.postgres.tables import Conflict

STANDINGS: Final = f"""
    SELECT app, name, cohort, title, people, lacking, listed, refused,
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.ADD]}
                             LIMIT {COUNTED + 1}) AS adding),
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.REMOVE]}
                             LIMIT {COUNTED + 1}) AS removing),
      held, tries, max_devices, snapshot_ms, ran_ms, complete_ms, next_ms,
      owner IS NOT NULL AND leased_until_ms > $1::bigint
    FROM audiences a"""  # noqa: S608 - ours


def run(db: Db, sql: str, *values: object) -> int:
    """Run a statement. Returns how many rows it changed."""
    return db.execute(sql.encode(), values).rowcount


def rows_of(db: Db, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    return db.execute(sql.encode(), values, binary=True).fetchall()


def _keys(marks: Sequence[bytes]) -> Array:
    return columns(("bytea",), [(mark,) for mark in marks])[0]


def text(value: str) -> str:
    """Return a text that PostgreSQL can store."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def keep(db: Db, one: Target) -> None:
    run(
        db,
        "INSERT INTO audiences (app, name, cohort, target) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        *(one.app, one.name, one.cohort, one.target),
    )
    rows = rows_of(db, "SELECT id, target FROM audiences WHERE app = $1 AND name = $2 FOR UPDATE", one.app, one.name)
    if not rows:
        raise Conflict(f"the audience {one.name} was dropped in this moment")
    ((number, target),) = rows
    if target not in {b"", one.target}:
        # What is wanted stays; AppsFlyer has nothing of it under the new key.
        run(db, "DELETE FROM devices WHERE audience = $1 AND wanted <= 0", number)
        run(db, "UPDATE devices SET standing = 0 WHERE audience = $1 AND standing <> 0", number)
        sql = "UPDATE audiences SET listed = 0, refused = 0, next_ms = 0, revision = revision + 1 WHERE id = $1"
        run(db, sql, number)
    sql = "UPDATE audiences SET cohort = $1, target = $2, next_ms = least(next_ms, $3::bigint) WHERE id = $4"
    run(db, sql, one.cohort, one.target, one.next_ms, number)


def drop(db: Db, app: str, name: str) -> bool:
    rows = rows_of(db, "DELETE FROM audiences WHERE app = $1 AND name = $2 RETURNING id", app, name)
    for (number,) in rows:
        for table in ("members", "devices", "audience_runs"):
            run(db, f"DELETE FROM {table} WHERE audience = $1", number)  # noqa: S608 - ours
    return bool(rows)


def standings(db: Db, rest: str, now_ms: int) -> list[Standing]:
    """Read how audiences stand. `rest` follows `STANDINGS`."""
    return [standing_of(row) for row in rows_of(db, f"{STANDINGS} {rest}", now_ms)]


def claim(db: Db, app: str, name: str, lease: Lease) -> Claim | None:
    rows = rows_of(
        db,
        f"""UPDATE audiences SET owner = $1, leased_until_ms = $2, next_ms = greatest(next_ms, 0)
            WHERE app = $3 AND name = $4 AND next_ms <= $5::bigint
              AND (owner IS NULL OR leased_until_ms <= $6::bigint)
            RETURNING {CLAIMED}""",  # noqa: S608 - ours
        *(lease.owner, lease.until_ms, app, name, lease.next_ms, lease.now_ms),
    )
    return Claim(*rows[0]) if rows else None


def owned(db: Db, claim: Claim) -> bool:
    """Lock the audience's row. Returns whether the claim's owner still has it."""
    rows = rows_of(db, "SELECT owner FROM audiences WHERE id = $1 FOR UPDATE", claim.id)
    return bool(rows) and rows[0][0] == claim.owner


def changes(db: Db, seal: Seal, claim: Claim, action: Action, *, limit: int, after: bytes) -> list[Device]:
    if not owned(db, claim):
        return []
    while True:
        rows = rows_of(
            db,
            f"""SELECT mark, sealed, standing FROM devices WHERE audience = $1 AND mark > $2 AND {DUE[action]}
                ORDER BY mark LIMIT $3""",  # noqa: S608 - ours
            *(claim.id, after, limit),
        )
        devices, sealed = opened(seal, (row[:2] for row in rows))
        if sent := [mark for mark, _, standing in rows if standing != 2 and mark not in sealed]:
            sql = "UPDATE devices SET standing = 2 WHERE audience = $1 AND mark = ANY($2::bytea[])"
            run(db, sql, claim.id, _keys(sent))
        if listed := sum(standing == 1 and mark not in sealed for mark, _, standing in rows):
            run(db, "UPDATE audiences SET listed = listed - $1::bigint WHERE id = $2", listed, claim.id)
        if sealed and action is Action.ADD:
            sql = "UPDATE devices SET standing = 3 WHERE audience = $1 AND mark = ANY($2::bytea[])"
            run(db, sql, claim.id, _keys(sealed))
            run(db, "UPDATE audiences SET refused = refused + $1::bigint WHERE id = $2", len(sealed), claim.id)
        if devices or not rows:
            return devices
        after = rows[-1][0]


def settle(db: Db, claim: Claim, action: Action, marks: Sequence[bytes], *, now_ms: int, refused: bool) -> int:
    if not owned(db, claim):
        return 0
    standing, done = standing_after(action, refused), 0
    if marks:
        known_ms = now_ms + EXTRAS_WAIT_MS if standing == LISTED else 0
        sql = """UPDATE devices SET standing = $1::bigint,
                   extra_ms = CASE extra_ms WHEN 0 THEN $4::bigint ELSE extra_ms END
                 WHERE audience = $2 AND mark = ANY($3::bytea[]) AND standing = 2"""
        done = run(db, sql, standing, claim.id, _keys(marks), known_ms)
    if standing:
        column = "refused" if refused else "listed"
        sql = f"UPDATE audiences SET {column} = {column} + $1::bigint WHERE id = $2"  # noqa: S608 - ours
        run(db, sql, done, claim.id)
    if action is Action.OVERWRITE:
        # What was not in that request AppsFlyer does not have any more.
        run(db, "UPDATE devices SET standing = 0 WHERE audience = $1 AND standing = 2", claim.id)
        run(db, f"DELETE FROM devices WHERE audience = $1 AND {ERASABLE}", claim.id)  # noqa: S608 - ours
    elif standing != LISTED:
        _erase(db, claim.id, marks)
    return done


def _erase(db: Db, audience: int, marks: Sequence[bytes]) -> None:
    if not marks:
        return
    erasable = f"audience = $1 AND mark = ANY($2::bytea[]) AND {ERASABLE}"
    sql = f"""UPDATE audiences SET refused = refused - (SELECT count(*) FROM devices WHERE standing = 3 AND {erasable})
              WHERE id = $1"""  # noqa: S608 - ours
    run(db, sql, audience, _keys(marks))
    run(db, f"DELETE FROM devices WHERE {erasable}", audience, _keys(marks))  # noqa: S608 - ours


def empty(db: Db, claim: Claim) -> None:
    if owned(db, claim):
        run(db, "UPDATE devices SET standing = 2 WHERE audience = $1 AND standing <> 2", claim.id)
        run(db, "UPDATE audiences SET listed = 0, refused = 0 WHERE id = $1", claim.id)


def extras(db: Db, seal: Seal, claim: Claim, *, limit: int, after: bytes, now_ms: int) -> list[Device]:
    sql = """SELECT mark, sealed, extra FROM devices WHERE audience = $1 AND mark > $2 AND extra IS NOT NULL
             AND extra_ms BETWEEN 1 AND $4::bigint ORDER BY mark LIMIT $3"""
    while rows := rows_of(db, sql, claim.id, after, limit, now_ms):
        if devices := opened(seal, rows)[0]:
            return devices
        after = rows[-1][0]
    return []


def extras_due(db: Db, claim: Claim) -> int:
    sql = "SELECT min(extra_ms) FROM devices WHERE audience = $1 AND extra IS NOT NULL AND extra_ms > 0"
    ((due_ms,),) = rows_of(db, sql, claim.id)
    return due_ms or NEVER_MS


def keep_import_key(db: Db, app: str, name: str, sealed: bytes) -> None:
    run(db, "UPDATE audiences SET import_key = $1 WHERE app = $2 AND name = $3", sealed, app, name)


def import_keys(db: Db) -> list[tuple[str, str, bytes]]:
    rows = rows_of(db, "SELECT app, name, import_key FROM audiences WHERE import_key IS NOT NULL")
    return [(app, name, bytes(sealed)) for app, name, sealed in rows]


def settle_extras(db: Db, seal: Seal, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
    sent = {device.mark: device.extra for device in devices}
    if not sent or not owned(db, claim):
        return
    sql = """SELECT mark, extra FROM devices
             WHERE extra IS NOT NULL AND audience = $1 AND mark = ANY($2::bytea[])"""
    rows = rows_of(db, sql, claim.id, _keys(list(sent)))
    if same := [mark for mark, extra in rows if is_still(seal, extra, sent[mark])]:
        if again := [mark for mark in same if sent[mark]]:
            sql = """UPDATE devices SET extra = CASE extra_sent WHEN 0 THEN extra END, extra_ms = $3::bigint,
                       extra_sent = 1 - extra_sent WHERE audience = $1 AND mark = ANY($2::bytea[])"""
            run(db, sql, claim.id, _keys(again), now_ms + EXTRAS_WAIT_MS)
        if done := [mark for mark in same if not sent[mark]]:
            sql = "UPDATE devices SET extra = NULL, extra_sent = 0 WHERE audience = $1 AND mark = ANY($2::bytea[])"
            run(db, sql, claim.id, _keys(done))
        _erase(db, claim.id, same)


def finish(db: Db, claim: Claim, ended: Run, *, next_ms: int, tries: int, recorded: bool) -> None:
    # A person who was forgotten while this ran has made the audience due at once, and so it stays.
    done = run(
        db,
        """UPDATE audiences SET owner = NULL, leased_until_ms = 0, tries = $1,
             ran_ms = CASE WHEN $2::boolean THEN $3::bigint ELSE ran_ms END,
             complete_ms = CASE WHEN $4::boolean THEN $3::bigint ELSE complete_ms END,
             next_ms = CASE WHEN next_ms < 0 THEN 0 ELSE $5::bigint END WHERE id = $6 AND owner = $7""",
        *(tries, ended.outcome != "looked", ended.ended_ms, ended.outcome == "done", next_ms, claim.id, claim.owner),
    )
    if done and recorded:
        sql = "INSERT INTO audience_runs (audience, began_ms, ended_ms, told) VALUES ($1, $2, $3, $4)"
        run(db, sql, claim.id, ended.began_ms, ended.ended_ms, packed_run(ended))


def prune(db: Db, number: int, until_ms: int) -> int:
    """Delete runs of an audience, and people who are out of it, of `until_ms` and before."""
    # All rows are walked through, which an index does not make shorter.
    run(db, "SET LOCAL enable_seqscan = on")
    run(db, "UPDATE audiences SET floor_ms = greatest(floor_ms, $1::bigint) WHERE id = $2", until_ms, number)
    gone = run(db, "DELETE FROM audience_runs WHERE audience = $1 AND ended_ms <= $2", number, until_ms)
    sql = "DELETE FROM members WHERE audience = $1 AND wanted = 0 AND said_ms <= $2"
    return gone + run(db, sql, number, until_ms)
