"""What the store reads about audiences, written as in `store.core.queries`, and the pieces of what it writes."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.records import Action
from flybridge.store.core.tables import Read

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
