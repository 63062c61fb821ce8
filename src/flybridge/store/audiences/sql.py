"""What the store reads about audiences, and writes, as in `store.core.queries` and `store.core.writes`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.records import Action
from flybridge.store.core.statements import changed, deleted, inserted, replaced
from flybridge.store.core.tables import Read, Write

COUNTED: Final = 1_000_000
"""So many devices that wait are counted; more are shown as this many and one."""

DUE: Final[Mapping[Action, str]] = {
    Action.ADD: "wanted > 0 AND standing IN (0, 2)",
    Action.REMOVE: "wanted <= 0 AND standing IN (1, 2)",
}
"""What is to be done, in the words of the indexes that hold it."""

CLAIMED: Final = """id, app, name, owner, people, tries, max_devices, snapshot_ms, title, request_id, requested_ms,
             next_ms"""
"""What a claim says, in the order of its fields."""

COUNTERS: Final = """
    SELECT name,
      people, (SELECT count(*) FROM members WHERE audience = a.id AND wanted = 1),
      lacking, (SELECT count(*) FROM members WHERE audience = a.id AND wanted = 1 AND lack > 0),
      listed, (SELECT count(*) FROM devices WHERE audience = a.id AND standing = 1),
      refused, (SELECT count(*) FROM devices WHERE audience = a.id AND standing = 3)
    FROM audiences a"""
WANTING: Final = """
    WITH named AS (SELECT audience, mark, count(*) AS n FROM members WHERE wanted = 1 AND mark IS NOT NULL
                   GROUP BY 1, 2)
    SELECT name, (SELECT count(*) FROM named JOIN devices d USING (audience, mark)
                  WHERE audience = a.id AND d.wanted = n),
      (SELECT count(*) FROM devices WHERE audience = a.id AND wanted > 0),
      (SELECT count(*) FROM named WHERE audience = a.id)
    FROM audiences a"""
MEMBER: Final = "SELECT audience, person, wanted, mark, lack, extra FROM members WHERE"
ERASABLE: Final = "devices.wanted <= 0 AND devices.standing IN (0, 3) AND devices.extra IS NULL"
"""A device that no member has, that AppsFlyer does not list, and about which nothing is to be sent."""

STANDINGS: Final = f"""
    SELECT app, name, cohort, title, people, lacking, listed, refused,
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.ADD]}
                             LIMIT {COUNTED + 1}) AS adding),
      (SELECT count(*) FROM (SELECT 1 FROM devices WHERE audience = a.id AND {DUE[Action.REMOVE]}
                             LIMIT {COUNTED + 1}) AS removing),
      held, tries, max_devices, snapshot_ms, ran_ms, complete_ms, next_ms,
      owner IS NOT NULL AND leased_until_ms > $1::bigint
    FROM audiences a"""


def due(action: Action, index: str = "") -> str:
    """Return the statement that reads what is to be done, by an index that is named."""
    return f"""SELECT mark, sealed, standing FROM devices {index} WHERE audience = $1 AND mark > $2 AND {DUE[action]}
               ORDER BY mark LIMIT $3"""


READS: Final[Mapping[Read, str]] = {
    Read.AUDIENCE: "SELECT id, floor_ms FROM audiences WHERE app = $1 AND name = $2 FOR UPDATE",
    Read.MEMBERS: """SELECT person, wanted, said_ms, mark, lack, extra FROM members
                     WHERE audience = $1 AND person = ANY($2::bytea[])""",
    Read.DEVICES: "SELECT mark FROM devices WHERE audience = $1 AND mark = ANY($2::bytea[])",
    Read.MEMBERS_OF_PERSONS: f"{MEMBER} person = ANY($1::bytea[])",
    Read.MEMBERS_OF_MARKS: f"{MEMBER} mark = ANY($1::bytea[])",
    Read.DEVICES_OF_MARKS: "SELECT audience, mark FROM devices WHERE mark = ANY($1::bytea[])",
    Read.TARGET: "SELECT id, target FROM audiences WHERE app = $1 AND name = $2 FOR UPDATE",
    Read.CLAIM: f"SELECT {CLAIMED} FROM audiences WHERE app = $1 AND name = $2",
    Read.OWNER: "SELECT owner FROM audiences WHERE id = $1 FOR UPDATE",
    Read.AUDIENCE_IDS: "SELECT id FROM audiences ORDER BY id",
    Read.STANDINGS: f'{STANDINGS} ORDER BY app COLLATE "C", name COLLATE "C"',
    Read.DUE_AUDIENCES: f"""{STANDINGS} WHERE next_ms <= $1::bigint
                            AND (owner IS NULL OR leased_until_ms <= $1::bigint) ORDER BY next_ms, id""",
    Read.TO_ADD: due(Action.ADD),
    Read.TO_REMOVE: due(Action.REMOVE),
    Read.EXTRAS: """SELECT mark, sealed, extra FROM devices WHERE audience = $1 AND mark > $2 AND extra IS NOT NULL
                    AND extra_ms BETWEEN 1 AND $3::bigint ORDER BY mark LIMIT $4""",
    Read.EXTRAS_OF: """SELECT mark, extra FROM devices
                       WHERE extra IS NOT NULL AND audience = $1 AND mark = ANY($2::bytea[])""",
    Read.EXTRAS_DUE: "SELECT min(extra_ms) FROM devices WHERE audience = $1 AND extra IS NOT NULL AND extra_ms > 0",
    Read.IMPORT_KEYS: "SELECT app, name, import_key FROM audiences WHERE import_key IS NOT NULL",
    Read.RUNS: """SELECT app, name, told FROM audience_runs r JOIN audiences a ON a.id = r.audience
                  WHERE ($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR name = $2)
                  ORDER BY r.ended_ms DESC, r.id DESC LIMIT $3""",
    Read.LACKING: """SELECT who, lack FROM members WHERE wanted = 1 AND lack > 0
                     AND audience = (SELECT id FROM audiences WHERE app = $1 AND name = $2) LIMIT $3""",
    Read.AUDIENCE_COUNTERS: COUNTERS,
    Read.WANTED_DEVICES: WANTING,
}

WRITES: Final[Mapping[Write, str]] = {
    Write.AUDIENCE: """UPDATE audiences SET people = audiences.people + new.people,
                         lacking = audiences.lacking + new.lacking,
                         revision = revision + 1, title = coalesce(nullif(new.title, ''), audiences.title)
                       FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
                         AS new (people, lacking, title, id) WHERE audiences.id = new.id""",
    Write.AUDIENCES_CHANGED: "UPDATE audiences SET revision = revision + 1 WHERE id > ALL($1::bigint[])",
    Write.AUDIENCE_AT_ONCE: "UPDATE audiences SET next_ms = -1 WHERE id = ANY($1::bigint[])",
    Write.MEMBERS: replaced(
        "members", "audience, person bytea", "wanted, said_ms, mark bytea, lack, who bytea, extra bytea"
    ),
    Write.DROP_MEMBERS: deleted("members", "audience, person bytea"),
    Write.WANT_DEVICES: """INSERT INTO devices (audience, mark, sealed, wanted, extra, standing)
                           SELECT *, 0 FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[])
                           ORDER BY 1, 2
                           ON CONFLICT (audience, mark) DO UPDATE SET wanted = devices.wanted + excluded.wanted,
                             extra = coalesce(excluded.extra, devices.extra)""",
    Write.UNWANT_DEVICES: """UPDATE devices SET wanted = wanted - new.less,
                               extra = CASE WHEN wanted > new.less THEN extra END
                             FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS new (less, audience, mark)
                             WHERE devices.audience = new.audience AND devices.mark = new.mark""",
    Write.TAKE_BACK: """UPDATE devices SET extra = new.extra, extra_ms = 1
                        FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS new (extra, audience, mark)
                        WHERE devices.audience = new.audience AND devices.mark = new.mark""",
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
    Write.RENEW: changed("audiences", "leased_until_ms", "id, owner text"),
    Write.FINISH: """UPDATE audiences SET owner = NULL, leased_until_ms = 0, tries = new.tries,
                       ran_ms = CASE new.ran WHEN 1 THEN new.ended_ms ELSE ran_ms END,
                       complete_ms = CASE new.done WHEN 1 THEN new.ended_ms ELSE complete_ms END,
                       next_ms = CASE WHEN audiences.next_ms < 0 THEN 0 ELSE new.next_ms END
                     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                 $7::text[]) AS new (tries, ran, ended_ms, done, next_ms, id, owner)
                     WHERE audiences.id = new.id AND audiences.owner = new.owner""",
    Write.RUN: inserted("audience_runs", "audience, began_ms, ended_ms, told bytea"),
    Write.LEARN: """UPDATE audiences SET max_devices = coalesce(nullif(new.max_devices, 0), audiences.max_devices),
                      title = coalesce(nullif(new.title, ''), audiences.title)
                    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (max_devices, title, id)
                    WHERE audiences.id = new.id""",
    Write.REQUESTED: changed("audiences", "request_id text, requested_ms", "id, owner text"),
    Write.IMPORT_KEY: changed("audiences", "import_key bytea", "app text, name text"),
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
    Write.STAND: changed("devices", "standing", "audience, mark bytea"),
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
    Write.FLOOR: """UPDATE audiences SET floor_ms = greatest(floor_ms, new.until_ms)
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
