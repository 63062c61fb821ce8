"""PostgreSQL's text for every statement of `store.core.tables`, for 14 and newer.

A write runs once for all its rows, as one array per column. Rows are taken in the order of their key, and what is
changed by many is locked before it is read, so that two transactions never wait for each other in a circle.
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.sql import ERASABLE
from flybridge.store.core.queries import LEASED, reads
from flybridge.store.core.tables import Read, Write
from flybridge.store.core.writes import WRITES as ALIKE
from flybridge.store.events import MOST_ATTEMPTS

SHARD: Final = "current_setting('flybridge.shard')::integer"
WAITING: Final = """SELECT holds.id, keys, cell, lane, event_ms, holds.received_ms, fallback, media_source, key_kinds
                    FROM holds JOIN ledger ON ledger.id = holds.id"""
STANDING: Final = """(SELECT id, app, day, source, outcome, reason,
                             (cells.n + coalesce(t.n, 0))::bigint AS n,
                             (cells.pruned + coalesce(t.pruned, 0))::bigint AS pruned
                      FROM cells LEFT JOIN (SELECT cell, sum(n) AS n, sum(pruned) AS pruned FROM tallies
                                            GROUP BY cell) t ON t.cell = cells.id) AS standing"""
COUNTED: Final = f"""INSERT INTO tallies (cell, shard, n, pruned)
                     SELECT cell, {SHARD}, {{}} FROM unnest($1::bigint[], $2::bigint[]) AS new (n, cell) ORDER BY cell
                     ON CONFLICT (cell, shard) DO UPDATE
                     SET n = tallies.n + excluded.n, pruned = tallies.pruned + excluded.pruned"""
IN_FLIGHT: Final = "SELECT one.value::bigint FROM bundles, json_array_elements_text(in_flight::json) AS one (value)"
SERIES: Final = "(SELECT generate_series(-1, 90)::bigint AS h) AS series"

READS: Final[Mapping[Read, str]] = {
    **reads(STANDING, "holds", SERIES, IN_FLIGHT, "number"),
    Read.WAITING: f"{WAITING} WHERE holds.id = ANY($1::bigint[]) ORDER BY holds.id FOR UPDATE OF holds",
    Read.OVER: f"{WAITING} WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE OF holds SKIP LOCKED",
    Read.LAPSED: f"""{LEASED} owner IS NOT NULL AND (leased_until_ms <= $1 OR leased_until_ms > $2)
                  FOR UPDATE OF deliveries SKIP LOCKED""",
    # The oldest first, and those of the page before are gone: it does not matter after which key.
    Read.OLD_SEEN: """SELECT key, until_ms FROM seen
                      WHERE $1::bytea IS NOT NULL AND until_ms <= $2 ORDER BY until_ms LIMIT $3""",
}

WRITES: Final[Mapping[Write, str]] = {
    **{write: sql.replace(":shard", SHARD) for write, sql in ALIKE.items()},
    Write.AUDIENCES: """INSERT INTO audiences (app, name, cohort, target)
                        SELECT app, name, '', '' FROM unnest($1::text[], $2::text[]) AS new (app, name)
                        ORDER BY app COLLATE "C", name COLLATE "C" ON CONFLICT DO NOTHING""",
    Write.UNCOUNT_DEVICES: f"""UPDATE audiences SET refused = refused - gone.n
                               FROM (SELECT devices.audience, count(*) AS n
                                     FROM devices JOIN unnest($1::bigint[], $2::bytea[], $3::bigint[])
                                       AS old (audience, mark, number) USING (audience, mark)
                                     WHERE devices.standing = 3 AND {ERASABLE} GROUP BY devices.audience) AS gone
                               WHERE audiences.id = gone.audience""",
    Write.ANONYMISE: "UPDATE ledger SET digest = '', insert_id = '', person = NULL WHERE id = ANY($1::bigint[])",
    Write.COUNT: COUNTED.format("n, 0"),
    Write.COUNT_PRUNED: COUNTED.format("0, n"),
    # A key that another transaction has added meanwhile stays as it is. The count is wrong then, and this is repeated.
    Write.SEEN: """INSERT INTO seen (key, until_ms, occurrences)
                   SELECT key, until_ms, occurrences
                   FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[])
                     AS new (key, until_ms, occurrences, now_ms)
                   ORDER BY key
                   ON CONFLICT (key) DO UPDATE
                   SET until_ms = excluded.until_ms, occurrences = excluded.occurrences
                   WHERE seen.until_ms <= ($4::bigint[])[1]""",
    Write.TRIM_ATTEMPTS: f"""DELETE FROM attempts USING (
                               SELECT line, (SELECT id FROM attempts WHERE attempts.line = old.line ORDER BY id DESC
                                             LIMIT 1 OFFSET {MOST_ATTEMPTS}) AS last
                               FROM unnest($1::bigint[]) AS old (line)) AS old
                             WHERE attempts.line = old.line AND id <= last""",
    Write.DROP_HOLD_COUNTS: f"""DELETE FROM hold_counts
                                USING unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
                                  AS old (lane, media_source, key_kinds, hour)
                                WHERE hold_counts.lane = old.lane AND hold_counts.hour = old.hour
                                  AND cell_of(hold_counts.media_source, hold_counts.key_kinds)
                                      = cell_of(old.media_source, old.key_kinds)
                                  AND shard = {SHARD} AND n = 0""",
    Write.EXPIRED_KINDS: """INSERT INTO expired_kinds (cell, key_kinds, n)
                            SELECT performance, key_kinds, count(*)
                            FROM unnest($1::bigint[], $2::text[]) AS new (line, key_kinds)
                            JOIN ledger ON ledger.id = line
                            WHERE performance IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
                            ON CONFLICT (cell, key_kinds) DO UPDATE SET n = expired_kinds.n + excluded.n""",
}

EXACT: Final = frozenset({Write.SEEN, Write.SEEN_MORE})
"""Writes that must change one row for each that is given: else another transaction was faster."""

# What else the store has to keep small, while no other transaction writes: hours of holds that are over, old tallies,
# and locks that were left.
FOLD: Final = (
    "DELETE FROM locks",
    "SET LOCAL enable_hashjoin = on",
    """DELETE FROM hold_counts USING (
         SELECT lane, media_source, key_kinds, hour FROM hold_counts GROUP BY 1, 2, 3, 4 HAVING sum(n) = 0) AS ended
       WHERE hold_counts.lane = ended.lane AND hold_counts.hour = ended.hour
         AND cell_of(hold_counts.media_source, hold_counts.key_kinds) = cell_of(ended.media_source, ended.key_kinds)""",
    """WITH old AS (
         DELETE FROM tallies WHERE cell IN (
           SELECT tallies.cell FROM tallies JOIN cells ON cells.id = tallies.cell
           WHERE day < $1 GROUP BY tallies.cell ORDER BY tallies.cell LIMIT 1000)
         RETURNING cell, n, pruned)
       UPDATE cells SET n = cells.n + folded.n, pruned = cells.pruned + folded.pruned
       FROM (SELECT cell, sum(n)::bigint AS n, sum(pruned)::bigint AS pruned FROM old GROUP BY cell) AS folded
       WHERE cells.id = folded.cell""",
    *(
        f"""WITH old AS (
             DELETE FROM {table} WHERE shard <> 0 AND cell IN (
               SELECT cell FROM {table} JOIN performance_cells ON performance_cells.id = cell
               WHERE shard <> 0 AND day < $1::date - date '1970-01-01' GROUP BY cell ORDER BY cell LIMIT 1000)
             RETURNING *)
           INSERT INTO {table} ({", ".join((*key, *sums))}, shard)
           SELECT {", ".join(key)}, {", ".join(f"sum({name})::bigint" for name in sums)}, 0 FROM old
           GROUP BY {", ".join(key)}
           ON CONFLICT ({", ".join(key)}, shard) DO UPDATE
           SET {", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)}"""
        for table, key, sums in (
            ("performance", ("cell",), ("n", "revenue", "not_converted", "reached", "entered", "deleted")),
            ("install_cohorts", ("cell", "day_offset"), ("active", "payers", "events", "revenue", "not_converted")),
        )
    ),
)
