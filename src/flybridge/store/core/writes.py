"""What the store writes, where all backends write alike: in PostgreSQL's words, as in `store.core.queries`.

A statement takes all rows at once, one array for each column: `unnest($1::bigint[], $2::text[]) AS new (id, app)`. A
backend without arrays runs it for each row. `:shard` keeps connections apart that count at the same time, for a backend
that has several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.sql import WRITES as AUDIENCE_WRITES
from flybridge.store.core.tables import Write

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
    Write.UNCERTAIN: """UPDATE ledger SET uncertain = uncertain + new.more
                    FROM unnest($1::bigint[], $2::bigint[]) AS new (more, id) WHERE ledger.id = new.id""",
    Write.DROP_LEDGER_ROWS: "DELETE FROM ledger WHERE id = ANY($1::bigint[])",
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
    Write.HOLD_COUNTS: """INSERT INTO hold_counts (lane, media_source, key_kinds, hour, n, shard)
                           SELECT *, :shard
                           FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
                             AS new (lane, media_source, key_kinds, hour, n)
                           ORDER BY 1, 2, 3, 4
                           ON CONFLICT (lane, hour, cell_of(media_source, key_kinds), shard) DO UPDATE
                           SET n = hold_counts.n + excluded.n""",
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
    Write.RESTRICTED: """INSERT INTO restricted_counts (app, day, media_source, policy, n, shard)
                          SELECT *, :shard FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],
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
    Write.PERFORMANCE: """INSERT INTO performance
                             (cell, n, revenue, not_converted, reached, entered, deleted, shard)
                           SELECT *, :shard FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                                         $5::bigint[], $6::bigint[], $7::bigint[]) AS new
                           ORDER BY 1
                           ON CONFLICT (cell, shard) DO UPDATE
                           SET n = performance.n + excluded.n, revenue = performance.revenue + excluded.revenue,
                               not_converted = performance.not_converted + excluded.not_converted,
                               reached = performance.reached + excluded.reached,
                               entered = performance.entered + excluded.entered,
                               deleted = performance.deleted + excluded.deleted""",
    Write.COHORTS: """INSERT INTO install_cohorts
                         (cell, day_offset, active, payers, events, revenue, not_converted, shard)
                       SELECT *, :shard FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
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
    Write.DROP_DAY_REPORTS: """DELETE FROM day_reports USING unnest($1::text[], $2::bigint[]) AS old (kind, day)
                                WHERE day_reports.kind = old.kind AND day_reports.day < old.day""",
    Write.COVERAGE: """INSERT INTO coverage (day, app, platform, app_version, media_source, kinds, n, installs,
                                              shard)
                        SELECT *, :shard FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                                      $6::text[], $7::bigint[], $8::bigint[]) AS new
                        ORDER BY 1, 2, 3, 4, 5, 6
                        ON CONFLICT (day, cell_of(app, platform, app_version, media_source, kinds), shard) DO UPDATE
                        SET n = coverage.n + excluded.n, installs = coverage.installs + excluded.installs""",
    Write.DROP_COVERAGE: "DELETE FROM coverage WHERE day < ANY($1::text[])",
    Write.SIGHTED: """INSERT INTO sighted (app, kind, n, last_ms, shard)
                       SELECT *, :shard FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS new
                       ORDER BY 1, 2
                       ON CONFLICT ON CONSTRAINT sighted_pkey DO UPDATE
                       SET n = sighted.n + excluded.n, last_ms = greatest(sighted.last_ms, excluded.last_ms)""",
}
