"""What the store writes, where all backends write alike: in PostgreSQL's words, as in `store.core.queries`.

A statement takes all rows at once, one array for each column: `unnest($1::bigint[], $2::text[]) AS new (id, app)`. A
backend without arrays runs it for each row. `:shard` keeps connections apart that count at the same time, for a backend
that has several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.sql import WRITES as AUDIENCE_WRITES
from flybridge.store.core.statements import changed, counted, deleted, inserted, replaced
from flybridge.store.core.tables import Write

WRITES: Final[Mapping[Write, str]] = {
    **AUDIENCE_WRITES,
    Write.STATE: replaced("state", "name text", "value bytea"),
    Write.DROP_STATE: "DELETE FROM state WHERE name = ANY($1::text[])",
    Write.TRAIL: inserted(
        "audit_trail",
        "number, at_ms, actor text, address text, action text, target text, detail text, outcome text, chain bytea",
    ),
    Write.LEDGER_ROWS: """INSERT INTO ledger
                      (receipt, cell, insert_id, received_ms, changed_ms, id, digest, person, performance, uncertain)
                    SELECT *, 0 FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[],
                                            $6::bigint[], $7::bytea[], $8::bigint[], $9::bigint[]) AS new (receipt)
                    ORDER BY receipt COLLATE "C" """,
    Write.REFILE: changed("ledger", "insert_id text, changed_ms, person, performance", "id"),
    Write.MOVE: changed("ledger", "cell, changed_ms", "id"),
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
    Write.ITEMS: inserted("items", "id, sealed bytea"),
    Write.KEEP_WHO: """UPDATE items SET who = given.who FROM deliveries AS given
                       WHERE given.id = ANY($1::bigint[]) AND given.who IS NOT NULL AND items.id = given.line""",
    Write.DROP_ITEMS: "DELETE FROM items WHERE id = ANY($1::bigint[])",
    Write.DELIVERIES: inserted(
        "deliveries", "id, line, lane, received_ms, due_ms, who bytea, owner text, leased_until_ms"
    ),
    Write.BUNDLES: inserted(
        "bundles", "id, last, lane, owner text, leased_until_ms, due_ms, n, in_flight text, lines text, packed bytea"
    ),
    Write.FEWER_IN_FLIGHT: changed("bundles", "n, in_flight text", "id"),
    Write.DROP_BUNDLES: "DELETE FROM bundles WHERE id = ANY($1::bigint[])",
    Write.REDELIVER: inserted("deliveries", "id, line, lane, received_ms, due_ms, uncertain"),
    Write.HASTEN: """UPDATE deliveries SET due_ms = new.now_ms
                     FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (now_ms, app, endpoint)
                     WHERE owner IS NULL AND due_ms > new.now_ms AND lane = (
                       SELECT id FROM lanes WHERE lanes.app = new.app AND lanes.endpoint = new.endpoint)""",
    Write.LEASE: changed("deliveries", "owner text, leased_until_ms", "id"),
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
    Write.ATTEMPTS: inserted("attempts", "line, id, delivery, lane, at_ms, status, reason text, words bytea"),
    Write.DROP_ATTEMPTS: "DELETE FROM attempts WHERE line = ANY($1::bigint[])",
    Write.MESSAGES: inserted("messages", "id, kept_ms, sealed bytea"),
    Write.DROP_MESSAGES: "DELETE FROM messages WHERE id = ANY($1::bigint[])",
    Write.HOLDS: inserted(
        "holds",
        "id, lane, event_type text, media_source text, key_kinds text, keys bytea, received_ms, event_ms, "
        "expires_ms, fallback bytea",
    ),
    Write.HOLD_KEYS: inserted("hold_keys", "key bytea, hold"),
    Write.KEYS_OF_HOLD: changed("holds", "keys bytea", "id"),
    Write.DROP_HOLDS: "DELETE FROM holds WHERE id = ANY($1::bigint[])",
    Write.DROP_HOLD_KEYS: deleted("hold_keys", "key bytea, hold"),
    Write.HOLD_COUNTS: counted(
        "hold_counts",
        "lane, media_source text, key_kinds text, hour",
        "n",
        at="(lane, hour, cell_of(media_source, key_kinds), shard)",
    ),
    Write.DEAD: inserted(
        "dead",
        "id, lane, stage text, media text, reason text, detail bytea, remedy text, version text, died_ms, ordinal, "
        "newest",
    ),
    Write.DROP_DEAD: "DELETE FROM dead WHERE id = ANY($1::bigint[])",
    Write.SIGHTINGS: replaced("sightings", "key bytea, app text", "seen_ms, sealed bytea"),
    Write.SEEN_AGAIN: changed("sightings", "seen_ms", "key bytea, app text"),
    Write.DROP_SIGHTINGS: "DELETE FROM sightings WHERE key = ANY($1::bytea[])",
    Write.PEOPLE: inserted("people", "key bytea, person", "ORDER BY 1, 2 ON CONFLICT DO NOTHING"),
    Write.DROP_PEOPLE: "DELETE FROM people WHERE person = ANY($1::bigint[])",
    Write.DROP_ORPHANS: """DELETE FROM people
                          WHERE person = ANY($1::bigint[])
                            AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = people.person)
                            AND NOT EXISTS (SELECT 1 FROM sightings WHERE sightings.key = people.key)""",
    Write.TOMBSTONES: """INSERT INTO tombstones (key, since_ms) SELECT * FROM unnest($1::bytea[], $2::bigint[])
                         ON CONFLICT (key) DO UPDATE SET since_ms = greatest(tombstones.since_ms, excluded.since_ms)""",
    Write.RECEIPTS: inserted("receipts", "id text, made_ms, keys bytea, removed bytea, steps bytea"),
    Write.RECEIPT_REMOVED: changed("receipts", "removed bytea", "id text"),
    Write.RECEIPT_STEPS: changed("receipts", "steps bytea", "id text"),
    Write.RESTRICTED: counted("restricted_counts", "app text, day text, media_source text, policy text", "n"),
    Write.INSTALLATIONS: replaced(
        "installations", "key bytea", "cell, day, install_s, touch_s, paid_day, reached, days bytea"
    ),
    Write.DROP_INSTALLATIONS: "DELETE FROM installations WHERE key = ANY($1::bytea[])",
    Write.PERFORMANCE: counted("performance", "cell", "n, revenue, not_converted, reached, entered, deleted"),
    Write.COHORTS: counted("install_cohorts", "cell, day_offset", "active, payers, events, revenue, not_converted"),
    Write.DROP_COSTS: """DELETE FROM costs USING unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[],
                                                       $5::text[])
                           AS old (app, origin, first, last, media_source)
                         WHERE costs.app = old.app AND costs.origin = old.origin
                           AND costs.day BETWEEN old.first AND old.last
                           AND (old.media_source IS NULL OR costs.media_source = old.media_source)""",
    Write.COSTS: inserted(
        "costs",
        "app text, origin text, precedence, day, media_source text, campaign text, country text, currency text, "
        "spend, clicks, impressions",
    ),
    Write.DAY_REPORTS: replaced("day_reports", "app text, kind text, day", "made_ms, body bytea"),
    Write.DROP_DAY_REPORTS: """DELETE FROM day_reports USING unnest($1::text[], $2::bigint[]) AS old (kind, day)
                                WHERE day_reports.kind = old.kind AND day_reports.day < old.day""",
    Write.COVERAGE: counted(
        "coverage",
        "day text, app text, platform text, app_version text, media_source text, kinds text",
        "n, installs",
        at="(day, cell_of(app, platform, app_version, media_source, kinds), shard)",
    ),
    Write.DROP_COVERAGE: "DELETE FROM coverage WHERE day < ANY($1::text[])",
    Write.SIGHTED: counted("sighted", "app text, kind text", "n", at="ON CONSTRAINT sighted_pkey", latest="last_ms"),
}
