"""Looking at the store: counters, listings, and the audit that compares the two."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Final

from flybridge.records import OutcomeKind
from flybridge.store.protocol import Count, Discrepancy, Held, Lane, LaneDepth, LedgerEntry, RollupRow

LEDGER_PAGE: Final = 1000

# The outcomes whose lines have a row of their own, and the tables that hold those rows.
KEPT: Final = (
    (OutcomeKind.HELD, "holds", "id", "holds"),
    (OutcomeKind.PENDING, "deliveries", "line", "deliveries"),
    (OutcomeKind.DEAD, "dead", "id", "dead letters"),
)


def counts(db: sqlite3.Connection) -> list[Count]:
    """Give all counters that are not zero."""
    return [Count(*row) for row in db.execute("SELECT app, day, source, outcome, reason, n FROM cells WHERE n <> 0")]


def depths(db: sqlite3.Connection, now_ms: int) -> list[LaneDepth]:
    """Give how lanes stand that have deliveries. `oldest_ms` is since when the first of them has been due."""
    rows = db.execute(
        """SELECT app, endpoint, sum(owner IS NULL AND due_ms <= ?1), sum(owner IS NULL AND due_ms > ?1),
                  sum(owner IS NOT NULL), coalesce(min(due_ms) FILTER (WHERE owner IS NULL AND due_ms <= ?1), 0)
           FROM deliveries JOIN lanes ON lanes.id = lane GROUP BY lane ORDER BY app, endpoint""",
        (now_ms,),
    )
    return [LaneDepth(Lane(app, endpoint), *figures) for app, endpoint, *figures in rows]


def lanes(db: sqlite3.Connection, now_ms: int) -> list[Lane]:
    """Name the lanes that have something due: one look into the index per lane."""
    sql = """SELECT app, endpoint FROM lanes WHERE EXISTS (
               SELECT 1 FROM deliveries WHERE lane = lanes.id AND owner IS NULL AND due_ms <= ?)
             ORDER BY app, endpoint"""
    return [Lane(*row) for row in db.execute(sql, (now_ms,))]


def holds(db: sqlite3.Connection, app: str | None, limit: int) -> list[Held]:
    """List what waits, in the order of filing."""
    rows = db.execute(
        """SELECT holds.id, receipt, app, event_type, media_source, key_kinds, holds.received_ms, event_ms, expires_ms
           FROM holds JOIN ledger USING (id) JOIN lanes ON lanes.id = lane
           WHERE ?1 IS NULL OR app = ?1 ORDER BY holds.id LIMIT ?2""",
        (app, limit),
    )
    return [
        Held(line, receipt, of_app, event_type, source, tuple(kinds.split()), received_ms, event_ms, expires_ms)
        for line, receipt, of_app, event_type, source, kinds, received_ms, event_ms, expires_ms in rows
    ]


def ledger_page(db: sqlite3.Connection, app: str | None, after: int) -> list[tuple[int, LedgerEntry]]:
    """Give the next lines after a line's id, each with its own."""
    rows = db.execute(
        """SELECT ledger.id, receipt, app, source, outcome, reason, insert_id, received_ms, changed_ms,
                  uncertain, digest
           FROM ledger JOIN cells ON cells.id = cell
           WHERE ledger.id > ?1 AND (?2 IS NULL OR app = ?2) ORDER BY ledger.id LIMIT ?3""",
        (after, app, LEDGER_PAGE),
    )
    return [(line, LedgerEntry(*entry)) for line, *entry in rows]


def rollups(db: sqlite3.Connection) -> list[RollupRow]:
    """Give the insight counters."""
    return [RollupRow(*row) for row in db.execute("SELECT * FROM rollups")]


def audit(db: sqlite3.Connection) -> list[Discrepancy]:
    """Compare counters with rows: every cell, every outcome that keeps rows, and the rows' own parts."""
    found = _cells(db)
    for outcome, table, line, name in KEPT:
        found += _kept(db, outcome, table, line, name)
    return found + _parts(db)


def _cells(db: sqlite3.Connection) -> list[Discrepancy]:
    lines = dict(db.execute("SELECT cell, count(*) FROM ledger GROUP BY cell"))
    found = []
    for cell, app, day, source, outcome, reason, n, pruned in db.execute(
        "SELECT id, app, day, source, outcome, reason, n, pruned FROM cells"
    ):
        rows = lines.pop(cell, 0)
        if n - pruned != rows:
            why = f" ({reason})" if reason else ""
            what = (
                f"{n} envelopes from {source} are counted as {outcome}{why} and {pruned} of their ledger lines are "
                f"pruned, but the ledger has {rows} lines of them."
            )
            found.append(Discrepancy(app, day, what, n - pruned, rows))
    found += [
        Discrepancy("", "", f"{rows} ledger lines stand in cell {cell}, which does not exist.", 0, rows)
        for cell, rows in lines.items()
    ]
    return found


def _kept(db: sqlite3.Connection, outcome: OutcomeKind, table: str, line: str, name: str) -> list[Discrepancy]:
    """Compare one outcome's counter with its rows, per app and day."""
    counted: Counter[tuple[str, str]] = Counter()
    for app, day, n in db.execute(
        "SELECT app, day, sum(n - pruned) FROM cells WHERE outcome = ? GROUP BY app, day", (outcome.value,)
    ):
        counted[app, day] = n
    rows: Counter[tuple[str, str]] = Counter()
    found = []
    for app, day, stands, n, different in db.execute(
        f"""SELECT coalesce(app, ''), coalesce(day, ''), coalesce(outcome, 'nowhere'),
                   count(*), count(DISTINCT {table}.{line})
            FROM {table} LEFT JOIN ledger ON ledger.id = {table}.{line} LEFT JOIN cells ON cells.id = cell
            GROUP BY 1, 2, 3"""  # noqa: S608 - the names are KEPT's
    ):
        if stands == outcome:
            rows[app, day] = n
            if n != different:
                what = f"{n} {name} belong to {different} envelopes: some have more than one."
                found.append(Discrepancy(app, day, what, different, n))
        else:
            what = f"{n} {name} exist of envelopes that the ledger has as {stands}."
            found.append(Discrepancy(app, day, what, 0, n))
    found += [
        Discrepancy(
            *at,
            f"{counted[at]} envelopes are counted as {outcome}, but {rows[at]} {name} exist.",
            counted[at],
            rows[at],
        )
        for at in sorted(counted.keys() | rows.keys())
        if counted[at] != rows[at]
    ]
    return found


def _parts(db: sqlite3.Connection) -> list[Discrepancy]:
    """Find bodies that nothing needs any more, rows that have lost theirs, and keys without their hold."""
    owners = " UNION ALL ".join(f"SELECT {line} AS line FROM {table}" for _, table, line, _ in KEPT)  # noqa: S608
    checks = (
        (
            "bodies are kept that no hold, delivery or dead letter needs: they should have been erased.",
            f"SELECT count(*) FROM items WHERE id NOT IN ({owners})",  # noqa: S608
        ),
        (
            "holds, deliveries or dead letters have lost their body.",
            f"SELECT count(*) FROM ({owners}) WHERE line NOT IN (SELECT id FROM items)",  # noqa: S608
        ),
        (
            "matching keys are kept of holds that do not exist.",
            "SELECT count(*) FROM hold_keys WHERE hold NOT IN (SELECT id FROM holds)",
        ),
        (
            "cells of waiting events are counted differently from the holds in them.",
            """SELECT count(*) FROM (
                 SELECT 1 FROM (SELECT lane, media_source, key_kinds, hour, n FROM hold_counts UNION ALL
                                SELECT lane, media_source, key_kinds, received_ms / 3600000, -1 FROM holds)
                 GROUP BY lane, media_source, key_kinds, hour HAVING sum(n) <> 0)""",
        ),
    )
    found = []
    for sentence, sql in checks:
        (n,) = db.execute(sql).fetchone()
        if n:
            found.append(Discrepancy("", "", f"{n} {sentence}", 0, n))
    return found
