"""SQLite's text for every statement of `store.core.tables`.

Lists are `(??)`, for `sqlite.connection.among`. Writes run once per row.
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.core.event_sql import event_queries
from flybridge.store.core.performance_sql import queries
from flybridge.store.core.tables import Read, Write
from flybridge.store.events import MOST_ATTEMPTS
from flybridge.store.sqlite.audience_sql import READS as AUDIENCE_READS
from flybridge.store.sqlite.audience_sql import WRITES as AUDIENCE_WRITES

HOLD: Final = """SELECT holds.id, keys, coalesce(cell, 0), lane, event_ms, holds.received_ms, fallback, media_source,
                        key_kinds"""
WAITING: Final = f"""{HOLD} FROM holds JOIN ledger ON ledger.id = holds.id JOIN cells ON cells.id = cell
                    WHERE outcome = 'held' AND"""
SPENT: Final = """SELECT holds.id, keys FROM holds LEFT JOIN ledger ON ledger.id = holds.id
                  LEFT JOIN cells ON cells.id = cell WHERE outcome IS NOT 'held' AND"""
HELD: Final = """(SELECT holds.* FROM holds JOIN ledger USING (id) JOIN cells ON cells.id = cell
                  WHERE outcome = 'held')"""
DOUBT: Final = """SELECT deliveries.id, tries, uncertain, split, received_ms, sealed,
                         coalesce(deliveries.who, items.who)
                  FROM deliveries JOIN items ON items.id = line
                  WHERE lane = (SELECT id FROM lanes WHERE app = ?1 AND endpoint = ?2) AND"""
LEASED: Final = "SELECT deliveries.id, line, lane, cell, begun FROM deliveries JOIN ledger ON ledger.id = line WHERE"
LETTER: Final = """SELECT dead.id, receipt, app, source, media, stage, dead.reason, detail, remedy, sealed, who,
                          version, received_ms, died_ms, lane, dead.ordinal, dead.newest
                   FROM dead JOIN ledger USING (id) JOIN cells ON cells.id = cell JOIN items ON items.id = dead.id"""
CHOSEN: Final = "(?1 IS NULL OR app = ?1) AND (?2 IS NULL OR dead.reason = ?2)"
LINE: Final = "SELECT id, cell, insert_id, digest FROM ledger WHERE"
TRAIL: Final = "SELECT number, at_ms, actor, address, action, target, detail, outcome, chain FROM audit_trail"
RECEIPT: Final = "SELECT id, made_ms, keys, removed, steps FROM receipts"
OWNERS: Final = f"SELECT id AS line FROM {HELD} UNION ALL SELECT line FROM deliveries UNION ALL SELECT id FROM dead"


def _kept(table: str, line: str) -> str:
    return f"""SELECT coalesce(app, ''), coalesce(day, ''), coalesce(outcome, 'nowhere'),
                      count(*), count(DISTINCT kept.{line})
               FROM {table} AS kept LEFT JOIN ledger ON ledger.id = kept.{line} LEFT JOIN cells ON cells.id = cell
               GROUP BY 1, 2, 3"""


_SERIES: Final = """(WITH RECURSIVE series (h) AS (SELECT -1 UNION ALL SELECT h + 1 FROM series WHERE h < 90)
                    SELECT h FROM series)"""

READS: Final[Mapping[Read, str]] = {
    **AUDIENCE_READS,
    **queries("?{}".format, "?{}".format, "sum({})".format, lambda column, _: f"{column} IN (??)", _SERIES),
    Read.LEDGER_ROWS: "SELECT receipt, id, cell FROM ledger WHERE receipt IN (??)",
    Read.DEAD_OF_RECEIPTS: "SELECT dead.id, cell FROM dead JOIN ledger USING (id) WHERE receipt IN (??)",
    Read.SEEN: "SELECT key, occurrences FROM seen WHERE until_ms > ? AND key IN (??)",
    Read.TOMBSTONED: "SELECT 1 FROM tombstones LIMIT 1",
    Read.TOMBSTONES: "SELECT key, since_ms FROM tombstones WHERE key IN (??)",
    Read.PERSONS: "SELECT key, min(person) FROM people WHERE key IN (??) GROUP BY key",
    Read.PEOPLE: "SELECT key, person FROM people WHERE person IN (??)",
    Read.SIGHTINGS: "SELECT key, app, seen_ms, sealed FROM sightings WHERE key IN (??)",
    Read.HOLDS_OF_KEYS: """SELECT hold FROM hold_keys JOIN holds ON holds.id = hold
                           WHERE expires_ms > ? AND key IN (??)""",
    Read.INSTALLATIONS: """SELECT key, cell, day, install_s, touch_s, paid_day, reached, days FROM installations
                           WHERE key IN (??)""",
    Read.WAITING: f"{WAITING} holds.id IN (??)",
    # In the order of expiry and filing, so that neighbours share pages. The released among them are not skipped: who
    # looks for those would read through all that wait.
    Read.OVER: f"""{HOLD} FROM holds LEFT JOIN ledger ON ledger.id = holds.id
                   WHERE expires_ms <= ? ORDER BY expires_ms, holds.id LIMIT ?""",
    Read.RELEASED_OF_ROWS: f"{SPENT} holds.id IN (??)",
    Read.ATTEMPTS: """SELECT line, delivery, endpoint, at_ms, status, reason, words
                      FROM attempts LEFT JOIN lanes ON lanes.id = lane WHERE line IN (??) ORDER BY line, attempts.id""",
    Read.ITEMS: "SELECT id, sealed, who FROM items WHERE id IN (??)",
    Read.DUE: """SELECT deliveries.id, tries, uncertain, split, received_ms, sealed,
                        coalesce(deliveries.who, items.who)
                 FROM deliveries JOIN items ON items.id = line
                 WHERE lane = (SELECT id FROM lanes WHERE app = ? AND endpoint = ?) AND owner IS NULL AND due_ms <= ?
                 ORDER BY due_ms, deliveries.id LIMIT ?""",
    Read.OWNED: """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
                   WHERE owner = ? AND deliveries.id IN (??)""",
    # Two searches by index: with OR SQLite would read the whole table.
    Read.LAPSED: f"""{LEASED} owner IS NOT NULL AND leased_until_ms <= ?1
                     UNION ALL {LEASED} owner IS NOT NULL AND leased_until_ms > ?2""",
    Read.LEASED_BY: f"{LEASED} owner IS NOT NULL AND owner = ?",
    Read.UNLEASED: """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
                      WHERE owner IS NULL AND line IN (??)""",
    Read.IN_DOUBT: f"""{DOUBT} uncertain > 0 UNION ALL {DOUBT} owner IS NOT NULL AND begun = 1 AND uncertain = 0
                       LIMIT ?3""",
    Read.DOUBTED: """SELECT deliveries.id, line, cell, deliveries.uncertain
                     FROM deliveries JOIN ledger ON ledger.id = line
                     WHERE (begun = 1 OR deliveries.uncertain > 0) AND deliveries.id IN (??)""",
    Read.QUEUED: """SELECT line, due_ms, owner IS NOT NULL, tries, uncertain, received_ms, sealed,
                           coalesce(deliveries.who, items.who)
                    FROM deliveries JOIN items ON items.id = line
                    WHERE lane = (SELECT id FROM lanes WHERE app = ? AND endpoint = ?)
                    ORDER BY due_ms, deliveries.id LIMIT ?""",
    Read.DEAD_LETTERS: f"{LETTER} WHERE {CHOSEN} ORDER BY died_ms DESC, dead.id DESC LIMIT ?3",
    Read.DEAD_BY_ID: f"{LETTER} WHERE {CHOSEN} AND dead.id IN (??)",
    Read.DEAD_IDS: f"""SELECT dead.id FROM dead JOIN ledger USING (id) JOIN cells ON cells.id = cell
                         WHERE {CHOSEN} AND dead.id > ?3 ORDER BY dead.id LIMIT ?4""",
    Read.DEAD_IDS_AMONG: f"""SELECT dead.id FROM dead JOIN ledger USING (id) JOIN cells ON cells.id = cell
                         WHERE {CHOSEN} AND dead.id IN (??)""",
    Read.DEAD_UNMAPPED: f"{LETTER} WHERE lane IS NULL AND dead.id IN (??)",
    Read.DEAD_UNDELIVERED: """SELECT dead.id, lane, cell, received_ms, uncertain FROM dead JOIN ledger USING (id)
                          WHERE lane IS NOT NULL AND dead.id IN (??)""",
    Read.PERSONS_OF_KEY: "SELECT person FROM people WHERE key = ? LIMIT ?",
    Read.KEYS_OF_PERSONS: "SELECT key FROM people WHERE person IN (??)",
    Read.HOLDS_OF_ANY_KEY: "SELECT hold FROM hold_keys WHERE key IN (??)",
    Read.ROWS_OF_PERSONS: f"{LINE} person IN (??)",
    Read.ROWS_BY_ID: f"{LINE} id IN (??)",
    Read.DELIVERIES_OF_ROWS: "SELECT id FROM deliveries WHERE line IN (??)",
    Read.RECEIPT: f"{RECEIPT} WHERE id = ?",
    Read.RECEIPTS: f"{RECEIPT} ORDER BY made_ms DESC, rowid DESC LIMIT ?",
    Read.RECEIPTS_OF_KEYS: f"{RECEIPT} WHERE keys = ? ORDER BY made_ms DESC, rowid DESC LIMIT ?",
    Read.ROWS_AFTER: """SELECT id, cell, performance, changed_ms, received_ms FROM ledger
                        WHERE id > ? ORDER BY id LIMIT ?""",
    Read.OLD_DEAD: """SELECT dead.id, cell, performance FROM dead JOIN ledger USING (id)
                         WHERE died_ms <= ? ORDER BY died_ms LIMIT ?""",
    Read.OLD_MESSAGES: "SELECT id FROM messages WHERE kept_ms <= ? ORDER BY kept_ms LIMIT ?",
    # All keys, a page at a time: an index by time would cost every filing more than this costs a day.
    Read.OLD_SEEN: "SELECT key, until_ms FROM seen WHERE key > ?1 ORDER BY key LIMIT ?3",
    Read.INSTALLATIONS_AFTER: "SELECT key, day FROM installations WHERE key > ? ORDER BY key LIMIT ?",
    Read.PERSONS_AFTER: """SELECT person, NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = page.person)
                             AND EXISTS (SELECT 1 FROM people WHERE people.person = page.person AND NOT EXISTS (
                                           SELECT 1 FROM sightings WHERE sightings.key = people.key))
                           FROM (SELECT DISTINCT person FROM people WHERE person > ? ORDER BY person LIMIT ?) page""",
    Read.STATE: "SELECT value FROM state WHERE name = ?",
    Read.STATES: "SELECT name, value FROM state WHERE name >= ? AND name < ? ORDER BY name",
    **event_queries("?{}".format, "?{}".format, "person IN (??)"),
    Read.MESSAGE: "SELECT sealed FROM messages WHERE id = ?",
    Read.TRAIL_END: "SELECT number, chain FROM audit_trail ORDER BY number DESC LIMIT 1",
    Read.TRAIL: f"{TRAIL} WHERE number < ? ORDER BY number DESC LIMIT ?",
    Read.TRAIL_AFTER: f"{TRAIL} WHERE number > ? ORDER BY number LIMIT ?",
    Read.SEALED: """SELECT sealed FROM (SELECT sealed FROM items ORDER BY id DESC LIMIT ?1) UNION ALL
                    SELECT sealed FROM (SELECT sealed FROM messages ORDER BY id DESC LIMIT ?1) UNION ALL
                    SELECT sealed FROM (SELECT sealed FROM sightings LIMIT ?1)""",
    Read.COUNTS: "SELECT app, day, source, outcome, reason, n FROM cells WHERE n <> 0",
    # A lane whose own row is damaged is listed, too.
    Read.DEPTHS: """SELECT coalesce(app, '?'), coalesce(endpoint, '?'),
                           sum(owner IS NULL AND due_ms <= ?1), sum(owner IS NULL AND due_ms > ?1),
                           sum(owner IS NOT NULL),
                           coalesce(min(due_ms) FILTER (WHERE owner IS NULL AND due_ms <= ?1), 0)
                    FROM deliveries LEFT JOIN lanes ON lanes.id = lane GROUP BY lane ORDER BY app, endpoint""",
    Read.LANES: """SELECT app, endpoint FROM lanes
                   WHERE EXISTS (SELECT 1 FROM deliveries WHERE lane = lanes.id AND owner IS NULL AND due_ms <= ?)
                   ORDER BY app, endpoint""",
    Read.HOLDS: """SELECT holds.id, receipt, lanes.app, event_type, media_source, key_kinds, holds.received_ms,
                          event_ms, expires_ms
                   FROM holds JOIN ledger USING (id) JOIN cells ON cells.id = cell JOIN lanes ON lanes.id = lane
                   WHERE outcome = 'held' AND (?1 IS NULL OR lanes.app = ?1) AND (?2 IS NULL OR media_source = ?2)
                     AND holds.id > ?3 ORDER BY holds.id LIMIT ?4""",
    Read.UNCERTAIN_COUNTS: """SELECT app, outcome, count(*), sum(uncertain) FROM ledger JOIN cells ON cells.id = cell
                              WHERE uncertain > 0 GROUP BY 1, 2 ORDER BY 1, 2""",
    Read.UNCERTAIN: """SELECT receipt, app, source, outcome, reason, insert_id, received_ms, changed_ms, uncertain,
                              digest
                       FROM ledger JOIN cells ON cells.id = cell
                       WHERE uncertain > 0 AND (?1 IS NULL OR app = ?1) ORDER BY ledger.id DESC LIMIT ?2""",
    Read.LEDGER: """SELECT ledger.id, receipt, app, source, outcome, reason, insert_id, received_ms, changed_ms,
                           uncertain, digest
                    FROM ledger JOIN cells ON cells.id = cell
                    WHERE ledger.id > ?1 AND (?2 IS NULL OR app = ?2) ORDER BY ledger.id LIMIT ?3""",
    Read.RESTRICTED: "SELECT app, day, media_source, policy, n FROM restricted_counts ORDER BY 1, 2, 3, 4",
    Read.HOLD_COUNTS: """SELECT app, media_source, key_kinds, hour, sum(n)
                         FROM hold_counts JOIN lanes ON lanes.id = lane GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
                         ORDER BY hour, app, media_source, key_kinds""",
    Read.SIGHTED: "SELECT app, kind, n, last_ms FROM sighted ORDER BY app, kind",
    Read.COVERED: """SELECT app, platform, kinds, sum(n), sum(installs) FROM coverage WHERE day >= ?
                     GROUP BY app, platform, kinds""",
    Read.COVERAGE: """SELECT app, day, platform, app_version, media_source, kinds, n, installs FROM coverage
                      WHERE day >= ?1 AND (?2 IS NULL OR app = ?2) ORDER BY day, app""",
    # The rows of the ledger are read from end to end, once a day: an index by cell would cost every filing, and SQLite
    # would make one for the query if the order of the joins were its choice.
    Read.OUTCOMES: """SELECT c.day, d.kind, d.event, d.media_source, k.outcome, k.reason, coalesce(h.key_kinds, ''),
                              count(*)
                       FROM ledger l CROSS JOIN performance_cells c ON c.id = l.performance
                       JOIN dimensions d ON d.id = c.dimension JOIN cells k ON k.id = l.cell
                       LEFT JOIN holds h ON h.id = l.id AND k.outcome = 'held'
                       WHERE d.app = ?1 AND c.day BETWEEN ?2 AND ?3 GROUP BY 1, 2, 3, 4, 5, 6, 7""",
    Read.SENT: """SELECT c.day, d.kind, d.event, d.media_source, l.insert_id, l.changed_ms
                   FROM ledger l CROSS JOIN performance_cells c ON c.id = l.performance
                   JOIN dimensions d ON d.id = c.dimension JOIN cells k ON k.id = l.cell
                   WHERE d.app = ?1 AND c.day BETWEEN ?2 AND ?3 AND k.outcome = 'delivered' AND l.insert_id <> ''""",
    Read.EVENT_OUTCOMES: """SELECT c.day, d.kind, d.event, d.media_source, l.insert_id, k.outcome, k.reason,
                                    coalesce(h.key_kinds, '')
                             FROM ledger l CROSS JOIN performance_cells c ON c.id = l.performance
                             JOIN dimensions d ON d.id = c.dimension JOIN cells k ON k.id = l.cell
                             LEFT JOIN holds h ON h.id = l.id AND k.outcome = 'held'
                             WHERE d.app = ?1 AND c.day BETWEEN ?2 AND ?3 AND l.insert_id <> ''
                               AND d.event IN (SELECT e.event FROM performance_cells f JOIN dimensions e
                                                 ON e.id = f.dimension JOIN performance p ON p.cell = f.id
                                               WHERE e.app = ?1 AND f.day BETWEEN ?2 AND ?3
                                                 AND (p.revenue <> 0 OR p.not_converted <> 0))""",
    Read.EXPIRED_KINDS: """SELECT c.day, d.kind, d.event, d.media_source, e.key_kinds, sum(e.n)
                            FROM performance_cells c JOIN dimensions d ON d.id = c.dimension
                            JOIN expired_kinds e ON e.cell = c.id
                            WHERE d.app = ?1 AND c.day BETWEEN ?2 AND ?3 GROUP BY 1, 2, 3, 4, 5""",
    Read.COUNTED_ON: """SELECT c.day, d.kind, d.event, d.media_source, sum(p.n), sum(p.entered), sum(p.deleted),
                                sum(p.revenue), sum(p.not_converted)
                         FROM performance_cells c JOIN dimensions d ON d.id = c.dimension
                         JOIN performance p ON p.cell = c.id
                         WHERE d.app = ?1 AND c.day BETWEEN ?2 AND ?3 GROUP BY 1, 2, 3, 4""",
    Read.DAY_REPORTS: """SELECT app, kind, day, made_ms, body FROM day_reports
                          WHERE kind = ?1 AND day BETWEEN ?2 AND ?3 AND (?4 IS NULL OR app = ?4) ORDER BY day, app""",
    Read.COUNTERS: "SELECT id, app, day, source, outcome, reason, n, pruned FROM cells",
    Read.ROWS_PER_COUNTER: "SELECT cell, count(*) FROM ledger GROUP BY cell",
    Read.COUNTED: "SELECT app, day, sum(n - pruned) FROM cells WHERE outcome = ? GROUP BY app, day",
    Read.KEPT_HOLDS: _kept(HELD, "id"),
    Read.KEPT_DELIVERIES: _kept("deliveries", "line"),
    Read.KEPT_DEAD: _kept("dead", "id"),
    Read.UNNEEDED_ITEMS: f"SELECT count(*) FROM items WHERE id NOT IN ({OWNERS})",
    Read.MISSING_ITEMS: f"SELECT count(*) FROM ({OWNERS}) WHERE line NOT IN (SELECT id FROM items)",
    Read.UNNEEDED_KEYS: "SELECT count(*) FROM hold_keys WHERE hold NOT IN (SELECT id FROM holds)",
    Read.UNNEEDED_ATTEMPTS: "SELECT count(*) FROM attempts WHERE line NOT IN (SELECT id FROM ledger)",
    Read.UNNEEDED_MESSAGES: "SELECT count(*) FROM messages WHERE id NOT IN (SELECT id FROM ledger)",
    Read.MISCOUNTED_HOLDS: f"""SELECT count(*) FROM (
                                SELECT 1 FROM (SELECT lane, media_source, key_kinds, hour, n FROM hold_counts UNION ALL
                                               SELECT lane, media_source, key_kinds, received_ms / 3600000, -1
                                               FROM {HELD})
                                GROUP BY lane, media_source, key_kinds, hour HAVING sum(n) <> 0)""",
    Read.COUNTED_ROWS: """SELECT performance.cell, entered - deleted, coalesce(found.n, 0)
                          FROM performance LEFT JOIN (SELECT performance AS cell, count(*) AS n FROM ledger
                                                      WHERE performance IS NOT NULL GROUP BY performance) AS found
                            ON found.cell = performance.cell
                          WHERE entered - deleted <> coalesce(found.n, 0)""",
    Read.MOVED: """SELECT app, sum(n), sum(entered) FROM performance
                   JOIN performance_cells ON performance_cells.id = performance.cell
                   JOIN dimensions ON dimensions.id = dimension GROUP BY app HAVING sum(n) <> sum(entered)""",
}

WRITES: Final[Mapping[Write, str]] = {
    **AUDIENCE_WRITES,
    Write.STATE: "INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)",
    Write.DROP_STATE: "DELETE FROM state WHERE name = ?",
    Write.TRAIL: """INSERT INTO audit_trail
                      (number, at_ms, actor, address, action, target, detail, outcome, chain)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.LEDGER_ROWS: """INSERT INTO ledger
                      (receipt, cell, insert_id, received_ms, changed_ms, id, digest, person, performance, uncertain)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)""",
    Write.REFILE: "UPDATE ledger SET insert_id = ?, changed_ms = ?, person = ?, performance = ? WHERE id = ?",
    Write.MOVE: """UPDATE ledger SET cell = column1, changed_ms = column2 FROM (VALUES (?, ?, ?))
                   WHERE ledger.id = column3""",
    Write.UNCERTAIN: "UPDATE ledger SET uncertain = uncertain + ? WHERE id = ?",
    Write.ANONYMISE: "UPDATE ledger SET digest = x'', insert_id = '', person = NULL WHERE id = ?",
    Write.DROP_LEDGER_ROWS: "DELETE FROM ledger WHERE id = ?",
    Write.COUNT: "UPDATE cells SET n = n + ? WHERE id = ?",
    Write.COUNT_PRUNED: "UPDATE cells SET pruned = pruned + ? WHERE id = ?",
    Write.SEEN: """INSERT INTO seen (key, until_ms, occurrences)
                   SELECT column1, column2, column3 FROM (VALUES (?, ?, ?, ?)) WHERE true
                   ON CONFLICT (key) DO UPDATE SET until_ms = excluded.until_ms, occurrences = excluded.occurrences""",
    Write.SEEN_MORE: """UPDATE seen SET until_ms = max(until_ms, ?), occurrences = ?
                        WHERE occurrences IS ? AND key = ?""",
    Write.DROP_SEEN: "DELETE FROM seen WHERE key = ? AND until_ms <= ?",
    Write.FORGET_SEEN: "DELETE FROM seen WHERE key = ?",
    Write.ITEMS: "INSERT INTO items (id, sealed) VALUES (?, ?)",
    Write.KEEP_WHO: """UPDATE items SET who = given.who FROM deliveries AS given
                       WHERE given.id = ? AND given.who IS NOT NULL AND items.id = given.line""",
    Write.DROP_ITEMS: "DELETE FROM items WHERE id IN (VALUES (?))",
    Write.DELIVERIES: """INSERT INTO deliveries (id, line, lane, received_ms, due_ms, who, owner, leased_until_ms)
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.REDELIVER: """INSERT INTO deliveries (id, line, lane, received_ms, due_ms, uncertain)
                        VALUES (?, ?, ?, ?, ?, ?)""",
    Write.LEASE: """UPDATE deliveries SET owner = column1, leased_until_ms = column2 FROM (VALUES (?, ?, ?))
                    WHERE deliveries.id = column3""",
    Write.BEGIN: "UPDATE deliveries SET begun = 1 WHERE id = ?",
    Write.HASTEN: """UPDATE deliveries SET due_ms = ?1 WHERE owner IS NULL AND due_ms > ?1
                     AND lane = (SELECT id FROM lanes WHERE app = ?2 AND endpoint = ?3)""",
    Write.AGAIN: """UPDATE deliveries
                    SET owner = NULL, begun = 0, due_ms = ?, tries = ?, split = ?, uncertain = uncertain + ?
                    WHERE id = ?""",
    Write.RETURN: """UPDATE deliveries SET owner = NULL, tries = tries + begun, uncertain = uncertain + begun, begun = 0
                     WHERE id = ?""",
    Write.DROP_DELIVERIES: "DELETE FROM deliveries WHERE id IN (VALUES (?))",
    Write.ATTEMPTS: """INSERT INTO attempts (line, id, delivery, lane, at_ms, status, reason, words)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.TRIM_ATTEMPTS: f"""DELETE FROM attempts WHERE line = ?1 AND id <= (
                               SELECT id FROM attempts WHERE line = ?1 ORDER BY id DESC
                               LIMIT 1 OFFSET {MOST_ATTEMPTS})""",
    Write.DROP_ATTEMPTS: "DELETE FROM attempts WHERE line IN (VALUES (?))",
    Write.MESSAGES: "INSERT INTO messages (id, kept_ms, sealed) VALUES (?, ?, ?)",
    Write.DROP_MESSAGES: "DELETE FROM messages WHERE id IN (VALUES (?))",
    Write.HOLDS: """INSERT INTO holds
                      (id, lane, event_type, media_source, key_kinds, keys, received_ms, event_ms, expires_ms, fallback)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.HOLD_KEYS: "INSERT INTO hold_keys (key, hold) VALUES (?, ?)",
    Write.KEYS_OF_HOLD: "UPDATE holds SET keys = ? WHERE id = ?",
    Write.DROP_HOLDS: "DELETE FROM holds WHERE id = ?",
    Write.DROP_HOLD_KEYS: "DELETE FROM hold_keys WHERE key = ? AND hold = ?",
    Write.HOLD_COUNTS: """INSERT INTO hold_counts (lane, media_source, key_kinds, hour, n) VALUES (?, ?, ?, ?, ?)
                          ON CONFLICT DO UPDATE SET n = n + excluded.n""",
    Write.DROP_HOLD_COUNTS: """DELETE FROM hold_counts
                               WHERE lane = ? AND media_source = ? AND key_kinds = ? AND hour = ? AND n = 0""",
    Write.DEAD: """INSERT INTO dead (id, lane, stage, media, reason, detail, remedy, version, died_ms, ordinal,
                                     newest)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.DROP_DEAD: "DELETE FROM dead WHERE id = ?",
    Write.SIGHTINGS: "INSERT OR REPLACE INTO sightings (key, app, seen_ms, sealed) VALUES (?, ?, ?, ?)",
    Write.SEEN_AGAIN: """UPDATE sightings SET seen_ms = column1 FROM (VALUES (?, ?, ?))
                         WHERE sightings.key = column2 AND sightings.app = column3""",
    Write.DROP_SIGHTINGS: "DELETE FROM sightings WHERE key = ?",
    Write.PEOPLE: "INSERT INTO people (key, person) VALUES (?, ?)",
    Write.DROP_PEOPLE: "DELETE FROM people WHERE person = ?",
    Write.DROP_ORPHANS: """DELETE FROM people
                          WHERE person = ?1 AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = ?1)
                            AND NOT EXISTS (SELECT 1 FROM sightings WHERE sightings.key = people.key)""",
    Write.TOMBSTONES: """INSERT INTO tombstones (key, since_ms) VALUES (?, ?)
                         ON CONFLICT (key) DO UPDATE SET since_ms = max(since_ms, excluded.since_ms)""",
    Write.RECEIPTS: "INSERT INTO receipts (id, made_ms, keys, removed, steps) VALUES (?, ?, ?, ?, ?)",
    Write.RECEIPT_REMOVED: "UPDATE receipts SET removed = ? WHERE id = ?",
    Write.RECEIPT_STEPS: "UPDATE receipts SET steps = ? WHERE id = ?",
    Write.RESTRICTED: """INSERT INTO restricted_counts (app, day, media_source, policy, n) VALUES (?, ?, ?, ?, ?)
                         ON CONFLICT DO UPDATE SET n = n + excluded.n""",
    Write.INSTALLATIONS: """INSERT INTO installations
                              (key, cell, day, install_s, touch_s, paid_day, reached, days)
                            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                            ON CONFLICT DO UPDATE
                            SET cell = excluded.cell, day = excluded.day, install_s = excluded.install_s,
                                touch_s = excluded.touch_s, paid_day = excluded.paid_day, reached = excluded.reached,
                                days = excluded.days""",
    Write.DROP_INSTALLATIONS: "DELETE FROM installations WHERE key IN (VALUES (?))",
    Write.PERFORMANCE: """INSERT INTO performance (cell, n, revenue, not_converted, reached, entered, deleted)
                          VALUES (?, ?, ?, ?, ?, ?, ?)
                          ON CONFLICT DO UPDATE
                          SET n = n + excluded.n, revenue = revenue + excluded.revenue,
                              not_converted = not_converted + excluded.not_converted,
                              reached = reached + excluded.reached, entered = entered + excluded.entered,
                              deleted = deleted + excluded.deleted""",
    Write.COHORTS: """INSERT INTO install_cohorts
                        (cell, day_offset, active, payers, events, revenue, not_converted)
                      VALUES (?, ?, ?, ?, ?, ?, ?)
                      ON CONFLICT DO UPDATE
                      SET active = active + excluded.active, payers = payers + excluded.payers,
                          events = events + excluded.events, revenue = revenue + excluded.revenue,
                          not_converted = not_converted + excluded.not_converted""",
    Write.DROP_COSTS: """DELETE FROM costs WHERE app = ?1 AND origin = ?2 AND day BETWEEN ?3 AND ?4
                           AND (?5 IS NULL OR media_source = ?5)""",
    Write.COSTS: """INSERT OR REPLACE INTO costs (app, origin, precedence, day, media_source, campaign, country,
                                                  currency, spend, clicks, impressions)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.DAY_REPORTS: "INSERT OR REPLACE INTO day_reports (app, kind, day, made_ms, body) VALUES (?, ?, ?, ?, ?)",
    Write.EXPIRED_KINDS: """INSERT INTO expired_kinds (cell, key_kinds, n)
                            SELECT performance, column2, 1 FROM (VALUES (?, ?)) JOIN ledger ON ledger.id = column1
                            WHERE performance IS NOT NULL ON CONFLICT DO UPDATE SET n = n + 1""",
    Write.DROP_DAY_REPORTS: "DELETE FROM day_reports WHERE kind = ? AND day < ?",
    Write.COVERAGE: """INSERT INTO coverage (day, app, platform, app_version, media_source, kinds, n, installs)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
                       SET n = n + excluded.n, installs = installs + excluded.installs""",
    Write.DROP_COVERAGE: "DELETE FROM coverage WHERE day < ?",
    Write.SIGHTED: """INSERT INTO sighted (app, kind, n, last_ms) VALUES (?, ?, ?, ?)
                      ON CONFLICT DO UPDATE SET n = n + excluded.n, last_ms = max(last_ms, excluded.last_ms)""",
}
