"""Reports: counters, listings, and the audit that compares the two. `figures` describes the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from msgspec import structs

from flybridge.records import OutcomeKind
from flybridge.store.core.performance_reports import audit_performance
from flybridge.store.core.tables import Read, Rows
from flybridge.store.figures import (
    CountedOn,
    CoverageRow,
    Discrepancy,
    Held,
    HeldCount,
    LedgerEntry,
    OutcomeCount,
    Outcomes,
)
from flybridge.store.records import Lane, LaneDepth

LEDGER_PAGE: Final = 1000

T = TypeVar("T")

# The outcomes with a row beside the ledger's, the statement that counts those rows, and their name in sentences.
KEPT: Final = (
    (OutcomeKind.HELD, Read.KEPT_HOLDS, "holds"),
    (OutcomeKind.PENDING, Read.KEPT_DELIVERIES, "deliveries"),
    (OutcomeKind.DEAD, Read.KEPT_DEAD, "dead letters"),
)

PARTS: Final = (
    (
        Read.UNNEEDED_ITEMS,
        "bodies are kept that no hold, delivery or dead letter needs: they should have been erased.",
    ),
    (Read.MISSING_ITEMS, "holds, deliveries or dead letters have lost their body."),
    (Read.UNNEEDED_ATTEMPTS, "attempts are kept of events that the ledger does not have."),
    (Read.UNNEEDED_MESSAGES, "messages are kept of events that the ledger does not have."),
    (Read.UNNEEDED_KEYS, "matching keys are kept of holds that do not exist."),
    (Read.MISCOUNTED_HOLDS, "counters of waiting events differ from the holds they count."),
)


def _with_kinds(shape: Callable[..., T], *, at: int) -> Callable[..., T]:
    """Return what makes a `shape` of a row's values: the kinds of keys at one place are a text in it."""
    return lambda *row: shape(*row[:at], tuple(row[at].split()), *row[at + 1 :])


held: Final = _with_kinds(Held, at=5)
held_count: Final = _with_kinds(HeldCount, at=2)
coverage_row: Final = _with_kinds(CoverageRow, at=5)


def depth(app: str, endpoint: str, *figures: int) -> LaneDepth:
    return LaneDepth(Lane(app, endpoint), *figures)


def outcomes(db: Rows, app: str, first: int, last: int) -> Outcomes:
    return Outcomes(
        [CountedOn(*row) for row in db.read(Read.COUNTED_ON, app, first, last)],
        _by_kinds(
            [OutcomeCount(*row) for row in db.read(Read.OUTCOMES, app, first, last)],
            db.read(Read.EXPIRED_KINDS, app, first, last),
        ),
    )


def _by_kinds(found: list[OutcomeCount], expired: Sequence[tuple[Any, ...]]) -> list[OutcomeCount]:
    """Split what expired by the kinds of its keys, which its rows do not have any more."""
    kinds: dict[tuple[Any, ...], dict[str, int]] = {}
    for *cell, key_kinds, n in expired:
        kinds.setdefault(tuple(cell), {})[key_kinds] = n
    split: list[OutcomeCount] = []
    for one in found:
        left = one.n
        known = kinds.get((one.day, one.kind, one.event, one.media_source), {})
        for key_kinds, n in sorted(known.items()) if one.outcome == OutcomeKind.EXPIRED and not one.reason else ():
            taken = min(left, n)
            known[key_kinds] -= taken
            left -= taken
            if taken:
                split.append(structs.replace(one, key_kinds=key_kinds, n=taken))
        if left:
            split.append(structs.replace(one, n=left))
    return split


def ledger_page(db: Rows, app: str | None, after: int) -> list[tuple[int, LedgerEntry]]:
    """Return the next ledger entries after a row's id, each with its own id."""
    return [(row_id, LedgerEntry(*entry)) for row_id, *entry in db.read(Read.LEDGER, after, app, LEDGER_PAGE)]


def audit(db: Rows) -> list[Discrepancy]:
    """Compare counters with rows: every counter, every outcome that keeps rows, and the rows' own parts."""
    found = _counters(db)
    for outcome, rows, name in KEPT:
        found += _kept(db, outcome, rows, name)
    return found + audit_performance(db) + _parts(db)


def _counters(db: Rows) -> list[Discrepancy]:
    row_ids = dict(db.read(Read.ROWS_PER_COUNTER))
    found = []
    for counter, app, day, source, outcome, reason, n, pruned in db.read(Read.COUNTERS):
        rows = row_ids.pop(counter, 0)
        if n - pruned != rows:
            why = f" ({reason})" if reason else ""
            what = (
                f"{n} envelopes from {source} are counted as {outcome}{why} and {pruned} of their ledger rows are "
                f"pruned, but the ledger has {rows} rows of them."
            )
            found.append(Discrepancy(app, day, what, n - pruned, rows))
    found += [
        Discrepancy("", "", f"{rows} ledger rows stand in counter {counter}, which does not exist.", 0, rows)
        for counter, rows in row_ids.items()
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
    for at in sorted(counted.keys() | rows.keys()):
        if counted[at] != rows[at]:
            what = f"{counted[at]} envelopes are counted as {outcome}, but {rows[at]} {name} exist."
            found.append(Discrepancy(*at, what, counted[at], rows[at]))
    return found


def _parts(db: Rows) -> list[Discrepancy]:
    """Find bodies that nothing needs any more, rows that have lost theirs, and keys without their hold."""
    found = []
    for what, sentence in PARTS:
        ((n,),) = db.read(what)
        if n:
            found.append(Discrepancy("", "", f"{n} {sentence}", 0, n))
    return found
