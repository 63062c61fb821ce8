"""PostgreSQL's text for every statement of `store.core.tables` about audiences, written as in `postgres.sql`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.core.tables import Read, Write

MEMBER: Final = "SELECT audience, person, wanted, mark, lack, extra FROM members WHERE"
ERASABLE: Final = "devices.wanted <= 0 AND devices.standing IN (0, 3) AND devices.extra IS NULL"

READS: Final[Mapping[Read, str]] = {
    Read.AUDIENCE: "SELECT id, floor_ms FROM audiences WHERE app = $1 AND name = $2 FOR UPDATE",
    Read.MEMBERS: """SELECT person, wanted, said_ms, mark, lack, extra FROM members
                     WHERE audience = $1 AND person = ANY($2::bytea[])""",
    Read.DEVICES: "SELECT mark FROM devices WHERE audience = $1 AND mark = ANY($2::bytea[])",
    Read.MEMBERS_OF_PERSONS: f"{MEMBER} person = ANY($1::bytea[])",
    Read.MEMBERS_OF_MARKS: f"{MEMBER} mark = ANY($1::bytea[])",
    Read.DEVICES_OF_MARKS: "SELECT audience, mark FROM devices WHERE mark = ANY($1::bytea[])",
}

WRITES: Final[Mapping[Write, str]] = {
    Write.AUDIENCES: """INSERT INTO audiences (app, name, cohort, target)
                        SELECT app, name, '', '' FROM unnest($1::text[], $2::text[]) AS new (app, name)
                        ORDER BY app COLLATE "C", name COLLATE "C" ON CONFLICT DO NOTHING""",
    Write.AUDIENCE: """UPDATE audiences SET people = audiences.people + new.people,
                         lacking = audiences.lacking + new.lacking,
                         revision = revision + 1, title = coalesce(nullif(new.title, ''), audiences.title)
                       FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
                         AS new (people, lacking, title, id) WHERE audiences.id = new.id""",
    Write.AUDIENCES_CHANGED: "UPDATE audiences SET revision = revision + 1 WHERE id > ALL($1::bigint[])",
    Write.AUDIENCE_AT_ONCE: "UPDATE audiences SET next_ms = -1 WHERE id = ANY($1::bigint[])",
    Write.MEMBERS: """INSERT INTO members (audience, person, wanted, said_ms, mark, lack, who, extra)
                      SELECT audience, person, wanted, said_ms, mark, lack, who, extra
                      FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[],
                                  $7::bytea[], $8::bytea[])
                        AS new (audience, person, wanted, said_ms, mark, lack, who, extra)
                      ORDER BY audience, person
                      ON CONFLICT (audience, person) DO UPDATE SET wanted = excluded.wanted,
                        said_ms = excluded.said_ms, mark = excluded.mark, lack = excluded.lack, who = excluded.who,
                        extra = excluded.extra""",
    Write.DROP_MEMBERS: """DELETE FROM members USING unnest($1::bigint[], $2::bytea[]) AS old (audience, person)
                           WHERE members.audience = old.audience AND members.person = old.person""",
    Write.WANT_DEVICES: """INSERT INTO devices (audience, mark, sealed, wanted, standing, extra)
                           SELECT audience, mark, sealed, wanted, 0, extra
                           FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[])
                             AS new (audience, mark, sealed, wanted, extra) ORDER BY audience, mark
                           ON CONFLICT (audience, mark) DO UPDATE SET wanted = devices.wanted + excluded.wanted,
                             extra = coalesce(excluded.extra, devices.extra)""",
    Write.UNWANT_DEVICES: """UPDATE devices SET wanted = wanted - less,
                               extra = CASE WHEN wanted > less THEN extra END
                             FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS new (less, audience, mark)
                             WHERE devices.audience = new.audience AND devices.mark = new.mark""",
    Write.TAKE_BACK: """UPDATE devices SET extra = new.extra, extra_ms = 1
                        FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS new (extra, audience, mark)
                        WHERE devices.audience = new.audience AND devices.mark = new.mark""",
    Write.UNCOUNT_DEVICES: f"""UPDATE audiences SET refused = refused - gone.n
                               FROM (SELECT devices.audience, count(*) AS n
                                     FROM devices JOIN unnest($1::bigint[], $2::bytea[], $3::bigint[])
                                       AS old (audience, mark, number) USING (audience, mark)
                                     WHERE devices.standing = 3 AND {ERASABLE} GROUP BY devices.audience) AS gone
                               WHERE audiences.id = gone.audience""",
    Write.DROP_DEVICES: f"""DELETE FROM devices USING unnest($1::bigint[], $2::bytea[]) AS old (audience, mark)
                            WHERE devices.audience = old.audience AND devices.mark = old.mark AND {ERASABLE}""",
}
