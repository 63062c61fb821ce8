"""PostgreSQL's text for every statement of `store.core.tables`, for 14 and newer.

A write runs once for all its rows, as one array per column. Rows are taken in the order of their key, and what is
changed by many is locked before it is read, so that two transactions never wait for each other in a circle.
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.core.event_sql import event_queries
from flybridge.store.core.performance_sql import queries
from flybridge.store.core.tables import Read, Write
from flybridge.store.events import MOST_ATTEMPTS
from flybridge.store.postgres.audience_sql import READS as AUDIENCE_READS
from flybridge.store.postgres.audience_sql import WRITES as AUDIENCE_WRITES

SHARD: Final = "current_setting('flybridge.shard')::integer"
WAITING: Final = """SELECT holds.id, keys, cell, lane, event_ms, holds.received_ms, fallback, media_source, key_kinds
                    FROM holds JOIN ledger ON ledger.id = holds.id"""
DOUBT: Final = """SELECT deliveries.id, tries, uncertain, split, received_ms, sealed,
                         coalesce(deliveries.who, items.who)
                  FROM deliveries JOIN items ON items.id = line
                  WHERE lane = (SELECT id FROM lanes WHERE app = $1 AND endpoint = $2) AND"""
LEASED: Final = "SELECT deliveries.id, line, lane, cell, begun FROM deliveries JOIN ledger ON ledger.id = line WHERE"
LETTER: Final = """SELECT dead.id, receipt, app, source, media, stage, dead.reason, detail, remedy, sealed, who,
                          version, received_ms, died_ms, lane, dead.ordinal, dead.newest
                   FROM dead JOIN ledger ON ledger.id = dead.id JOIN cells ON cells.id = cell
                   JOIN items ON items.id = dead.id"""
CHOSEN: Final = "($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR dead.reason = $2)"
LINE: Final = "SELECT id, cell, insert_id, digest FROM ledger WHERE"
TRAIL: Final = "SELECT number, at_ms, actor, address, action, target, detail, outcome, chain FROM audit_trail"
RECEIPT: Final = "SELECT id, made_ms, keys, removed, steps FROM receipts"
STANDING: Final = """(SELECT id, app, day, source, outcome, reason,
                             (cells.n + coalesce(t.n, 0))::bigint AS n,
                             (cells.pruned + coalesce(t.pruned, 0))::bigint AS pruned
                      FROM cells LEFT JOIN (SELECT cell, sum(n) AS n, sum(pruned) AS pruned FROM tallies
                                            GROUP BY cell) t ON t.cell = cells.id) AS standing"""
OWNERS: Final = "SELECT id AS line FROM holds UNION ALL SELECT line FROM deliveries UNION ALL SELECT id FROM dead"


def _kept(table: str, line: str) -> str:
    return f"""SELECT coalesce(app, ''), coalesce(day, ''), coalesce(outcome, 'nowhere'),
                      count(*), count(DISTINCT {table}.{line})
               FROM {table} LEFT JOIN ledger ON ledger.id = {table}.{line} LEFT JOIN cells ON cells.id = cell
               GROUP BY 1, 2, 3"""


READS: Final[Mapping[Read, str]] = {
    **AUDIENCE_READS,
    **queries(
        "${}::bigint".format,
        "${}::text".format,
        "sum({})::bigint".format,
        lambda column, number: f"{column} = ANY(${number}::bigint[])",
        "(SELECT generate_series(-1, 90)::bigint AS h) AS series",
    ),
    Read.LEDGER_ROWS: "SELECT receipt, id, cell FROM ledger WHERE receipt = ANY($1::text[])",
    Read.DEAD_OF_RECEIPTS: """SELECT dead.id, cell FROM dead JOIN ledger ON ledger.id = dead.id
                        WHERE receipt = ANY($1::text[]) ORDER BY dead.id FOR UPDATE OF dead""",
    Read.SEEN: "SELECT key, occurrences FROM seen WHERE until_ms > $1 AND key = ANY($2::bytea[])",
    Read.TOMBSTONED: "SELECT 1 FROM tombstones LIMIT 1",
    Read.TOMBSTONES: "SELECT key, since_ms FROM tombstones WHERE key = ANY($1::bytea[])",
    Read.PERSONS: "SELECT key, min(person) FROM people WHERE key = ANY($1::bytea[]) GROUP BY key",
    Read.PEOPLE: "SELECT key, person FROM people WHERE person = ANY($1::bigint[])",
    Read.SIGHTINGS: "SELECT key, app, seen_ms, sealed FROM sightings WHERE key = ANY($1::bytea[])",
    Read.HOLDS_OF_KEYS: """SELECT hold FROM hold_keys JOIN holds ON holds.id = hold
                           WHERE expires_ms > $1 AND key = ANY($2::bytea[])""",
    Read.INSTALLATIONS: """SELECT key, cell, day, install_s, touch_s, paid_day, reached, days FROM installations
                           WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE""",
    Read.WAITING: f"{WAITING} WHERE holds.id = ANY($1::bigint[]) ORDER BY holds.id FOR UPDATE OF holds",
    Read.OVER: f"{WAITING} WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE OF holds SKIP LOCKED",
    Read.ATTEMPTS: """SELECT line, delivery, endpoint, at_ms, status, reason, words
                      FROM attempts LEFT JOIN lanes ON lanes.id = lane
                      WHERE line = ANY($1::bigint[]) ORDER BY line, attempts.id""",
    Read.ITEMS: "SELECT id, sealed, who FROM items WHERE id = ANY($1::bigint[])",
    Read.DUE: """SELECT deliveries.id, tries, uncertain, split, received_ms, sealed,
                        coalesce(deliveries.who, items.who)
                 FROM deliveries JOIN items ON items.id = line
                 WHERE lane = (SELECT id FROM lanes WHERE app = $1 AND endpoint = $2) AND owner IS NULL AND due_ms <= $3
                 ORDER BY due_ms, deliveries.id LIMIT $4 FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.OWNED: """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
                   WHERE owner = $1 AND deliveries.id = ANY($2::bigint[])
                   ORDER BY deliveries.id FOR UPDATE OF deliveries""",
    Read.LAPSED: f"""{LEASED} owner IS NOT NULL AND (leased_until_ms <= $1 OR leased_until_ms > $2)
                  FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.LEASED_BY: f"{LEASED} owner IS NOT NULL AND owner = $1 FOR UPDATE OF deliveries SKIP LOCKED",
    Read.UNLEASED: """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
                      WHERE owner IS NULL AND line = ANY($1::bigint[])
                      ORDER BY deliveries.id FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.IN_DOUBT: f"""{DOUBT} uncertain > 0 UNION ALL {DOUBT} owner IS NOT NULL AND begun = 1 AND uncertain = 0
                       LIMIT $3""",
    Read.DOUBTED: """SELECT deliveries.id, line, cell, deliveries.uncertain
                     FROM deliveries JOIN ledger ON ledger.id = line
                     WHERE (begun = 1 OR deliveries.uncertain > 0) AND deliveries.id = ANY($1::bigint[])
                     ORDER BY deliveries.id FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.QUEUED: """SELECT line, due_ms, owner IS NOT NULL, tries, uncertain, received_ms, sealed,
                           coalesce(deliveries.who, items.who)
                    FROM deliveries JOIN items ON items.id = line
                    WHERE lane = (SELECT id FROM lanes WHERE app = $1 AND endpoint = $2)
                    ORDER BY due_ms, deliveries.id LIMIT $3""",
    Read.DEAD_LETTERS: f"{LETTER} WHERE {CHOSEN} ORDER BY died_ms DESC, dead.id DESC LIMIT $3",
    Read.DEAD_BY_ID: f"{LETTER} WHERE {CHOSEN} AND dead.id = ANY($3::bigint[])",
    Read.DEAD_IDS: f"""SELECT dead.id FROM dead JOIN ledger ON ledger.id = dead.id JOIN cells ON cells.id = cell
                         WHERE {CHOSEN} AND dead.id > $3 ORDER BY dead.id LIMIT $4""",
    Read.DEAD_IDS_AMONG: f"""SELECT dead.id FROM dead JOIN ledger ON ledger.id = dead.id JOIN cells ON cells.id = cell
                         WHERE {CHOSEN} AND dead.id = ANY($3::bigint[])""",
    Read.DEAD_UNMAPPED: f"{LETTER} WHERE lane IS NULL AND dead.id = ANY($1::bigint[])",
    Read.DEAD_UNDELIVERED: """SELECT dead.id, lane, cell, received_ms, uncertain
                          FROM dead JOIN ledger ON ledger.id = dead.id
                          WHERE lane IS NOT NULL AND dead.id = ANY($1::bigint[])
                          ORDER BY dead.id FOR UPDATE OF dead""",
    Read.PERSONS_OF_KEY: "SELECT person FROM people WHERE key = $1 LIMIT $2",
    Read.KEYS_OF_PERSONS: "SELECT key FROM people WHERE person = ANY($1::bigint[])",
    Read.HOLDS_OF_ANY_KEY: "SELECT hold FROM hold_keys WHERE key = ANY($1::bytea[])",
    Read.ROWS_OF_PERSONS: f"{LINE} person = ANY($1::bigint[])",
    Read.ROWS_BY_ID: f"{LINE} id = ANY($1::bigint[])",
    Read.DELIVERIES_OF_ROWS: "SELECT id FROM deliveries WHERE line = ANY($1::bigint[])",
    Read.RECEIPT: f"{RECEIPT} WHERE id = $1",
    Read.RECEIPTS: f"{RECEIPT} ORDER BY made_ms DESC, number DESC LIMIT $1",
    Read.RECEIPTS_OF_KEYS: f"{RECEIPT} WHERE keys = $1 ORDER BY made_ms DESC, number DESC LIMIT $2",
    Read.ROWS_AFTER: """SELECT id, cell, performance, changed_ms, received_ms FROM ledger
                        WHERE id > $1 ORDER BY id LIMIT $2""",
    Read.OLD_DEAD: """SELECT dead.id, cell, performance FROM dead JOIN ledger ON ledger.id = dead.id
                         WHERE died_ms <= $1 ORDER BY died_ms LIMIT $2 FOR UPDATE OF dead SKIP LOCKED""",
    Read.OLD_MESSAGES: "SELECT id FROM messages WHERE kept_ms <= $1 ORDER BY kept_ms LIMIT $2",
    # The oldest first, and those of the page before are gone: it does not matter after which key.
    Read.OLD_SEEN: """SELECT key, until_ms FROM seen
                      WHERE $1::bytea IS NOT NULL AND until_ms <= $2 ORDER BY until_ms LIMIT $3""",
    Read.INSTALLATIONS_AFTER: "SELECT key, day FROM installations WHERE key > $1 ORDER BY key LIMIT $2",
    Read.PERSONS_AFTER: """SELECT person, NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = page.person)
                             AND EXISTS (SELECT 1 FROM people WHERE people.person = page.person AND NOT EXISTS (
                                           SELECT 1 FROM sightings WHERE sightings.key = people.key))
                           FROM (SELECT DISTINCT person FROM people WHERE person > $1 ORDER BY person LIMIT $2) page
                           ORDER BY person""",
    Read.STATE: "SELECT value FROM state WHERE name = $1",
    Read.STATES: """SELECT name, value FROM state WHERE name COLLATE "C" >= $1 AND name COLLATE "C" < $2
                    ORDER BY name COLLATE "C" """,
    **event_queries("${}::bigint".format, "${}::text".format, "person = ANY($1::bigint[])"),
    Read.MESSAGE: "SELECT sealed FROM messages WHERE id = $1",
    Read.TRAIL_END: "SELECT number, chain FROM audit_trail ORDER BY number DESC LIMIT 1",
    Read.TRAIL: f"{TRAIL} WHERE number < $1 ORDER BY number DESC LIMIT $2",
    Read.TRAIL_AFTER: f"{TRAIL} WHERE number > $1 ORDER BY number LIMIT $2",
    Read.SEALED: """(SELECT sealed FROM items ORDER BY id DESC LIMIT $1) UNION ALL
                    (SELECT sealed FROM messages ORDER BY id DESC LIMIT $1) UNION ALL
                    (SELECT sealed FROM sightings ORDER BY key LIMIT $1)""",
    Read.COUNTS: f"SELECT app, day, source, outcome, reason, n FROM {STANDING} WHERE n <> 0 ORDER BY id",
    # A lane whose own row is damaged is listed, too.
    Read.DEPTHS: """SELECT coalesce(app, '?'), coalesce(endpoint, '?'),
                           count(*) FILTER (WHERE owner IS NULL AND due_ms <= $1),
                           count(*) FILTER (WHERE owner IS NULL AND due_ms > $1),
                           count(*) FILTER (WHERE owner IS NOT NULL),
                           coalesce(min(due_ms) FILTER (WHERE owner IS NULL AND due_ms <= $1), 0)
                    FROM deliveries LEFT JOIN lanes ON lanes.id = lane GROUP BY app, endpoint
                    ORDER BY app COLLATE "C", endpoint COLLATE "C" """,
    Read.LANES: """SELECT app, endpoint FROM lanes
                   WHERE EXISTS (SELECT 1 FROM deliveries WHERE lane = lanes.id AND owner IS NULL AND due_ms <= $1)
                   ORDER BY app COLLATE "C", endpoint COLLATE "C" """,
    Read.HOLDS: """SELECT holds.id, receipt, app, event_type, media_source, key_kinds, holds.received_ms, event_ms,
                          expires_ms
                   FROM holds JOIN ledger ON ledger.id = holds.id JOIN lanes ON lanes.id = lane
                   WHERE ($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR media_source = $2)
                     AND holds.id > $3 ORDER BY holds.id LIMIT $4""",
    Read.UNCERTAIN_COUNTS: """SELECT app, outcome, count(*), sum(uncertain)::bigint
                              FROM ledger JOIN cells ON cells.id = cell
                              WHERE uncertain > 0 GROUP BY app, outcome
                              ORDER BY app COLLATE "C", outcome COLLATE "C" """,
    Read.UNCERTAIN: """SELECT receipt, app, source, outcome, reason, insert_id, received_ms, changed_ms, uncertain,
                              digest
                       FROM ledger JOIN cells ON cells.id = cell
                       WHERE uncertain > 0 AND ($1::text IS NULL OR app = $1) ORDER BY ledger.id DESC LIMIT $2""",
    Read.LEDGER: """SELECT ledger.id, receipt, app, source, outcome, reason, insert_id, received_ms, changed_ms,
                           uncertain, digest
                    FROM ledger JOIN cells ON cells.id = cell
                    WHERE ledger.id > $1 AND ($2::text IS NULL OR app = $2) ORDER BY ledger.id LIMIT $3""",
    Read.RESTRICTED: """SELECT app, day, media_source, policy, sum(n)::bigint FROM restricted_counts
                        GROUP BY 1, 2, 3, 4
                        ORDER BY app COLLATE "C", day COLLATE "C", media_source COLLATE "C", policy COLLATE "C" """,
    Read.HOLD_COUNTS: """SELECT app, media_source, key_kinds, hour, sum(n)::bigint
                         FROM hold_counts JOIN lanes ON lanes.id = lane GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
                         ORDER BY hour, app COLLATE "C", media_source COLLATE "C", key_kinds COLLATE "C" """,
    Read.SIGHTED: """SELECT app, kind, sum(n)::bigint, max(last_ms) FROM sighted GROUP BY 1, 2
                     ORDER BY app COLLATE "C", kind COLLATE "C" """,
    Read.COVERED: """SELECT app, platform, kinds, sum(n)::bigint, sum(installs)::bigint FROM coverage WHERE day >= $1
                     GROUP BY app, platform, kinds""",
    Read.COVERAGE: """SELECT app, day, platform, app_version, media_source, kinds, sum(n)::bigint, sum(installs)::bigint
                      FROM coverage
                      WHERE day >= $1 AND ($2::text IS NULL OR app = $2) GROUP BY 1, 2, 3, 4, 5, 6
                      ORDER BY day, app COLLATE "C" """,
    Read.OUTCOMES: """SELECT c.day, d.kind, d.event, d.media_source, k.outcome, k.reason, coalesce(h.key_kinds, ''),
                              count(*)
                       FROM ledger l JOIN performance_cells c ON c.id = l.performance
                       JOIN dimensions d ON d.id = c.dimension JOIN cells k ON k.id = l.cell
                       LEFT JOIN holds h ON h.id = l.id AND k.outcome = 'held'
                       WHERE d.app = $1 AND c.day BETWEEN $2 AND $3 GROUP BY 1, 2, 3, 4, 5, 6, 7""",
    Read.SENT: """SELECT c.day, d.kind, d.event, d.media_source, l.insert_id, l.changed_ms
                   FROM ledger l JOIN performance_cells c ON c.id = l.performance
                   JOIN dimensions d ON d.id = c.dimension JOIN cells k ON k.id = l.cell
                   WHERE d.app = $1 AND c.day BETWEEN $2 AND $3 AND k.outcome = 'delivered' AND l.insert_id <> ''""",
    Read.EVENT_OUTCOMES: """SELECT c.day, d.kind, d.event, d.media_source, l.insert_id, k.outcome, k.reason,
                                    coalesce(h.key_kinds, '')
                             FROM ledger l JOIN performance_cells c ON c.id = l.performance
                             JOIN dimensions d ON d.id = c.dimension JOIN cells k ON k.id = l.cell
                             LEFT JOIN holds h ON h.id = l.id AND k.outcome = 'held'
                             WHERE d.app = $1 AND c.day BETWEEN $2 AND $3 AND l.insert_id <> ''
                               AND d.event IN (SELECT e.event FROM performance_cells f JOIN dimensions e
                                                 ON e.id = f.dimension JOIN performance p ON p.cell = f.id
                                               WHERE e.app = $1 AND f.day BETWEEN $2 AND $3
                                                 AND (p.revenue <> 0 OR p.not_converted <> 0))""",
    Read.EXPIRED_KINDS: """SELECT c.day, d.kind, d.event, d.media_source, e.key_kinds, sum(e.n)::bigint
                            FROM performance_cells c JOIN dimensions d ON d.id = c.dimension
                            JOIN expired_kinds e ON e.cell = c.id
                            WHERE d.app = $1 AND c.day BETWEEN $2 AND $3 GROUP BY 1, 2, 3, 4, 5""",
    Read.COUNTED_ON: """SELECT c.day, d.kind, d.event, d.media_source, sum(p.n)::bigint, sum(p.entered)::bigint,
                                sum(p.deleted)::bigint, sum(p.revenue)::bigint, sum(p.not_converted)::bigint
                         FROM performance_cells c JOIN dimensions d ON d.id = c.dimension
                         JOIN performance p ON p.cell = c.id
                         WHERE d.app = $1 AND c.day BETWEEN $2 AND $3 GROUP BY 1, 2, 3, 4""",
    Read.DAY_REPORTS: """SELECT app, kind, day, made_ms, body FROM day_reports
                          WHERE kind = $1 AND day BETWEEN $2 AND $3 AND ($4::text IS NULL OR app = $4)
                          ORDER BY day, app COLLATE "C" """,
    Read.COUNTERS: f"SELECT id, app, day, source, outcome, reason, n, pruned FROM {STANDING} ORDER BY id",
    Read.ROWS_PER_COUNTER: "SELECT cell, count(*) FROM ledger GROUP BY cell",
    Read.COUNTED: f"SELECT app, day, sum(n - pruned)::bigint FROM {STANDING} WHERE outcome = $1 GROUP BY app, day",
    Read.KEPT_HOLDS: _kept("holds", "id"),
    Read.KEPT_DELIVERIES: _kept("deliveries", "line"),
    Read.KEPT_DEAD: _kept("dead", "id"),
    Read.UNNEEDED_ITEMS: """SELECT count(*) FROM items
                         WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = items.id)
                           AND NOT EXISTS (SELECT 1 FROM deliveries WHERE line = items.id)
                           AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.id = items.id)""",
    Read.MISSING_ITEMS: f"""SELECT count(*) FROM ({OWNERS}) owners
                         WHERE NOT EXISTS (SELECT 1 FROM items WHERE items.id = owners.line)""",
    Read.UNNEEDED_KEYS: """SELECT count(*) FROM hold_keys
                        WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = hold_keys.hold)""",
    Read.UNNEEDED_ATTEMPTS: """SELECT count(*) FROM attempts
                               WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.id = line)""",
    Read.UNNEEDED_MESSAGES: """SELECT count(*) FROM messages
                               WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.id = messages.id)""",
    Read.MISCOUNTED_HOLDS: """SELECT count(*) FROM (
                                SELECT 1 FROM (SELECT lane, media_source, key_kinds, hour, n FROM hold_counts UNION ALL
                                               SELECT lane, media_source, key_kinds, received_ms / 3600000, -1
                                               FROM holds) both_sides
                                GROUP BY lane, media_source, key_kinds, hour HAVING sum(n) <> 0) different""",
    Read.COUNTED_ROWS: """SELECT counted.cell, counted.n, coalesce(found.n, 0)
                          FROM (SELECT cell, sum(entered - deleted)::bigint AS n FROM performance
                                GROUP BY cell) AS counted
                          LEFT JOIN (SELECT performance AS cell, count(*) AS n FROM ledger
                                     WHERE performance IS NOT NULL GROUP BY performance) AS found
                            ON found.cell = counted.cell
                          WHERE counted.n <> coalesce(found.n, 0)""",
    Read.MOVED: """SELECT app, sum(n)::bigint, sum(entered)::bigint FROM performance
                   JOIN performance_cells ON performance_cells.id = performance.cell
                   JOIN dimensions ON dimensions.id = dimension GROUP BY app HAVING sum(n) <> sum(entered)""",
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
