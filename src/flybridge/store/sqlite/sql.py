"""SQLite's text for every statement of `store.core.tables`.

What is read as in `store.core.queries` is translated, what SQLite has to be asked in another way is written here. Lists
are `(??)`, for `sqlite.connection.among`. Writes run once per row.
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.records import Action
from flybridge.store.audiences.sql import due
from flybridge.store.core.queries import LEASED, RECEIPT, reads
from flybridge.store.core.tables import Read, Write
from flybridge.store.events import MOST_ATTEMPTS
from flybridge.store.sqlite.audience_sql import WRITES as AUDIENCE_WRITES

HOLD: Final = """SELECT holds.id, keys, coalesce(cell, 0), lane, event_ms, holds.received_ms, fallback, media_source,
                        key_kinds"""
WAITING: Final = f"""{HOLD} FROM holds JOIN ledger ON ledger.id = holds.id JOIN cells ON cells.id = cell
                    WHERE outcome = 'held' AND"""
SPENT: Final = """SELECT holds.id, keys FROM holds LEFT JOIN ledger ON ledger.id = holds.id
                  LEFT JOIN cells ON cells.id = cell WHERE outcome IS NOT 'held' AND"""
HELD: Final = """(SELECT holds.* FROM holds JOIN ledger USING (id) JOIN cells ON cells.id = cell
                  WHERE outcome = 'held')"""
OWNERS: Final = f"SELECT id AS line FROM {HELD} UNION ALL SELECT line FROM deliveries UNION ALL SELECT id FROM dead"
IN_FLIGHT: Final = "SELECT value AS line FROM bundles, json_each(in_flight)"
SERIES: Final = """(WITH RECURSIVE series (h) AS (SELECT -1 UNION ALL SELECT h + 1 FROM series WHERE h < 90)
                    SELECT h FROM series)"""


def plain(sql: str) -> str:
    """Return a statement of `store.core.queries` in SQLite's words: without types, locks and their order."""
    sql = re.sub(r"= ANY\(\$\d+::\w+\[\]\)", "IN (??)", sql)
    sql = re.sub(r'::\w+| COLLATE "C"', "", sql)
    sql = re.sub(r"(?<!\s)(\s+ORDER BY [\w.]+)?\s+FOR UPDATE( OF \w+)?( SKIP LOCKED)?", "", sql)
    return re.sub(r"\$(\d+)", r"?\1", sql)


COMMON: Final = {read: plain(sql) for read, sql in reads("cells", HELD, SERIES, IN_FLIGHT).items()}
BY_LEDGER: Final = (Read.OUTCOMES, Read.SENT, Read.EVENT_OUTCOMES)

READS: Final[Mapping[Read, str]] = {
    **COMMON,
    # The rows of the ledger are read from end to end, once a day: an index by cell would cost every filing, and SQLite
    # would make one for the query if the order of the joins were its choice.
    **{read: COMMON[read].replace("JOIN performance_cells", "CROSS JOIN performance_cells", 1) for read in BY_LEDGER},
    Read.TO_ADD: plain(due(Action.ADD, "INDEXED BY devices_add")),
    Read.TO_REMOVE: plain(due(Action.REMOVE, "INDEXED BY devices_remove")),
    Read.WAITING: f"{WAITING} holds.id IN (??)",
    # In the order of expiry and filing, so that neighbours share pages. The released among them are not skipped: who
    # looks for those would read through all that wait.
    Read.OVER: f"""{HOLD} FROM holds LEFT JOIN ledger ON ledger.id = holds.id
                   WHERE expires_ms <= ? ORDER BY expires_ms, holds.id LIMIT ?""",
    Read.RELEASED_OF_ROWS: f"{SPENT} holds.id IN (??)",
    # Two searches by index: with OR SQLite would read the whole table.
    Read.LAPSED: f"""{LEASED} owner IS NOT NULL AND leased_until_ms <= ?1
                     UNION ALL {LEASED} owner IS NOT NULL AND leased_until_ms > ?2""",
    Read.RECEIPTS: f"{RECEIPT} ORDER BY made_ms DESC, rowid DESC LIMIT ?",
    Read.RECEIPTS_OF_KEYS: f"{RECEIPT} WHERE keys = ? ORDER BY made_ms DESC, rowid DESC LIMIT ?",
    # All keys, a page at a time: an index by time would cost every filing more than this costs a day.
    Read.OLD_SEEN: "SELECT key, until_ms FROM seen WHERE key > ?1 ORDER BY key LIMIT ?3",
    Read.SEALED: """SELECT sealed FROM (SELECT sealed FROM items ORDER BY id DESC LIMIT ?1) UNION ALL
                    SELECT sealed FROM (SELECT sealed FROM messages ORDER BY id DESC LIMIT ?1) UNION ALL
                    SELECT sealed FROM (SELECT sealed FROM sightings LIMIT ?1)""",
    # A lane whose own row is damaged is listed, too.
    Read.DEPTHS: """SELECT coalesce(app, '?'), coalesce(endpoint, '?'),
                           sum(owner IS NULL AND due_ms <= ?1), sum(owner IS NULL AND due_ms > ?1),
                           coalesce(sum(n) FILTER (WHERE owner IS NOT NULL), 0),
                           coalesce(min(due_ms) FILTER (WHERE owner IS NULL AND due_ms <= ?1), 0)
                    FROM (SELECT lane, owner, due_ms, 1 AS n FROM deliveries
                          UNION ALL SELECT lane, owner, due_ms, n FROM bundles)
                    LEFT JOIN lanes ON lanes.id = lane GROUP BY lane ORDER BY app, endpoint""",
    Read.HOLDS: """SELECT holds.id, receipt, lanes.app, event_type, media_source, key_kinds, holds.received_ms,
                          event_ms, expires_ms
                   FROM holds JOIN ledger USING (id) JOIN cells ON cells.id = cell JOIN lanes ON lanes.id = lane
                   WHERE outcome = 'held' AND (?1 IS NULL OR lanes.app = ?1) AND (?2 IS NULL OR media_source = ?2)
                     AND holds.id > ?3 ORDER BY holds.id LIMIT ?4""",
    Read.UNNEEDED_ITEMS: f"SELECT count(*) FROM items WHERE id NOT IN ({OWNERS})",
    Read.MISSING_ITEMS: f"SELECT count(*) FROM ({OWNERS}) WHERE line NOT IN (SELECT id FROM items)",
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
    Write.BUNDLES: """INSERT INTO bundles
                        (id, last, lane, owner, leased_until_ms, due_ms, n, in_flight, lines, packed)
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    Write.FEWER_IN_FLIGHT: "UPDATE bundles SET n = ?, in_flight = ? WHERE id = ?",
    Write.DROP_BUNDLES: "DELETE FROM bundles WHERE id = ?",
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
