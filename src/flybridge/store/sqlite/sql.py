"""SQLite's text for every statement of `store.core.tables`.

What is read as in `store.core.queries` is translated, what SQLite has to be asked in another way is written here. Lists
are `(??)`, for `sqlite.connection.among`. Writes run once per row, or for groups of rows (`sqlite.tables.Spread`).
"""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flybridge.store.audiences.records import Action
from flybridge.store.audiences.sql import ERASABLE, due
from flybridge.store.core.queries import LEASED, reads
from flybridge.store.core.tables import Read, Write
from flybridge.store.core.writes import WRITES as ALIKE
from flybridge.store.events import MOST_ATTEMPTS

HOLD: Final = """SELECT holds.id, keys, coalesce(cell, 0), lane, event_ms, holds.received_ms, fallback, media_source,
                        key_kinds"""
WAITING: Final = f"""{HOLD} FROM holds JOIN ledger ON ledger.id = holds.id JOIN cells ON cells.id = cell
                    WHERE outcome = 'held' AND"""
SPENT: Final = """SELECT holds.id, keys FROM holds LEFT JOIN ledger ON ledger.id = holds.id
                  LEFT JOIN cells ON cells.id = cell WHERE outcome IS NOT 'held' AND"""
HELD: Final = """(SELECT holds.* FROM holds JOIN ledger USING (id) JOIN cells ON cells.id = cell
                  WHERE outcome = 'held')"""
IN_FLIGHT: Final = "SELECT value AS line FROM bundles, json_each(in_flight)"
SERIES: Final = """(WITH RECURSIVE series (h) AS (SELECT -1 UNION ALL SELECT h + 1 FROM series WHERE h < 90)
                    SELECT h FROM series)"""


def plain(sql: str) -> str:
    """Return a statement of `store.core.queries` in SQLite's words: without types, locks and their order."""
    sql = re.sub(r"= ANY\(\$\d+::\w+\[\]\)", "IN (??)", sql)
    sql = re.sub(r'::\w+| COLLATE "C"', "", sql)
    sql = re.sub(r"(?<!\s)(\s+ORDER BY [\w.]+)?\s+FOR UPDATE( OF \w+)?( SKIP LOCKED)?", "", sql)
    return re.sub(r"\$(\d+)", r"?\1", sql)


_UNNEST: Final = r"unnest\(([^)]*)\)(?:\s+AS \w+(?:\s+\(([^)]*)\))?)?"
_ORDERED: Final = r"(?:\s+ORDER BY .+?(?=\s+ON CONFLICT|\s*$))?"
_SELECTED: Final = re.compile(rf"SELECT \*((?:, \d+)?)\s+FROM\s+{_UNNEST}{_ORDERED}")
_JOINED: Final = re.compile(rf"(?:FROM|USING)\s+{_UNNEST}")


def one_row(sql: str, *, keeps_rows: bool = False) -> str:
    """Return a statement of `store.core.writes` in SQLite's words, for one row: with a parameter for each column.

    With `keeps_rows` an update reads them of `VALUES`, so that it can be run for groups of rows.
    """
    sql = re.sub(r",\s+shard\)", ")", sql).replace(", :shard", "")
    sql = _SELECTED.sub(lambda rows: f"VALUES ({', '.join('?' * rows[2].count('$'))}{rows[1]})", sql)
    sql = re.sub(r"ON CONFLICT (ON CONSTRAINT \w+|\(([^()]|\([^()]*\))*\))\s+DO", "ON CONFLICT DO", sql)
    if rows := _JOINED.search(sql):
        names = rows[2].split(",")
        sql = sql.replace(rows[0], f"FROM (VALUES ({', '.join('?' * len(names))}))" if keeps_rows else "")
        for number, name in enumerate(names, 1):
            sql = re.sub(rf"\b(new|old)\.{name.strip()}\b", f"{'column' if keeps_rows else '?'}{number}", sql)
    sql = re.sub(r"= ANY\(\$1::\w+\[\]\)", "IN (VALUES (?))", sql)
    sql = re.sub(r"(ANY|ALL)\(\$1::\w+\[\]\)", "?", sql)
    return sql.replace("greatest(", "max(").replace("least(", "min(").replace("IS NOT DISTINCT FROM", "IS")


COMMON: Final = {read: plain(sql) for read, sql in reads("cells", HELD, SERIES, IN_FLIGHT, "rowid").items()}
APART: Final = frozenset({Write.MOVE, Write.LEASE, Write.SEEN_AGAIN})
"""Updates that are frequent, and whose rows are of different rows of the table."""

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
    # All keys, a page at a time: an index by time would cost every filing more than this costs a day.
    Read.OLD_SEEN: "SELECT key, until_ms FROM seen WHERE key > ?1 ORDER BY key LIMIT ?3",
}

WRITES: Final[Mapping[Write, str]] = {
    **{write: one_row(sql, keeps_rows=write in APART) for write, sql in ALIKE.items()},
    Write.AUDIENCES: "INSERT OR IGNORE INTO audiences (app, name, cohort, target) VALUES (?, ?, '', x'')",
    Write.UNCOUNT_DEVICES: f"""UPDATE audiences SET refused = refused - (SELECT count(*) FROM devices
                                 WHERE audience = ? AND mark = ? AND standing = 3 AND {ERASABLE}) WHERE id = ?""",
    Write.ANONYMISE: "UPDATE ledger SET digest = x'', insert_id = '', person = NULL WHERE id = ?",
    Write.COUNT: "UPDATE cells SET n = n + ? WHERE id = ?",
    Write.COUNT_PRUNED: "UPDATE cells SET pruned = pruned + ? WHERE id = ?",
    Write.SEEN: """INSERT INTO seen (key, until_ms, occurrences)
                   SELECT column1, column2, column3 FROM (VALUES (?, ?, ?, ?)) WHERE true
                   ON CONFLICT (key) DO UPDATE SET until_ms = excluded.until_ms, occurrences = excluded.occurrences""",
    Write.TRIM_ATTEMPTS: f"""DELETE FROM attempts WHERE line = ?1 AND id <= (
                               SELECT id FROM attempts WHERE line = ?1 ORDER BY id DESC
                               LIMIT 1 OFFSET {MOST_ATTEMPTS})""",
    Write.DROP_HOLD_COUNTS: """DELETE FROM hold_counts
                               WHERE lane = ? AND media_source = ? AND key_kinds = ? AND hour = ? AND n = 0""",
    Write.EXPIRED_KINDS: """INSERT INTO expired_kinds (cell, key_kinds, n)
                            SELECT performance, column2, 1 FROM (VALUES (?, ?)) JOIN ledger ON ledger.id = column1
                            WHERE performance IS NOT NULL ON CONFLICT DO UPDATE SET n = n + 1""",
}
