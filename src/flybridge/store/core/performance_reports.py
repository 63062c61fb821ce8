"""Reports of performance, and the costs that are kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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
)

N: Final = len(LABELS)


def sums(db: Rows, question: Slice) -> list[Sums]:
    return [Sums(_labels(row), *row[N:]) for row in db.read(Read.PERFORMANCE, *question.parameters)]


def sizes(db: Rows, question: Slice, horizons: Sequence[int]) -> list[Size]:
    return [Size(_labels(row), *row[N:]) for row in db.among(Read.SIZES, horizons, *question.parameters)]


def cohort_sums(db: Rows, question: Slice, horizons: Sequence[int]) -> list[CohortSums]:
    return [CohortSums(_labels(row), *row[N:]) for row in db.among(Read.COHORTS, horizons, *question.parameters)]


def curves(db: Rows, question: Slice) -> list[CurvePoint]:
    return [CurvePoint(_labels(row), *row[N:]) for row in db.read(Read.CURVES, *question.parameters)]


def costs(db: Rows, question: Slice, horizons: Sequence[int]) -> list[CostSums]:
    return [CostSums(_labels(row), *row[N:]) for row in db.among(Read.COSTS, horizons, *question.parameters)]


def _labels(row: Sequence[Any]) -> Labels:
    return Labels(*row[:N])


def replace_costs(
    ledger: LedgerWriter, app: str, origin: str, rows: Sequence[CostRow], *, days: tuple[int, int], every_source: bool
) -> None:
    """Implement `Store.replace_costs`."""
    tables = ledger.tables
    sources: Sequence[str | None] = [None] if every_source else sorted({row.media_source for row in rows})
    tables.write(Write.DROP_COSTS, [(app, origin, *days, source) for source in sources])
    tables.write(
        Write.COSTS,
        [
            (
                app,
                origin,
                ORIGINS.index(origin),
                row.day,
                row.media_source,
                row.campaign,
                row.country,
                row.currency,
                row.spend,
                row.clicks,
                row.impressions,
            )
            for row in _masked(rows)
        ],
    )


def _masked(rows: Sequence[CostRow]) -> list[CostRow]:
    """Return them without identifiers of people in their labels. Those that become the same are added up."""
    kept: list[CostRow] = []
    changed: dict[CostRow, CostRow] = {}
    for row in rows:
        clear = structs.replace(
            row,
            media_source=dimension(row.media_source),
            campaign=dimension(row.campaign),
            country=dimension(row.country),
        )
        if clear == row:
            kept.append(row)
            continue
        name = structs.replace(clear, spend=None, clicks=None, impressions=None)
        before = changed.get(name, name)
        changed[name] = structs.replace(
            clear,
            spend=_sum(before.spend, row.spend),
            clicks=_sum(before.clicks, row.clicks),
            impressions=_sum(before.impressions, row.impressions),
        )
    return [*kept, *changed.values()]


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other


def audit_performance(db: Rows) -> list[Discrepancy]:
    """Compare the counters of performance with the ledger, as far back as the ledger has its rows."""
    found = [
        Discrepancy(
            "",
            "",
            f"Cell {cell} of the performance counters has counted {counted} ledger rows that are not deleted, "
            f"but the ledger has {rows} rows of it.",
            counted,
            rows,
        )
        for cell, counted, rows in db.read(Read.COUNTED_ROWS)
    ]
    found += [
        Discrepancy(
            app,
            "",
            f"The performance counters add up to {n} events, but {entered} were counted: what moved from one source "
            "to another was lost or doubled.",
            entered,
            n,
        )
        for app, n, entered in db.read(Read.MOVED)
    ]
    return found
