"""PostgreSQL's text for every statement of `store.core.tables` about audiences, written as in `postgres.sql`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.sql import ERASABLE
from flybridge.store.core.tables import Write

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
    Write.TARGET: """UPDATE audiences SET cohort = new.cohort, target = new.target,
                       next_ms = least(audiences.next_ms, new.next_ms)
                     FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[])
                       AS new (cohort, target, next_ms, id) WHERE audiences.id = new.id""",
    Write.CLAIM: """UPDATE audiences SET owner = new.owner, leased_until_ms = new.until_ms,
                      next_ms = greatest(audiences.next_ms, 0)
                    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
                      AS new (owner, until_ms, app, name, next_ms, now_ms)
                    WHERE audiences.app = new.app AND audiences.name = new.name AND audiences.next_ms <= new.next_ms
                      AND (audiences.owner IS NULL OR leased_until_ms <= new.now_ms)""",
    Write.RENEW: """UPDATE audiences SET leased_until_ms = until_ms
                    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS new (until_ms, id, owner)
                    WHERE audiences.id = new.id AND audiences.owner = new.owner""",
    Write.FINISH: """UPDATE audiences SET owner = NULL, leased_until_ms = 0, tries = new.tries,
                       ran_ms = CASE new.ran WHEN 1 THEN new.ended_ms ELSE ran_ms END,
                       complete_ms = CASE new.done WHEN 1 THEN new.ended_ms ELSE complete_ms END,
                       next_ms = CASE WHEN audiences.next_ms < 0 THEN 0 ELSE new.next_ms END
                     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                 $7::text[]) AS new (tries, ran, ended_ms, done, next_ms, id, owner)
                     WHERE audiences.id = new.id AND audiences.owner = new.owner""",
    Write.RUN: """INSERT INTO audience_runs (audience, began_ms, ended_ms, told)
                  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])""",
    Write.LEARN: """UPDATE audiences SET max_devices = coalesce(nullif(new.max_devices, 0), audiences.max_devices),
                      title = coalesce(nullif(new.title, ''), audiences.title)
                    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (max_devices, title, id)
                    WHERE audiences.id = new.id""",
    Write.REQUESTED: """UPDATE audiences SET request_id = new.request_id, requested_ms = new.requested_ms
                        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[])
                          AS new (request_id, requested_ms, id, owner)
                        WHERE audiences.id = new.id AND audiences.owner = new.owner""",
    Write.IMPORT_KEY: """UPDATE audiences SET import_key = new.import_key
                         FROM unnest($1::bytea[], $2::text[], $3::text[]) AS new (import_key, app, name)
                         WHERE audiences.app = new.app AND audiences.name = new.name""",
    Write.RESET_AUDIENCE: """UPDATE audiences SET listed = 0, refused = 0, next_ms = 0, revision = revision + 1
                             WHERE id = ANY($1::bigint[])""",
    Write.EMPTY_AUDIENCE: "UPDATE audiences SET listed = 0, refused = 0 WHERE id = ANY($1::bigint[])",
    Write.COUNT_DEVICES: """UPDATE audiences SET listed = audiences.listed + new.listed,
                              refused = audiences.refused + new.refused
                            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS new (listed, refused, id)
                            WHERE audiences.id = new.id""",
    Write.STAND_ALL: """UPDATE devices SET standing = new.standing
                        FROM unnest($1::bigint[], $2::bigint[]) AS new (standing, audience)
                        WHERE devices.audience = new.audience AND devices.standing <> new.standing""",
    Write.STAND: """UPDATE devices SET standing = new.standing
                    FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS new (standing, audience, mark)
                    WHERE devices.audience = new.audience AND devices.mark = new.mark""",
    Write.ANSWER: """UPDATE devices SET standing = new.standing,
                       extra_ms = coalesce(nullif(devices.extra_ms, 0), new.extra_ms)
                     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])
                       AS new (standing, extra_ms, audience, mark)
                     WHERE devices.audience = new.audience AND devices.mark = new.mark AND devices.standing = 2""",
    Write.UNLIST: "UPDATE devices SET standing = 0 WHERE audience = ANY($1::bigint[]) AND standing = 2",
    Write.DROP_UNWANTED: "DELETE FROM devices WHERE audience = ANY($1::bigint[]) AND wanted <= 0",
    Write.DROP_ERASABLE: f"DELETE FROM devices WHERE audience = ANY($1::bigint[]) AND {ERASABLE}",
    Write.EXTRA_SENT: """UPDATE devices SET extra = CASE extra_sent WHEN 0 THEN extra END, extra_ms = new.extra_ms,
                           extra_sent = 1 - extra_sent
                         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS new (extra_ms, audience, mark)
                         WHERE devices.audience = new.audience AND devices.mark = new.mark""",
    Write.EXTRA_DONE: """UPDATE devices SET extra = NULL, extra_sent = 0
                         FROM unnest($1::bigint[], $2::bytea[]) AS new (audience, mark)
                         WHERE devices.audience = new.audience AND devices.mark = new.mark""",
    Write.FLOOR: """UPDATE audiences SET floor_ms = greatest(floor_ms, until_ms)
                    FROM unnest($1::bigint[], $2::bigint[]) AS new (until_ms, id) WHERE audiences.id = new.id""",
    Write.DROP_RUNS: """DELETE FROM audience_runs USING unnest($1::bigint[], $2::bigint[]) AS old (audience, until_ms)
                        WHERE audience_runs.audience = old.audience AND ended_ms <= old.until_ms""",
    Write.DROP_FORMER: """DELETE FROM members USING unnest($1::bigint[], $2::bigint[]) AS old (audience, until_ms)
                          WHERE members.audience = old.audience AND wanted = 0 AND said_ms <= old.until_ms""",
    Write.DROP_AUDIENCE: "DELETE FROM audiences WHERE id = ANY($1::bigint[])",
    Write.DROP_ALL_MEMBERS: "DELETE FROM members WHERE audience = ANY($1::bigint[])",
    Write.DROP_ALL_DEVICES: "DELETE FROM devices WHERE audience = ANY($1::bigint[])",
    Write.DROP_ALL_RUNS: "DELETE FROM audience_runs WHERE audience = ANY($1::bigint[])",
}
