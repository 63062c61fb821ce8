"""Audiences in SQLite, verb by verb: what each does within its transaction. `sqlite.cohorts` says where it runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from flybridge.sealing import Seal
from flybridge.store.audiences.audience import CLAIMED, COUNTED, DUE, Lease, standing_after, standing_of, told_of
from flybridge.store.audiences.protocol import Action, Claim, Device, Run, Standing, Target
from flybridge.store.core.membership import erase, open_device
from flybridge.store.sqlite.connection import among
from flybridge.store.sqlite.sql import ERASABLE
from flybridge.store.sqlite.tables import SqliteTables

STANDINGS: Final = f"""
    SELECT app, name, cohort, title, people, lacking, listed, refused,
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.ADD]} LIMIT {COUNTED + 1})),
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.REMOVE]} LIMIT {COUNTED + 1})),
      held, tries, max_devices, snapshot_ms, ran_ms, complete_ms, next_ms, owner IS NOT NULL AND leased_until_ms > ?
    FROM audiences a"""  # noqa: S608 - ours


def keep(db: sqlite3.Connection, targets: Sequence[Target]) -> None:
    """Make configured audiences known."""
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
    """Erase an audience."""
    row = db.execute("DELETE FROM audiences WHERE app = ? AND name = ? RETURNING id", (app, name)).fetchone()
    if row is None:
        return False
    for table in ("members", "devices", "audience_runs"):
        db.execute(f"DELETE FROM {table} WHERE audience = ?", row)  # noqa: S608 - ours
    return True


def standings(db: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> list[Standing]:
    """Read how audiences stand; `sql` begins with `STANDINGS`."""
    return [standing_of(row) for row in db.execute(sql, values)]


def claim(db: sqlite3.Connection, app: str, name: str, lease: Lease) -> Claim | None:
    """Take an audience that nobody has."""
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
    """Return what differs, and note that it may be sent."""
    if not _owned(db, claim):
        return []
    rows = db.execute(
        f"""SELECT mark, sealed, standing FROM devices INDEXED BY devices_{action.value}
            WHERE audience = ? AND mark > ? AND {DUE[action]} ORDER BY mark LIMIT ?""",  # noqa: S608 - ours
        (claim.id, after, limit),
    ).fetchall()
    db.executemany(
        "UPDATE devices SET standing = 2 WHERE audience = ? AND mark = ?",
        [(claim.id, mark) for mark, _, standing in rows if standing != 2],
    )
    listed = sum(standing == 1 for *_, standing in rows)
    db.execute("UPDATE audiences SET listed = listed - ? WHERE id = ?", (listed, claim.id))
    return [Device(mark, *open_device(seal, sealed)) for mark, sealed, _ in rows]


def settle(db: sqlite3.Connection, claim: Claim, action: Action, marks: Sequence[bytes], refused: bool) -> int:
    """Record that devices are in, out, or refused."""
    if not _owned(db, claim):
        return 0
    standing = standing_after(action, refused)
    rows = [(claim.id, mark) for mark in marks]
    done = db.executemany(
        f"UPDATE devices SET standing = {standing} WHERE audience = ? AND mark = ? AND standing = 2",  # noqa: S608 - ours
        rows,
    ).rowcount
    if standing:
        column = "refused" if refused else "listed"
        db.execute(f"UPDATE audiences SET {column} = {column} + ? WHERE id = ?", (done, claim.id))  # noqa: S608 - ours
    if action is Action.OVERWRITE:
        # What was not in that request AppsFlyer does not have any more.
        db.execute("UPDATE devices SET standing = 0 WHERE audience = ? AND standing = 2", (claim.id,))
        db.execute(f"DELETE FROM devices WHERE audience = ? AND {ERASABLE}", (claim.id,))  # noqa: S608 - ours
    elif standing != 1:
        erase(SqliteTables(db), rows)
    return done


def empty(db: sqlite3.Connection, claim: Claim) -> None:
    """Make all devices not known."""
    if _owned(db, claim):
        db.execute("UPDATE devices SET standing = 2 WHERE audience = ? AND standing <> 2", (claim.id,))
        db.execute("UPDATE audiences SET listed = 0, refused = 0 WHERE id = ?", (claim.id,))


def extras(db: sqlite3.Connection, seal: Seal, claim: Claim, limit: int, after: bytes) -> list[Device]:
    """Return what the additional-identifiers API is to be told."""
    rows = db.execute(
        """SELECT mark, sealed, extra FROM devices WHERE audience = ? AND mark > ? AND extra IS NOT NULL
           ORDER BY mark LIMIT ?""",
        (claim.id, after, limit),
    )
    return [Device(mark, *open_device(seal, sealed), seal.open(extra)) for mark, sealed, extra in rows]


def settle_extras(db: sqlite3.Connection, seal: Seal, claim: Claim, devices: Sequence[Device]) -> None:
    """Erase what it has been told, unless that has changed."""
    if not _owned(db, claim):
        return
    sent = {device.mark: device.extra for device in devices}
    sql = "SELECT mark, extra FROM devices WHERE extra IS NOT NULL AND audience = ? AND mark IN (??)"
    same = [(claim.id, mark) for mark, extra in among(db, sql, sent, claim.id) if seal.open(extra) == sent[mark]]
    db.executemany("UPDATE devices SET extra = NULL WHERE audience = ? AND mark = ?", same)
    erase(SqliteTables(db), same)


def finish(db: sqlite3.Connection, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool) -> None:
    """Return a claim; write the run down."""
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
            (claim.id, run.began_ms, run.ended_ms, told_of(run)),
        )


def prune(db: sqlite3.Connection, until_ms: int) -> int:
    """Forget runs, and people who are out, of `until_ms` and before."""
    gone = db.execute("DELETE FROM audience_runs WHERE ended_ms <= ?", (until_ms,)).rowcount
    gone += db.execute("DELETE FROM members WHERE wanted = 0 AND said_ms <= ?", (until_ms,)).rowcount
    db.execute("UPDATE audiences SET floor_ms = max(floor_ms, ?)", (until_ms,))
    return gone
