"""Looking at the store: counters, listings, and the audit that compares the two."""

from __future__ import annotations

from collections import Counter
from typing import Final

from flybridge.records import OutcomeKind
from flybridge.store.core.tables import Read, Rows
from flybridge.store.figures import Count, Discrepancy, Held, LedgerEntry, RollupRow
from flybridge.store.protocol import Lane, LaneDepth

LEDGER_PAGE: Final = 1000

# The outcomes whose lines have a row of their own, the statement that counts those rows, and what they are called.
KEPT: Final = (
    (OutcomeKind.HELD, Read.KEPT_HOLDS, "holds"),
    (OutcomeKind.PENDING, Read.KEPT_DELIVERIES, "deliveries"),
    (OutcomeKind.DEAD, Read.KEPT_LETTERS, "dead letters"),
)

PARTS: Final = (
    (
        Read.LOOSE_ITEMS,
        "bodies are kept that no hold, delivery or dead letter needs: they should have been erased.",
    ),
    (Read.LOST_ITEMS, "holds, deliveries or dead letters have lost their body."),
    (Read.LOOSE_KEYS, "matching keys are kept of holds that do not exist."),
    (Read.MISCOUNTED_HOLDS, "cells of waiting events are counted differently from the holds in them."),
)


def counts(db: Rows) -> list[Count]:
    """Return all counters that are not zero."""
    return [Count(*row) for row in db.read(Read.COUNTS)]


def depths(db: Rows, now_ms: int) -> list[LaneDepth]:
    """Return how lanes stand that have deliveries. `oldest_ms` is since when the first of them has been due."""
    return [LaneDepth(Lane(app, endpoint), *figures) for app, endpoint, *figures in db.read(Read.DEPTHS, now_ms)]


def lanes(db: Rows, now_ms: int) -> list[Lane]:
    """Name the lanes that have something due: one look into the index per lane."""
    return [Lane(*row) for row in db.read(Read.LANES, now_ms)]


def holds(db: Rows, app: str | None, limit: int) -> list[Held]:
    """List what waits, in the order of filing."""
    return [
        Held(line, receipt, of_app, event_type, source, tuple(kinds.split()), received_ms, event_ms, expires_ms)
        for line, receipt, of_app, event_type, source, kinds, received_ms, event_ms, expires_ms in db.read(
            Read.HOLDS, app, limit
        )
    ]


def ledger_page(db: Rows, app: str | None, after: int) -> list[tuple[int, LedgerEntry]]:
    """Return the next lines after a line's id, each with its own."""
    return [(line, LedgerEntry(*entry)) for line, *entry in db.read(Read.LEDGER, after, app, LEDGER_PAGE)]


def rollups(db: Rows) -> list[RollupRow]:
    """Return the insight counters."""
    return [RollupRow(*row) for row in db.read(Read.ROLLUPS)]


def audit(db: Rows) -> list[Discrepancy]:
    """Compare counters with rows: every cell, every outcome that keeps rows, and the rows' own parts."""
    found = _cells(db)
    for outcome, rows, name in KEPT:
        found += _kept(db, outcome, rows, name)
    return found + _parts(db)


def _cells(db: Rows) -> list[Discrepancy]:
    lines = dict(db.read(Read.LINES_PER_CELL))
    found = []
    for cell, app, day, source, outcome, reason, n, pruned in db.read(Read.CELLS):
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


def _kept(db: Rows, outcome: OutcomeKind, kept: Read, name: str) -> list[Discrepancy]:
    """Compare one outcome's counter with its rows, per app and day."""
    counted: Counter[tuple[str, str]] = Counter()
    for app, day, n in db.read(Read.COUNTED, outcome.value):
        counted[app, day] = n
    rows: Counter[tuple[str, str]] = Counter()
    found = []
    for app, day, stands, n, different in db.read(kept):
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


def _parts(db: Rows) -> list[Discrepancy]:
    """Find bodies that nothing needs any more, rows that have lost theirs, and keys without their hold."""
    found = []
    for what, sentence in PARTS:
        ((n,),) = db.read(what)
        if n:
            found.append(Discrepancy("", "", f"{n} {sentence}", 0, n))
    return found
