"""What the store reads, where all backends ask alike: in PostgreSQL's words, which are the ones that say more.

Types of parameters, locks, the order in which they are taken, and the order of bytes are said here for all; a backend
that needs none of them leaves them out. What the backends ask differently is in `sqlite.sql` and `postgres.sql`.
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.sql import READS as AUDIENCE_READS
from flybridge.store.core.event_sql import EVENT_READS
from flybridge.store.core.performance_sql import performance_reads
from flybridge.store.core.tables import Read

OF_LANE: Final = """SELECT deliveries.id, tries, uncertain, split, received_ms, sealed,
                           coalesce(deliveries.who, items.who)
                    FROM deliveries JOIN items ON items.id = line
                    WHERE lane = (SELECT id FROM lanes WHERE app = $1 AND endpoint = $2) AND"""
LEASED: Final = "SELECT deliveries.id, line, lane, cell, begun FROM deliveries JOIN ledger ON ledger.id = line WHERE"
BUNDLE: Final = """SELECT endpoint, due_ms, in_flight, lines, packed
                   FROM bundles JOIN lanes ON lanes.id = lane"""
DEAD: Final = "dead JOIN ledger ON ledger.id = dead.id JOIN cells ON cells.id = cell"
LETTER: Final = f"""SELECT dead.id, receipt, app, source, media, stage, dead.reason, detail, remedy, sealed, who,
                           version, received_ms, died_ms, lane, dead.ordinal, dead.newest
                    FROM {DEAD} JOIN items ON items.id = dead.id"""
CHOSEN: Final = "($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR dead.reason = $2)"
LINE: Final = "SELECT id, cell, insert_id, digest, received_ms FROM ledger WHERE"
TRAIL: Final = "SELECT number, at_ms, actor, address, action, target, detail, outcome, chain FROM audit_trail"
RECEIPT: Final = "SELECT id, made_ms, keys, removed, steps FROM receipts"
HAPPENED: Final = "SELECT c.day, d.kind, d.event, d.media_source"
CELLS: Final = "performance_cells c JOIN dimensions d ON d.id = c.dimension"
COUNTED: Final = "ledger l JOIN performance_cells c ON c.id = l.performance JOIN dimensions d ON d.id = c.dimension"
ENDED: Final = f"{COUNTED} JOIN cells k ON k.id = l.cell LEFT JOIN holds h ON h.id = l.id AND k.outcome = 'held'"
OF_DAYS: Final = "d.app = $1 AND c.day BETWEEN $2 AND $3"


def _kept(table: str, line: str) -> str:
    return f"""SELECT coalesce(app, ''), coalesce(day, ''), coalesce(outcome, 'nowhere'),
                      count(*), count(DISTINCT kept.{line})
               FROM {table} AS kept LEFT JOIN ledger ON ledger.id = kept.{line} LEFT JOIN cells ON cells.id = cell
               GROUP BY 1, 2, 3"""


ALIKE: Final[Mapping[Read, str]] = {
    **AUDIENCE_READS,
    Read.LEDGER_ROWS: "SELECT receipt, id, cell FROM ledger WHERE receipt = ANY($1::text[])",
    Read.DEAD_OF_RECEIPTS: """SELECT dead.id, cell FROM dead JOIN ledger ON ledger.id = dead.id
                        WHERE receipt = ANY($1::text[]) ORDER BY dead.id FOR UPDATE OF dead""",
    Read.SEEN: "SELECT key, occurrences FROM seen WHERE until_ms > $1 AND key = ANY($2::bytea[])",
    Read.TOMBSTONED: "SELECT 1 FROM tombstones LIMIT 1",
    Read.TOMBSTONES: "SELECT key, since_ms FROM tombstones WHERE key = ANY($1::bytea[])",
    Read.PERSONS: "SELECT key, min(person) FROM people WHERE key = ANY($1::bytea[]) GROUP BY key",
    Read.PEOPLE: "SELECT key, person FROM people WHERE person = ANY($1::bigint[])",
    Read.SIGHTINGS: "SELECT key, app, seen_ms, sealed FROM sightings WHERE key = ANY($1::bytea[])",
    Read.SIGHTED_ANY: "SELECT 1 FROM sightings LIMIT 1",
    Read.HOLDS_OF_KEYS: """SELECT key, hold, expires_ms FROM hold_keys JOIN holds ON holds.id = hold
                           WHERE expires_ms > $1 AND key = ANY($2::bytea[])""",
    Read.INSTALLATIONS: """SELECT key, cell, day, install_s, touch_s, paid_day, reached, days FROM installations
                           WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE""",
    Read.ATTEMPTS: """SELECT line, delivery, endpoint, at_ms, status, reason, words
                      FROM attempts LEFT JOIN lanes ON lanes.id = lane
                      WHERE line = ANY($1::bigint[]) ORDER BY line, attempts.id""",
    Read.ITEMS: "SELECT id, sealed, who FROM items WHERE id = ANY($1::bigint[])",
    Read.DUE: f"""{OF_LANE} owner IS NULL AND due_ms <= $3
                  ORDER BY due_ms, deliveries.id LIMIT $4 FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.OWNED: """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
                   WHERE owner = $1 AND deliveries.id = ANY($2::bigint[])
                   ORDER BY deliveries.id FOR UPDATE OF deliveries""",
    Read.LEASED_BY: f"{LEASED} owner IS NOT NULL AND owner = $1 FOR UPDATE OF deliveries SKIP LOCKED",
    Read.UNLEASED: """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
                      WHERE owner IS NULL AND line = ANY($1::bigint[])
                      ORDER BY deliveries.id FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.IN_DOUBT: f"""{OF_LANE} uncertain > 0
                       UNION ALL {OF_LANE} owner IS NOT NULL AND begun = 1 AND uncertain = 0 LIMIT $3""",
    Read.DOUBTED: """SELECT deliveries.id, line, cell, deliveries.uncertain
                     FROM deliveries JOIN ledger ON ledger.id = line
                     WHERE (begun = 1 OR deliveries.uncertain > 0) AND deliveries.id = ANY($1::bigint[])
                     ORDER BY deliveries.id FOR UPDATE OF deliveries SKIP LOCKED""",
    Read.QUEUED: """SELECT line, due_ms, owner IS NOT NULL, tries, uncertain, received_ms, sealed,
                           coalesce(deliveries.who, items.who)
                    FROM deliveries JOIN items ON items.id = line
                    WHERE lane = (SELECT id FROM lanes WHERE app = $1 AND endpoint = $2)
                    ORDER BY due_ms, deliveries.id LIMIT $3""",
    Read.BUNDLES_OWNED: """SELECT id, in_flight, lines FROM bundles WHERE owner = $1 AND last >= $2 AND id <= $3
                           ORDER BY id FOR UPDATE""",
    Read.BUNDLES_LEASED_BY: "SELECT id FROM bundles WHERE owner = $1 FOR UPDATE SKIP LOCKED",
    Read.BUNDLES_LAPSED: """SELECT id FROM bundles WHERE leased_until_ms <= $1 OR leased_until_ms > $2
                            FOR UPDATE SKIP LOCKED""",
    Read.BUNDLES: "SELECT id, in_flight, lines FROM bundles ORDER BY id FOR UPDATE",
    Read.BUNDLE_CONTENT: """SELECT lane, owner, leased_until_ms, due_ms, in_flight, lines, packed FROM bundles
                            WHERE id = ANY($1::bigint[])""",
    Read.BUNDLES_OF_LANE: f"{BUNDLE} WHERE app = $1 AND endpoint = $2 ORDER BY bundles.id",
    Read.BUNDLES_AROUND: f"{BUNDLE} WHERE $1::bigint BETWEEN bundles.id AND last",
    Read.DEAD_LETTERS: f"{LETTER} WHERE {CHOSEN} ORDER BY died_ms DESC, dead.id DESC LIMIT $3",
    Read.DEAD_BY_ID: f"{LETTER} WHERE {CHOSEN} AND dead.id = ANY($3::bigint[])",
    Read.DEAD_IDS: f"SELECT dead.id FROM {DEAD} WHERE {CHOSEN} AND dead.id > $3 ORDER BY dead.id LIMIT $4",
    Read.DEAD_IDS_AMONG: f"SELECT dead.id FROM {DEAD} WHERE {CHOSEN} AND dead.id = ANY($3::bigint[])",
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
    Read.ROWS_AFTER: """SELECT id, cell, performance, changed_ms, received_ms FROM ledger
                        WHERE id > $1 ORDER BY id LIMIT $2""",
    Read.OLD_DEAD: """SELECT dead.id, cell, performance FROM dead JOIN ledger ON ledger.id = dead.id
                         WHERE died_ms <= $1 ORDER BY died_ms LIMIT $2 FOR UPDATE OF dead SKIP LOCKED""",
    Read.OLD_MESSAGES: "SELECT id FROM messages WHERE kept_ms <= $1 ORDER BY kept_ms LIMIT $2",
    Read.INSTALLATIONS_AFTER: "SELECT key, day FROM installations WHERE key > $1 ORDER BY key LIMIT $2",
    Read.PERSONS_AFTER: """SELECT person, NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = page.person)
                             AND EXISTS (SELECT 1 FROM people WHERE people.person = page.person AND NOT EXISTS (
                                           SELECT 1 FROM sightings WHERE sightings.key = people.key))
                           FROM (SELECT DISTINCT person FROM people WHERE person > $1 ORDER BY person LIMIT $2) page
                           ORDER BY person""",
    Read.STATE: "SELECT value FROM state WHERE name = $1",
    Read.STATES: """SELECT name, value FROM state WHERE name COLLATE "C" >= $1 AND name COLLATE "C" < $2
                    ORDER BY name COLLATE "C" """,
    **EVENT_READS,
    Read.MESSAGE: "SELECT sealed FROM messages WHERE id = $1",
    Read.SEALED: """SELECT sealed FROM (SELECT sealed FROM items ORDER BY id DESC LIMIT $1) AS newest UNION ALL
                    SELECT sealed FROM (SELECT sealed FROM messages ORDER BY id DESC LIMIT $1) AS newest UNION ALL
                    SELECT sealed FROM (SELECT sealed FROM sightings ORDER BY key LIMIT $1) AS seen""",
    Read.TRAIL_END: "SELECT number, chain FROM audit_trail ORDER BY number DESC LIMIT 1",
    Read.TRAIL: f"{TRAIL} WHERE number < $1 ORDER BY number DESC LIMIT $2",
    Read.TRAIL_AFTER: f"{TRAIL} WHERE number > $1 ORDER BY number LIMIT $2",
    # A lane whose own row is damaged is listed, too.
    Read.DEPTHS: """SELECT coalesce(app, '?'), coalesce(endpoint, '?'),
                           count(*) FILTER (WHERE owner IS NULL AND due_ms <= $1),
                           count(*) FILTER (WHERE owner IS NULL AND due_ms > $1),
                           coalesce(sum(n) FILTER (WHERE owner IS NOT NULL), 0)::bigint,
                           coalesce(min(due_ms) FILTER (WHERE owner IS NULL AND due_ms <= $1), 0)
                    FROM (SELECT lane, owner, due_ms, 1 AS n FROM deliveries
                          UNION ALL SELECT lane, owner, due_ms, n FROM bundles) AS all_of_them
                    LEFT JOIN lanes ON lanes.id = lane GROUP BY lane, app, endpoint
                    ORDER BY app COLLATE "C", endpoint COLLATE "C" """,
    Read.LANES: """SELECT app, endpoint FROM lanes
                   WHERE EXISTS (SELECT 1 FROM deliveries WHERE lane = lanes.id AND owner IS NULL AND due_ms <= $1)
                   ORDER BY app COLLATE "C", endpoint COLLATE "C" """,
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
    Read.HOLD_COUNTS: """SELECT app, media_source, key_kinds, hour * 3600000, sum(n)::bigint
                         FROM hold_counts JOIN lanes ON lanes.id = lane
                         GROUP BY app, media_source, key_kinds, hour HAVING sum(n) <> 0
                         ORDER BY hour, app COLLATE "C", media_source COLLATE "C", key_kinds COLLATE "C" """,
    Read.SIGHTED: """SELECT app, kind, sum(n)::bigint, max(last_ms) FROM sighted GROUP BY 1, 2
                     ORDER BY app COLLATE "C", kind COLLATE "C" """,
    Read.COVERED: """SELECT app, '', platform, '', '', kinds, sum(n)::bigint, sum(installs)::bigint FROM coverage
                     WHERE day >= $1 GROUP BY app, platform, kinds""",
    Read.COVERAGE: """SELECT app, day, platform, app_version, media_source, kinds, sum(n)::bigint, sum(installs)::bigint
                      FROM coverage
                      WHERE day >= $1 AND ($2::text IS NULL OR app = $2) GROUP BY 1, 2, 3, 4, 5, 6
                      ORDER BY day, app COLLATE "C" """,
    Read.OUTCOMES: f"""{HAPPENED}, k.outcome, k.reason, coalesce(h.key_kinds, ''), count(*)
                       FROM {ENDED} WHERE {OF_DAYS} GROUP BY 1, 2, 3, 4, 5, 6, 7""",
    Read.SENT: f"""{HAPPENED}, l.insert_id, l.changed_ms FROM {COUNTED} JOIN cells k ON k.id = l.cell
                   WHERE {OF_DAYS} AND k.outcome = 'delivered' AND l.insert_id <> ''""",
    Read.EVENT_OUTCOMES: f"""{HAPPENED}, l.insert_id, k.outcome, k.reason, coalesce(h.key_kinds, '')
                             FROM {ENDED} WHERE {OF_DAYS} AND l.insert_id <> ''
                               AND d.event IN (SELECT e.event FROM performance_cells f JOIN dimensions e
                                                 ON e.id = f.dimension JOIN performance p ON p.cell = f.id
                                               WHERE e.app = $1 AND f.day BETWEEN $2 AND $3
                                                 AND (p.revenue <> 0 OR p.not_converted <> 0))""",
    Read.EXPIRED_KINDS: f"""{HAPPENED}, e.key_kinds, sum(e.n)::bigint FROM {CELLS} JOIN expired_kinds e ON e.cell = c.id
                            WHERE {OF_DAYS} GROUP BY 1, 2, 3, 4, 5""",
    Read.COUNTED_ON: f"""{HAPPENED}, sum(p.n)::bigint, sum(p.entered)::bigint, sum(p.deleted)::bigint,
                                sum(p.revenue)::bigint, sum(p.not_converted)::bigint
                         FROM {CELLS} JOIN performance p ON p.cell = c.id WHERE {OF_DAYS} GROUP BY 1, 2, 3, 4""",
    Read.DAY_REPORTS: """SELECT app, kind, day, made_ms, body FROM day_reports
                          WHERE kind = $1 AND day BETWEEN $2 AND $3 AND ($4::text IS NULL OR app = $4)
                          ORDER BY day, app COLLATE "C" """,
    Read.ROWS_PER_COUNTER: "SELECT cell, count(*) FROM ledger GROUP BY cell",
    Read.KEPT_DEAD: _kept("dead", "id"),
    Read.UNNEEDED_KEYS: """SELECT count(*) FROM hold_keys
                        WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = hold_keys.hold)""",
    Read.UNNEEDED_ATTEMPTS: """SELECT count(*) FROM attempts
                               WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.id = line)""",
    Read.UNNEEDED_MESSAGES: """SELECT count(*) FROM messages
                               WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.id = messages.id)""",
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


def reads(cells: str, holds: str, series: str, in_flight: str, filed: str) -> Mapping[Read, str]:
    """Return all statements that the backends share, given what they have each in a way of its own.

    `cells` are the counters with all that was counted, `holds` the events that wait, `series` the numbers from -1 to 90
    as `h`, `in_flight` the ledger rows in flight in bundles as `line`, `filed` the order in which receipts were made.
    """
    owners = f"""(SELECT id AS line FROM {holds} AS held UNION ALL SELECT line FROM deliveries
                  UNION ALL SELECT id FROM dead) AS owners"""
    return {
        **ALIKE,
        **performance_reads(series),
        Read.COUNTS: f"SELECT app, day, source, outcome, reason, n FROM {cells} WHERE n <> 0 ORDER BY id",
        Read.COUNTERS: f"SELECT id, app, day, source, outcome, reason, n, pruned FROM {cells} ORDER BY id",
        Read.COUNTED: f"SELECT app, day, sum(n - pruned)::bigint FROM {cells} WHERE outcome = $1 GROUP BY app, day",
        Read.RECEIPTS: f"{RECEIPT} ORDER BY made_ms DESC, {filed} DESC LIMIT $1",
        Read.RECEIPTS_OF_KEYS: f"{RECEIPT} WHERE keys = $1 ORDER BY made_ms DESC, {filed} DESC LIMIT $2",
        Read.HOLDS: f"""SELECT held.id, receipt, app, event_type, media_source, key_kinds, held.received_ms, event_ms,
                               expires_ms
                        FROM {holds} AS held JOIN ledger ON ledger.id = held.id JOIN lanes ON lanes.id = lane
                        WHERE ($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR media_source = $2)
                          AND held.id > $3 ORDER BY held.id LIMIT $4""",
        Read.KEPT_HOLDS: _kept(holds, "id"),
        Read.KEPT_DELIVERIES: _kept(f"(SELECT line FROM deliveries UNION ALL {in_flight})", "line"),
        Read.UNNEEDED_ITEMS: f"""SELECT count(*) FROM items LEFT JOIN {owners} ON owners.line = items.id
                                 WHERE owners.line IS NULL""",
        Read.MISSING_ITEMS: f"""SELECT count(*) FROM {owners} LEFT JOIN items ON items.id = owners.line
                                WHERE items.id IS NULL""",
        Read.MISCOUNTED_HOLDS: f"""SELECT count(*) FROM (
                                     SELECT 1 FROM (SELECT lane, media_source, key_kinds, hour, n FROM hold_counts
                                                    UNION ALL
                                                    SELECT lane, media_source, key_kinds, received_ms / 3600000, -1
                                                    FROM {holds}) both_sides
                                     GROUP BY lane, media_source, key_kinds, hour HAVING sum(n) <> 0) different""",
    }
