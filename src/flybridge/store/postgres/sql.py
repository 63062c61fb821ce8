"""PostgreSQL's text for every statement of `store.core.tables`, for 14 and newer.

A write runs once for all its rows, as one array per column. Rows are taken in the order of their key, and what is
changed by many is locked before it is read, so that two transactions never wait for each other in a circle.
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.core.queries import LEASED, RECEIPT, reads
from flybridge.store.core.tables import Read, Write
from flybridge.store.events import MOST_ATTEMPTS
from flybridge.store.postgres.audience_sql import WRITES as AUDIENCE_WRITES

SHARD: Final = "current_setting('flybridge.shard')::integer"
WAITING: Final = """SELECT holds.id, keys, cell, lane, event_ms, holds.received_ms, fallback, media_source, key_kinds
                    FROM holds JOIN ledger ON ledger.id = holds.id"""
STANDING: Final = """(SELECT id, app, day, source, outcome, reason,
                             (cells.n + coalesce(t.n, 0))::bigint AS n,
                             (cells.pruned + coalesce(t.pruned, 0))::bigint AS pruned
                      FROM cells LEFT JOIN (SELECT cell, sum(n) AS n, sum(pruned) AS pruned FROM tallies
                                            GROUP BY cell) t ON t.cell = cells.id) AS standing"""
OWNERS: Final = "SELECT id AS line FROM holds UNION ALL SELECT line FROM deliveries UNION ALL SELECT id FROM dead"
IN_FLIGHT: Final = "SELECT one.value::bigint FROM bundles, json_array_elements_text(in_flight::json) AS one (value)"
SERIES: Final = "(SELECT generate_series(-1, 90)::bigint AS h) AS series"

READS: Final[Mapping[Read, str]] = {
    **reads(STANDING, "holds", SERIES, IN_FLIGHT),
    Read.WAITING: f"{WAITING} WHERE holds.id = ANY($1::bigint[]) ORDER BY holds.id FOR UPDATE OF holds",
    Read.OVER: f"{WAITING} WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE OF holds SKIP LOCKED",
    Read.LAPSED: f"""{LEASED} owner IS NOT NULL AND (leased_until_ms <= $1 OR leased_until_ms > $2)
                  FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.RECEIPTS: f"{RECEIPT} ORDER BY made_ms DESC, number DESC LIMIT $1",
    Read.RECEIPTS_OF_KEYS: f"{RECEIPT} WHERE keys = $1 ORDER BY made_ms DESC, number DESC LIMIT $2",
    # The oldest first, and those of the page before are gone: it does not matter after which key.
    Read.OLD_SEEN: """SELECT key, until_ms FROM seen
                      WHERE $1::bytea IS NOT NULL AND until_ms <= $2 ORDER BY until_ms LIMIT $3""",
    Read.SEALED: """(SELECT sealed FROM items ORDER BY id DESC LIMIT $1) UNION ALL
                    (SELECT sealed FROM messages ORDER BY id DESC LIMIT $1) UNION ALL
                    (SELECT sealed FROM sightings ORDER BY key LIMIT $1)""",
    # A lane whose own row is damaged is listed, too.
    Read.DEPTHS: """SELECT coalesce(app, '?'), coalesce(endpoint, '?'),
                           count(*) FILTER (WHERE owner IS NULL AND due_ms <= $1),
                           count(*) FILTER (WHERE owner IS NULL AND due_ms > $1),
                           coalesce(sum(n) FILTER (WHERE owner IS NOT NULL), 0)::bigint,
                           coalesce(min(due_ms) FILTER (WHERE owner IS NULL AND due_ms <= $1), 0)
                    FROM (SELECT lane, owner, due_ms, 1 AS n FROM deliveries
                          UNION ALL SELECT lane, owner, due_ms, n FROM bundles) AS all_of_them
                    LEFT JOIN lanes ON lanes.id = lane GROUP BY app, endpoint
                    ORDER BY app COLLATE "C", endpoint COLLATE "C" """,
    Read.HOLDS: """SELECT holds.id, receipt, app, event_type, media_source, key_kinds, holds.received_ms, event_ms,
                          expires_ms
                   FROM holds JOIN ledger ON ledger.id = holds.id JOIN lanes ON lanes.id = lane
                   WHERE ($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR media_source = $2)
                     AND holds.id > $3 ORDER BY holds.id LIMIT $4""",
    Read.UNNEEDED_ITEMS: """SELECT count(*) FROM items
                         WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = items.id)
                           AND NOT EXISTS (SELECT 1 FROM deliveries WHERE line = items.id)
                           AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.id = items.id)""",
    Read.MISSING_ITEMS: f"""SELECT count(*) FROM ({OWNERS}) owners
                         WHERE NOT EXISTS (SELECT 1 FROM items WHERE items.id = owners.line)""",
}

WRITES: Final[Mapping[Write, str]] = {
    **AUDIENCE_WRITES,
    Write.STATE: """INSERT INTO state (name, value) SELECT * FROM unnest($1::text[], $2::bytea[]) AS new (name)
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value""",
    Write.DROP_STATE: "DELETE FROM state WHERE name = ANY($1::text[])",
    Write.TRAIL: """INSERT INTO audit_trail
                      (number, at_ms, actor, address, action, target, detail, outcome, chain)
                    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                                         $7::text[], $8::text[], $9::bytea[])""",
    Write.LEDGER_ROWS: """INSERT INTO ledger
                      (receipt, cell, insert_id, received_ms, changed_ms, id, digest, person, performance, uncertain)
                    SELECT *, 0 FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[],
                                            $6::bigint[], $7::bytea[], $8::bigint[], $9::bigint[]) AS new (receipt)
                    ORDER BY receipt COLLATE "C" """,
    Write.REFILE: """UPDATE ledger SET insert_id = new.insert_id, changed_ms = new.changed_ms, person = new.person,
                         performance = new.performance
                     FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                       AS new (insert_id, changed_ms, person, performance, id)
                     WHERE ledger.id = new.id""",
    Write.MOVE: """UPDATE ledger SET cell = new.cell, changed_ms = new.changed_ms
                   FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS new (cell, changed_ms, id)
                   WHERE ledger.id = new.id""",
    Write.UNCERTAIN: """UPDATE ledger SET uncertain = uncertain + more
                    FROM unnest($1::bigint[], $2::bigint[]) AS new (more, id) WHERE ledger.id = new.id""",
    Write.ANONYMISE: "UPDATE ledger SET digest = '', insert_id = '', person = NULL WHERE id = ANY($1::bigint[])",
    Write.DROP_LEDGER_ROWS: "DELETE FROM ledger WHERE id = ANY($1::bigint[])",
    Write.COUNT: f"""INSERT INTO tallies (cell, shard, n, pruned)
                     SELECT cell, {SHARD}, n, 0 FROM unnest($1::bigint[], $2::bigint[]) AS new (n, cell) ORDER BY cell
                     ON CONFLICT (cell, shard) DO UPDATE SET n = tallies.n + excluded.n""",
    Write.COUNT_PRUNED: f"""INSERT INTO tallies (cell, shard, n, pruned)
                            SELECT cell, {SHARD}, 0, n FROM unnest($1::bigint[], $2::bigint[]) AS new (n, cell)
                            ORDER BY cell
                            ON CONFLICT (cell, shard) DO UPDATE SET pruned = tallies.pruned + excluded.pruned""",
    # A key that another transaction has added meanwhile stays as it is. The count is wrong then, and this is repeated.
    Write.SEEN: """INSERT INTO seen (key, until_ms, occurrences)
                   SELECT key, until_ms, occurrences
                   FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[])
                     AS new (key, until_ms, occurrences, now_ms)
                   ORDER BY key
                   ON CONFLICT (key) DO UPDATE
                   SET until_ms = excluded.until_ms, occurrences = excluded.occurrences
                   WHERE seen.until_ms <= ($4::bigint[])[1]""",
    Write.SEEN_MORE: """UPDATE seen SET until_ms = greatest(seen.until_ms, new.until_ms), occurrences = new.occurrences
                        FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])
                          AS new (until_ms, occurrences, before, key)
                        WHERE seen.key = new.key AND seen.occurrences IS NOT DISTINCT FROM new.before""",
    Write.DROP_SEEN: """DELETE FROM seen USING unnest($1::bytea[], $2::bigint[]) AS old (key, until_ms)
                        WHERE seen.key = old.key AND seen.until_ms <= old.until_ms""",
    Write.FORGET_SEEN: "DELETE FROM seen WHERE key = ANY($1::bytea[])",
    Write.ITEMS: "INSERT INTO items (id, sealed) SELECT * FROM unnest($1::bigint[], $2::bytea[])",
    Write.KEEP_WHO: """UPDATE items SET who = given.who FROM deliveries AS given
                       WHERE given.id = ANY($1::bigint[]) AND given.who IS NOT NULL AND items.id = given.line""",
    Write.DROP_ITEMS: "DELETE FROM items WHERE id = ANY($1::bigint[])",
    Write.DELIVERIES: """INSERT INTO deliveries (id, line, lane, received_ms, due_ms, who, owner,
                                                 leased_until_ms)
                         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                                              $6::bytea[], $7::text[], $8::bigint[])""",
    Write.BUNDLES: """INSERT INTO bundles
                        (id, last, lane, owner, leased_until_ms, due_ms, n, in_flight, lines, packed)
                      SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[],
                                           $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::bytea[])""",
    Write.FEWER_IN_FLIGHT: """UPDATE bundles SET n = new.n, in_flight = new.in_flight
                              FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (n, in_flight, id)
                              WHERE bundles.id = new.id""",
    Write.DROP_BUNDLES: "DELETE FROM bundles WHERE id = ANY($1::bigint[])",
    Write.REDELIVER: """INSERT INTO deliveries (id, line, lane, received_ms, due_ms, uncertain)
                        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                                             $6::bigint[])""",
    Write.LEASE: """UPDATE deliveries SET owner = new.owner, leased_until_ms = new.until_ms
                    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (owner, until_ms, id)
                    WHERE deliveries.id = new.id""",
    Write.HASTEN: """UPDATE deliveries SET due_ms = new.now_ms
                     FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (now_ms, app, endpoint)
                     WHERE owner IS NULL AND due_ms > new.now_ms AND lane = (
                       SELECT id FROM lanes WHERE lanes.app = new.app AND lanes.endpoint = new.endpoint)""",
    Write.BEGIN: "UPDATE deliveries SET begun = 1 WHERE id = ANY($1::bigint[])",
    Write.AGAIN: """UPDATE deliveries
                    SET owner = NULL, begun = 0, due_ms = new.due_ms, tries = new.tries, split = new.split,
                        uncertain = uncertain + new.more
                    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                      AS new (due_ms, tries, split, more, id)
                    WHERE deliveries.id = new.id""",
    Write.RETURN: """UPDATE deliveries SET owner = NULL, tries = tries + begun, uncertain = uncertain + begun, begun = 0
                     WHERE id = ANY($1::bigint[])""",
    Write.DROP_DELIVERIES: "DELETE FROM deliveries WHERE id = ANY($1::bigint[])",
    Write.ATTEMPTS: """INSERT INTO attempts (line, id, delivery, lane, at_ms, status, reason, words)
                       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                                            $6::bigint[], $7::text[], $8::bytea[])""",
    Write.TRIM_ATTEMPTS: f"""DELETE FROM attempts USING (
                               SELECT line, (SELECT id FROM attempts WHERE attempts.line = old.line ORDER BY id DESC
                                             LIMIT 1 OFFSET {MOST_ATTEMPTS}) AS last
                               FROM unnest($1::bigint[]) AS old (line)) AS old
                             WHERE attempts.line = old.line AND id <= last""",
    Write.DROP_ATTEMPTS: "DELETE FROM attempts WHERE line = ANY($1::bigint[])",
    Write.MESSAGES: """INSERT INTO messages (id, kept_ms, sealed)
                       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])""",
    Write.DROP_MESSAGES: "DELETE FROM messages WHERE id = ANY($1::bigint[])",
    Write.HOLDS: """INSERT INTO holds
                      (id, lane, event_type, media_source, key_kinds, keys, received_ms, event_ms, expires_ms, fallback)
                    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                                         $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[])""",
    Write.HOLD_KEYS: "INSERT INTO hold_keys (key, hold) SELECT * FROM unnest($1::bytea[], $2::bigint[])",
    Write.KEYS_OF_HOLD: """UPDATE holds SET keys = new.keys FROM unnest($1::bytea[], $2::bigint[]) AS new (keys, id)
                           WHERE holds.id = new.id""",
    Write.DROP_HOLDS: "DELETE FROM holds WHERE id = ANY($1::bigint[])",
    Write.DROP_HOLD_KEYS: """DELETE FROM hold_keys USING unnest($1::bytea[], $2::bigint[]) AS old (key, hold)
                             WHERE hold_keys.key = old.key AND hold_keys.hold = old.hold""",
    Write.HOLD_COUNTS: f"""INSERT INTO hold_counts (lane, media_source, key_kinds, hour, n, shard)
                           SELECT *, {SHARD}
                           FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
                             AS new (lane, media_source, key_kinds, hour, n)
                           ORDER BY 1, 2, 3, 4
                           ON CONFLICT (lane, hour, cell_of(media_source, key_kinds), shard) DO UPDATE
                           SET n = hold_counts.n + excluded.n""",
    Write.DROP_HOLD_COUNTS: f"""DELETE FROM hold_counts
                                USING unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
                                  AS old (lane, media_source, key_kinds, hour)
                                WHERE hold_counts.lane = old.lane AND hold_counts.hour = old.hour
                                  AND cell_of(hold_counts.media_source, hold_counts.key_kinds)
                                      = cell_of(old.media_source, old.key_kinds)
                                  AND shard = {SHARD} AND n = 0""",
    Write.DEAD: """INSERT INTO dead (id, lane, stage, media, reason, detail, remedy, version, died_ms, ordinal,
                                     newest)
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                                        $7::text[], $8::text[], $9::bigint[], $10::bigint[],
                                        $11::bigint[])""",
    Write.DROP_DEAD: "DELETE FROM dead WHERE id = ANY($1::bigint[])",
    Write.SIGHTINGS: """INSERT INTO sightings (key, app, seen_ms, sealed)
                        SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::bytea[]) AS new (key, app)
                        ORDER BY key, app
                        ON CONFLICT (key, app) DO UPDATE SET seen_ms = excluded.seen_ms, sealed = excluded.sealed""",
    Write.SEEN_AGAIN: """UPDATE sightings SET seen_ms = new.seen_ms
                         FROM unnest($1::bigint[], $2::bytea[], $3::text[]) AS new (seen_ms, key, app)
                         WHERE sightings.key = new.key AND sightings.app = new.app""",
    Write.DROP_SIGHTINGS: "DELETE FROM sightings WHERE key = ANY($1::bytea[])",
    Write.PEOPLE: """INSERT INTO people (key, person)
                     SELECT * FROM unnest($1::bytea[], $2::bigint[]) AS new (key, person) ORDER BY 1, 2
                     ON CONFLICT DO NOTHING""",
    Write.DROP_PEOPLE: "DELETE FROM people WHERE person = ANY($1::bigint[])",
    Write.DROP_ORPHANS: """DELETE FROM people
                          WHERE person = ANY($1::bigint[])
                            AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = people.person)
                            AND NOT EXISTS (SELECT 1 FROM sightings WHERE sightings.key = people.key)""",
    Write.TOMBSTONES: """INSERT INTO tombstones (key, since_ms) SELECT * FROM unnest($1::bytea[], $2::bigint[])
                         ON CONFLICT (key) DO UPDATE SET since_ms = greatest(tombstones.since_ms, excluded.since_ms)""",
    Write.RECEIPTS: """INSERT INTO receipts (id, made_ms, keys, removed, steps)
                       SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])""",
    Write.RECEIPT_REMOVED: """UPDATE receipts SET removed = new.removed
                              FROM unnest($1::bytea[], $2::text[]) AS new (removed, id) WHERE receipts.id = new.id""",
    Write.RECEIPT_STEPS: """UPDATE receipts SET steps = new.steps
                            FROM unnest($1::bytea[], $2::text[]) AS new (steps, id) WHERE receipts.id = new.id""",
    Write.RESTRICTED: f"""INSERT INTO restricted_counts (app, day, media_source, policy, n, shard)
                          SELECT *, {SHARD} FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],
                                                        $5::bigint[]) AS new
                          ORDER BY 1, 2, 3, 4
                          ON CONFLICT (app, day, media_source, policy, shard) DO UPDATE
                          SET n = restricted_counts.n + excluded.n""",
    Write.INSTALLATIONS: """INSERT INTO installations
                              (key, cell, day, install_s, touch_s, paid_day, reached, days)
                            SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                                                 $6::bigint[], $7::bigint[], $8::bytea[]) AS new ORDER BY 1
                            ON CONFLICT (key) DO UPDATE
                            SET cell = excluded.cell, day = excluded.day, install_s = excluded.install_s,
                                touch_s = excluded.touch_s, paid_day = excluded.paid_day, reached = excluded.reached,
                                days = excluded.days""",
    Write.DROP_INSTALLATIONS: "DELETE FROM installations WHERE key = ANY($1::bytea[])",
    Write.PERFORMANCE: f"""INSERT INTO performance
                             (cell, n, revenue, not_converted, reached, entered, deleted, shard)
                           SELECT *, {SHARD} FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                                         $5::bigint[], $6::bigint[], $7::bigint[]) AS new
                           ORDER BY 1
                           ON CONFLICT (cell, shard) DO UPDATE
                           SET n = performance.n + excluded.n, revenue = performance.revenue + excluded.revenue,
                               not_converted = performance.not_converted + excluded.not_converted,
                               reached = performance.reached + excluded.reached,
                               entered = performance.entered + excluded.entered,
                               deleted = performance.deleted + excluded.deleted""",
    Write.COHORTS: f"""INSERT INTO install_cohorts
                         (cell, day_offset, active, payers, events, revenue, not_converted, shard)
                       SELECT *, {SHARD} FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                                     $5::bigint[], $6::bigint[], $7::bigint[]) AS new
                       ORDER BY 1, 2
                       ON CONFLICT (cell, day_offset, shard) DO UPDATE
                       SET active = install_cohorts.active + excluded.active,
                           payers = install_cohorts.payers + excluded.payers,
                           events = install_cohorts.events + excluded.events,
                           revenue = install_cohorts.revenue + excluded.revenue,
                           not_converted = install_cohorts.not_converted + excluded.not_converted""",
    Write.DROP_COSTS: """DELETE FROM costs USING unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[],
                                                       $5::text[])
                           AS old (app, origin, first, last, media_source)
                         WHERE costs.app = old.app AND costs.origin = old.origin
                           AND costs.day BETWEEN old.first AND old.last
                           AND (old.media_source IS NULL OR costs.media_source = old.media_source)""",
    Write.COSTS: """INSERT INTO costs (app, origin, precedence, day, media_source, campaign, country,
                                       currency, spend, clicks, impressions)
                    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                                         $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[])""",
    Write.DAY_REPORTS: """INSERT INTO day_reports (app, kind, day, made_ms, body)
                           SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[]) AS new
                           ORDER BY 1, 2, 3
                           ON CONFLICT (app, kind, day)
                           DO UPDATE SET made_ms = excluded.made_ms, body = excluded.body""",
    Write.EXPIRED_KINDS: """INSERT INTO expired_kinds (cell, key_kinds, n)
                            SELECT performance, key_kinds, count(*)
                            FROM unnest($1::bigint[], $2::text[]) AS new (line, key_kinds)
                            JOIN ledger ON ledger.id = line
                            WHERE performance IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
                            ON CONFLICT (cell, key_kinds) DO UPDATE SET n = expired_kinds.n + excluded.n""",
    Write.DROP_DAY_REPORTS: """DELETE FROM day_reports USING unnest($1::text[], $2::bigint[]) AS old (kind, day)
                                WHERE day_reports.kind = old.kind AND day_reports.day < old.day""",
    Write.COVERAGE: f"""INSERT INTO coverage (day, app, platform, app_version, media_source, kinds, n, installs,
                                              shard)
                        SELECT *, {SHARD} FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                                      $6::text[], $7::bigint[], $8::bigint[]) AS new
                        ORDER BY 1, 2, 3, 4, 5, 6
                        ON CONFLICT (day, cell_of(app, platform, app_version, media_source, kinds), shard) DO UPDATE
                        SET n = coverage.n + excluded.n, installs = coverage.installs + excluded.installs""",
    Write.DROP_COVERAGE: "DELETE FROM coverage WHERE day < ANY($1::text[])",
    Write.SIGHTED: f"""INSERT INTO sighted (app, kind, n, last_ms, shard)
                       SELECT *, {SHARD} FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS new
                       ORDER BY 1, 2
                       ON CONFLICT ON CONSTRAINT sighted_pkey DO UPDATE
                       SET n = sighted.n + excluded.n, last_ms = greatest(sighted.last_ms, excluded.last_ms)""",
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
