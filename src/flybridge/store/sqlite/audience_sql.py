"""SQLite's text for every statement of `store.core.tables` about audiences, written as in `sqlite.sql`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.core.tables import Read, Write

MEMBER: Final = "SELECT audience, person, wanted, mark, lack, extra FROM members WHERE"
ERASABLE: Final = "wanted <= 0 AND standing IN (0, 3) AND extra IS NULL"
"""A device that no member has, that AppsFlyer does not list, and about which nothing is to be sent."""

READS: Final[Mapping[Read, str]] = {
    Read.AUDIENCE: "SELECT id, floor_ms FROM audiences WHERE app = ? AND name = ?",
    Read.MEMBERS: """SELECT person, wanted, said_ms, mark, lack, extra FROM members
                     WHERE audience = ? AND person IN (??)""",
    Read.DEVICES: "SELECT mark FROM devices WHERE audience = ? AND mark IN (??)",
    Read.MEMBERS_OF_PERSONS: f"{MEMBER} person IN (??)",
    Read.MEMBERS_OF_MARKS: f"{MEMBER} mark IN (??)",
    Read.DEVICES_OF_MARKS: "SELECT audience, mark FROM devices WHERE mark IN (??)",
}

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
}
