"""The verbs of audiences in SQLite: what each does within its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

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
from flybridge.store.core.membership import erase
from flybridge.store.sqlite.audience_sql import ERASABLE
from flybridge.store.sqlite.connection import among
from flybridge.store.sqlite.tables import SqliteTables

STANDINGS: Final = f"""
    SELECT app, name, cohort, title, people, lacking, listed, refused,
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.ADD]} LIMIT {COUNTED + 1})),
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.REMOVE]} LIMIT {COUNTED + 1})),
      held, tries, max_devices, snapshot_ms, ran_ms, complete_ms, next_ms, owner IS NOT NULL AND leased_until_ms > ?
    FROM audiences a"""  # noqa: S608 - ours


def keep(db: sqlite3.Connection, targets: Sequence[Target]) -> None:
    for one in targets:
        db.execute(
            "UPDATE audiences SET next_ms = min(next_ms, ?) WHERE app = ? AND name = ?",
            (one.next_ms, one.app, one.name),
        )
        row = db.execute("SELECT id, target FROM audiences WHERE app = ? AND name = ?", (one.app, one.name)).fetchone()
        if row is None:
            db.execute(
                "INSERT INTO audiences (app, name, cohort, target) VALUES (?, ?, ?, ?)",
                (one.app, one.name, one.cohort, one.target),
            )
            continue
        number, target = row
        if target not in (b"", one.target):
            # What is wanted stays; AppsFlyer has nothing of it under the new key.
            db.execute("DELETE FROM devices WHERE audience = ? AND wanted <= 0", (number,))
            db.execute("UPDATE devices SET standing = 0 WHERE audience = ? AND standing <> 0", (number,))
            db.execute(
                "UPDATE audiences SET listed = 0, refused = 0, next_ms = 0, revision = revision + 1 WHERE id = ?",
                (number,),
            )
        db.execute("UPDATE audiences SET cohort = ?, target = ? WHERE id = ?", (one.cohort, one.target, number))


def drop(db: sqlite3.Connection, app: str, name: str) -> bool:
    row = db.execute("DELETE FROM audiences WHERE app = ? AND name = ? RETURNING id", (app, name)).fetchone()
    if row is None:
        return False
    for table in ("members", "devices", "audience_runs"):
        db.execute(f"DELETE FROM {table} WHERE audience = ?", row)  # noqa: S608 - ours
    return True


def standings(db: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> list[Standing]:
    """Read how audiences stand. `sql` begins with `STANDINGS`."""
    return [standing_of(row) for row in db.execute(sql, values)]


def claim(db: sqlite3.Connection, app: str, name: str, lease: Lease) -> Claim | None:
    row = db.execute(
        f"""UPDATE audiences SET owner = ?, leased_until_ms = ?, next_ms = max(next_ms, 0)
           WHERE app = ? AND name = ? AND next_ms <= ? AND (owner IS NULL OR leased_until_ms <= ?)
           RETURNING {CLAIMED}""",  # noqa: S608 - ours
        (lease.owner, lease.until_ms, app, name, lease.next_ms, lease.now_ms),
    ).fetchone()
    return None if row is None else Claim(*row)


def _owned(db: sqlite3.Connection, claim: Claim) -> bool:
    row = db.execute("SELECT owner FROM audiences WHERE id = ?", (claim.id,)).fetchone()
    return row is not None and row[0] == claim.owner


def changes(
    db: sqlite3.Connection, seal: Seal, claim: Claim, action: Action, *, limit: int, after: bytes
) -> list[Device]:
    if not _owned(db, claim):
        return []
    while True:
        rows = db.execute(
            f"""SELECT mark, sealed, standing FROM devices INDEXED BY devices_{action.value}
                WHERE audience = ? AND mark > ? AND {DUE[action]} ORDER BY mark LIMIT ?""",  # noqa: S608 - ours
            (claim.id, after, limit),
        ).fetchall()
        devices, sealed = opened(seal, (row[:2] for row in rows))
        sent = [(claim.id, mark) for mark, _, standing in rows if standing != 2 and mark not in sealed]
        db.executemany("UPDATE devices SET standing = 2 WHERE audience = ? AND mark = ?", sent)
        listed = sum(standing == 1 and mark not in sealed for mark, _, standing in rows)
        db.execute("UPDATE audiences SET listed = listed - ? WHERE id = ?", (listed, claim.id))
        if sealed and action is Action.ADD:
            unsendable = [(claim.id, mark) for mark in sealed]
            db.executemany("UPDATE devices SET standing = 3 WHERE audience = ? AND mark = ?", unsendable)
            db.execute("UPDATE audiences SET refused = refused + ? WHERE id = ?", (len(sealed), claim.id))
        if devices or not rows:
            return devices
        after = rows[-1][0]


def settle(
    db: sqlite3.Connection, claim: Claim, action: Action, marks: Sequence[bytes], *, now_ms: int, refused: bool
) -> int:
    if not _owned(db, claim):
        return 0
    standing = standing_after(action, refused)
    rows = [(claim.id, mark) for mark in marks]
    known_ms = now_ms + EXTRAS_WAIT_MS if standing == LISTED else 0
    done = db.executemany(
        f"""UPDATE devices SET standing = {standing}, extra_ms = CASE extra_ms WHEN 0 THEN {known_ms} ELSE extra_ms END
            WHERE audience = ? AND mark = ? AND standing = 2""",  # noqa: S608 - ours
        rows,
    ).rowcount
    if standing:
        column = "refused" if refused else "listed"
        db.execute(f"UPDATE audiences SET {column} = {column} + ? WHERE id = ?", (done, claim.id))  # noqa: S608 - ours
    if action is Action.OVERWRITE:
        # What was not in that request AppsFlyer does not have any more.
        db.execute("UPDATE devices SET standing = 0 WHERE audience = ? AND standing = 2", (claim.id,))
        db.execute(f"DELETE FROM devices WHERE audience = ? AND {ERASABLE}", (claim.id,))  # noqa: S608 - ours
    elif standing != LISTED:
        erase(SqliteTables(db), rows)
    return done


def empty(db: sqlite3.Connection, claim: Claim) -> None:
    if _owned(db, claim):
        db.execute("UPDATE devices SET standing = 2 WHERE audience = ? AND standing <> 2", (claim.id,))
        db.execute("UPDATE audiences SET listed = 0, refused = 0 WHERE id = ?", (claim.id,))


def extras(db: sqlite3.Connection, seal: Seal, claim: Claim, *, limit: int, after: bytes, now_ms: int) -> list[Device]:
    sql = """SELECT mark, sealed, extra FROM devices WHERE audience = ? AND mark > ? AND extra IS NOT NULL
             AND extra_ms BETWEEN 1 AND ? ORDER BY mark LIMIT ?"""
    while rows := db.execute(sql, (claim.id, after, now_ms, limit)).fetchall():
        if devices := opened(seal, rows)[0]:
            return devices
        after = rows[-1][0]
    return []


def extras_due(db: sqlite3.Connection, claim: Claim) -> int:
    sql = "SELECT min(extra_ms) FROM devices WHERE audience = ? AND extra IS NOT NULL AND extra_ms > 0"
    return db.execute(sql, (claim.id,)).fetchone()[0] or NEVER_MS


def keep_import_key(db: sqlite3.Connection, app: str, name: str, sealed: bytes) -> None:
    db.execute("UPDATE audiences SET import_key = ? WHERE app = ? AND name = ?", (sealed, app, name))


def import_keys(db: sqlite3.Connection) -> list[tuple[str, str, bytes]]:
    return db.execute("SELECT app, name, import_key FROM audiences WHERE import_key IS NOT NULL").fetchall()


def settle_extras(db: sqlite3.Connection, seal: Seal, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
    if not _owned(db, claim):
        return
    sent = {device.mark: device.extra for device in devices}
    sql = "SELECT mark, extra FROM devices WHERE extra IS NOT NULL AND audience = ? AND mark IN (??)"
    rows = among(db, sql, sent, claim.id)
    same = [(claim.id, mark) for mark, extra in rows if is_still(seal, extra, sent[mark])]
    again = [(now_ms + EXTRAS_WAIT_MS, *at) for at in same if sent[at[1]]]
    db.executemany(
        """UPDATE devices SET extra = CASE extra_sent WHEN 0 THEN extra END, extra_ms = ?, extra_sent = 1 - extra_sent
           WHERE audience = ? AND mark = ?""",
        again,
    )
    done = [at for at in same if not sent[at[1]]]
    db.executemany("UPDATE devices SET extra = NULL, extra_sent = 0 WHERE audience = ? AND mark = ?", done)
    erase(SqliteTables(db), same)


def finish(db: sqlite3.Connection, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool) -> None:
    # A person who was forgotten while this ran has made the audience due at once, and so it stays.
    done = db.execute(
        """UPDATE audiences SET owner = NULL, leased_until_ms = 0, tries = ?,
             ran_ms = CASE WHEN ? = 'looked' THEN ran_ms ELSE ? END,
             complete_ms = CASE WHEN ? THEN ? ELSE complete_ms END,
             next_ms = CASE WHEN next_ms < 0 THEN 0 ELSE ? END WHERE id = ? AND owner = ?""",
        (tries, run.outcome, run.ended_ms, run.outcome == "done", run.ended_ms, next_ms, claim.id, claim.owner),
    ).rowcount
    if done and recorded:
        db.execute(
            "INSERT INTO audience_runs (audience, began_ms, ended_ms, told) VALUES (?, ?, ?, ?)",
            (claim.id, run.began_ms, run.ended_ms, packed_run(run)),
        )


def prune(db: sqlite3.Connection, until_ms: int) -> int:
    """Delete runs, and people who are out of an audience, of `until_ms` and before."""
    gone = db.execute("DELETE FROM audience_runs WHERE ended_ms <= ?", (until_ms,)).rowcount
    gone += db.execute("DELETE FROM members WHERE wanted = 0 AND said_ms <= ?", (until_ms,)).rowcount
    db.execute("UPDATE audiences SET floor_ms = max(floor_ms, ?)", (until_ms,))
    return gone
