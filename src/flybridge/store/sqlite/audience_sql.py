"""SQLite's text for every statement of `store.core.tables` about audiences, written as in `sqlite.sql`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.sql import ERASABLE
from flybridge.store.core.tables import Write

WRITES: Final[Mapping[Write, str]] = {
    Write.AUDIENCES: "INSERT OR IGNORE INTO audiences (app, name, cohort, target) VALUES (?, ?, '', x'')",
    Write.AUDIENCE: """UPDATE audiences SET people = people + ?, lacking = lacking + ?, revision = revision + 1,
                         title = coalesce(nullif(?, ''), title) WHERE id = ?""",
    Write.AUDIENCES_CHANGED: "UPDATE audiences SET revision = revision + 1 WHERE id > ?",
    Write.AUDIENCE_AT_ONCE: "UPDATE audiences SET next_ms = -1 WHERE id = ?",
    Write.MEMBERS: """INSERT INTO members (audience, person, wanted, said_ms, mark, lack, who, extra)
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                      ON CONFLICT (audience, person) DO UPDATE SET wanted = excluded.wanted,
                        said_ms = excluded.said_ms, mark = excluded.mark, lack = excluded.lack, who = excluded.who,
                        extra = excluded.extra""",
    Write.DROP_MEMBERS: "DELETE FROM members WHERE audience = ? AND person = ?",
    Write.WANT_DEVICES: """INSERT INTO devices (audience, mark, sealed, wanted, standing, extra)
                           VALUES (?, ?, ?, ?, 0, ?)
                           ON CONFLICT (audience, mark) DO UPDATE SET wanted = devices.wanted + excluded.wanted,
                             extra = coalesce(excluded.extra, devices.extra)""",
    Write.UNWANT_DEVICES: """UPDATE devices SET wanted = wanted - ?1, extra = CASE WHEN wanted > ?1 THEN extra END
                             WHERE audience = ?2 AND mark = ?3""",
    Write.TAKE_BACK: "UPDATE devices SET extra = ?, extra_ms = 1 WHERE audience = ? AND mark = ?",
    Write.UNCOUNT_DEVICES: f"""UPDATE audiences SET refused = refused - (SELECT count(*) FROM devices
                                 WHERE audience = ? AND mark = ? AND standing = 3 AND {ERASABLE}) WHERE id = ?""",
    Write.DROP_DEVICES: f"DELETE FROM devices WHERE audience = ? AND mark = ? AND {ERASABLE}",
    Write.TARGET: "UPDATE audiences SET cohort = ?, target = ?, next_ms = min(next_ms, ?) WHERE id = ?",
    Write.CLAIM: """UPDATE audiences SET owner = ?, leased_until_ms = ?, next_ms = max(next_ms, 0)
                    WHERE app = ? AND name = ? AND next_ms <= ? AND (owner IS NULL OR leased_until_ms <= ?)""",
    Write.RENEW: "UPDATE audiences SET leased_until_ms = ? WHERE id = ? AND owner = ?",
    Write.FINISH: """UPDATE audiences SET owner = NULL, leased_until_ms = 0, tries = ?1,
                       ran_ms = CASE WHEN ?2 = 1 THEN ?3 ELSE ran_ms END,
                       complete_ms = CASE WHEN ?4 = 1 THEN ?3 ELSE complete_ms END,
                       next_ms = CASE WHEN next_ms < 0 THEN 0 ELSE ?5 END WHERE id = ?6 AND owner = ?7""",
    Write.RUN: "INSERT INTO audience_runs (audience, began_ms, ended_ms, told) VALUES (?, ?, ?, ?)",
    Write.LEARN: """UPDATE audiences SET max_devices = coalesce(nullif(?, 0), max_devices),
                      title = coalesce(nullif(?, ''), title) WHERE id = ?""",
    Write.REQUESTED: "UPDATE audiences SET request_id = ?, requested_ms = ? WHERE id = ? AND owner = ?",
    Write.IMPORT_KEY: "UPDATE audiences SET import_key = ? WHERE app = ? AND name = ?",
    Write.RESET_AUDIENCE: """UPDATE audiences SET listed = 0, refused = 0, next_ms = 0, revision = revision + 1
                             WHERE id = ?""",
    Write.EMPTY_AUDIENCE: "UPDATE audiences SET listed = 0, refused = 0 WHERE id = ?",
    Write.COUNT_DEVICES: "UPDATE audiences SET listed = listed + ?, refused = refused + ? WHERE id = ?",
    Write.STAND_ALL: "UPDATE devices SET standing = ?1 WHERE audience = ?2 AND standing <> ?1",
    Write.STAND: "UPDATE devices SET standing = ? WHERE audience = ? AND mark = ?",
    Write.ANSWER: """UPDATE devices SET standing = ?, extra_ms = coalesce(nullif(extra_ms, 0), ?)
                     WHERE audience = ? AND mark = ? AND standing = 2""",
    Write.UNLIST: "UPDATE devices SET standing = 0 WHERE audience = ? AND standing = 2",
    Write.DROP_UNWANTED: "DELETE FROM devices WHERE audience = ? AND wanted <= 0",
    Write.DROP_ERASABLE: f"DELETE FROM devices WHERE audience = ? AND {ERASABLE}",
    Write.EXTRA_SENT: """UPDATE devices SET extra = CASE extra_sent WHEN 0 THEN extra END, extra_ms = ?,
                           extra_sent = 1 - extra_sent WHERE audience = ? AND mark = ?""",
    Write.EXTRA_DONE: "UPDATE devices SET extra = NULL, extra_sent = 0 WHERE audience = ? AND mark = ?",
    Write.FLOOR: "UPDATE audiences SET floor_ms = max(floor_ms, ?) WHERE id = ?",
    Write.DROP_RUNS: "DELETE FROM audience_runs WHERE audience = ? AND ended_ms <= ?",
    Write.DROP_FORMER: "DELETE FROM members WHERE audience = ? AND wanted = 0 AND said_ms <= ?",
    Write.DROP_AUDIENCE: "DELETE FROM audiences WHERE id = ?",
    Write.DROP_ALL_MEMBERS: "DELETE FROM members WHERE audience = ?",
    Write.DROP_ALL_DEVICES: "DELETE FROM devices WHERE audience = ?",
    Write.DROP_ALL_RUNS: "DELETE FROM audience_runs WHERE audience = ?",
}
