"""Reports of performance, and the costs that are kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec import structs

from flybridge.identity.masking import dimension
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.figures import Discrepancy
from flybridge.store.performance import (
    LABELS,
    ORIGINS,
    CohortSums,
    CostRow,
    CostSums,
    CurvePoint,
    Labels,
    Size,
    Slice,
    Sums,
    by_place,
)

N: Final = len(LABELS)


T = TypeVar("T")


def _report(what: Read, make: Callable[..., T]) -> Callable[..., list[T]]:
    """Return what answers questions of a kind: by rows that begin with labels, of some horizons or of none."""

    def read(db: Rows, question: Slice, horizons: Sequence[int] | None = None) -> list[T]:
        given = question.parameters
        rows = db.read(what, *given) if horizons is None else db.among(what, horizons, *given)
        return [make(Labels(*row[:N]), *row[N:]) for row in rows]

    return read


sums = _report(Read.PERFORMANCE, Sums)
curves = _report(Read.CURVES, CurvePoint)
sizes = _report(Read.SIZES, Size)
cohort_sums = _report(Read.COHORTS, CohortSums)
costs = _report(Read.COSTS, CostSums)


def replace_costs(
    ledger: LedgerWriter, app: str, origin: str, rows: Sequence[CostRow], *, days: tuple[int, int], every_source: bool
) -> None:
    """Implement `Store.replace_costs`."""
    tables = ledger.tables
    sources: Sequence[str | None] = [None] if every_source else sorted({row.media_source for row in rows})
    tables.write(Write.DROP_COSTS, [(app, origin, *days, source) for source in sources])
    named = (app, origin, ORIGINS.index(origin))
    # One without a figure would hide what another origin knows.
    known = [row for row in rows if row.is_known]
    tables.write(Write.COSTS, [(*named, *structs.astuple(row)[1:]) for row in _masked(known)])


def _masked(rows: Sequence[CostRow]) -> list[CostRow]:
    """Return them without identifiers of people in their labels. Those that become the same are added up."""
    clear = [
        structs.replace(
            row,
            media_source=dimension(row.media_source),
            campaign=dimension(row.campaign),
            country=dimension(row.country),
        )
        for row in rows
    ]
    kept = [one for one, row in zip(clear, rows, strict=True) if one == row]
    changed = [one for one, row in zip(clear, rows, strict=True) if one != row]
    return [*kept, *by_place(changed).values()]


def audit_performance(db: Rows) -> list[Discrepancy]:
    """Compare the counters of performance with the ledger, as far back as the ledger has its rows."""
    found = []
    for cell, counted, rows in db.read(Read.COUNTED_ROWS):
        what = (
            f"Cell {cell} of the performance counters has counted {counted} ledger rows that are not deleted, "
            f"but the ledger has {rows} rows of it."
        )
        found.append(Discrepancy("", "", what, counted, rows))
    for app, n, entered in db.read(Read.MOVED):
        what = (
            f"The performance counters add up to {n} events, but {entered} were counted: what moved from one source "
            "to another was lost or doubled."
        )
        found.append(Discrepancy(app, "", what, entered, n))
    return found
