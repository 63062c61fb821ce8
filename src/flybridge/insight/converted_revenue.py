"""Explain the revenue of the installs of a day by what AppsFlyer withholds of its sources, and by its rates. Pure.

Amounts are in millionths of the app's currency. AppsFlyer converts what was paid in another one by its own rates, and
names sources in its reports that its messages do not name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct

from flybridge.insight.causes import APPSFLYER
from flybridge.insight.compared_rows import WITHHELD, add, largest, left, move_withheld
from flybridge.insight.comparison import CENT, ComparedRow
from flybridge.store.performance import RESTRICTED

SIGNS: Final = (1, -1)
"""What is paid, and what is refunded."""

USUAL_RATE: Final = 0.1
"""By which share of an amount two tables of rates usually differ at most."""


class CohortRevenue(Struct):
    """Flybridge's revenue of the installs of a day and source, and how it was converted.

    `not_converted` events have no rate. Of `paid` events, `rated` were converted by the rate table into `rated_amount`,
    where AppsFlyer uses its own rates. What is in AppsFlyer's raw data and not known to have come is worth `missing`.
    """

    revenue: int = 0
    not_converted: int = 0
    paid: int = 0
    rated: int = 0
    rated_amount: int = 0
    missing: int = 0


def is_of(more: int, whole: int) -> bool:
    """Whether what one side has more may be a part of its whole: both are paid, or both refunded."""
    return abs(more) >= CENT and (more > 0) == (whole > 0)


def explain_conversion(
    rows: Mapping[str, ComparedRow], cohort_of: Callable[[str], CohortRevenue], withholding: Collection[str]
) -> None:
    """Split what is left of the revenue of installs, by media source, into what was withheld and what was converted."""
    # What no rate explains of a source came without its name, and was converted, too: so that of what is withheld,
    # a rate explains more than usual, and what has no rate is taken for more, only after all that came without its
    # source.
    nameless = {
        source: row
        for source, row in rows.items()
        if source in WITHHELD or not (cohort_of(source).not_converted or _is_rate(row, cohort_of(source)))
    }
    for sign in SIGNS:
        move_withheld(nameless, withholding, CENT, sign)
    for source, row in rows.items():
        _add_rate(row, cohort_of(source), is_usual=True)
    for sign in SIGNS:
        move_withheld(rows, withholding, CENT, sign)
    for source, row in rows.items():
        _add_rate(row, cohort_of(source), is_usual=False)
    _rate_of_withheld(rows, cohort_of)
    _withheld_beside_rate(rows, cohort_of, withholding)
    hidden = cohort_of(RESTRICTED)
    for source, row in rows.items():
        # What came as restricted and could not be converted is nowhere here, and under its source at AppsFlyer.
        if hidden.not_converted and source != RESTRICTED and _lacks(row):
            add(row, "rate", left(row, APPSFLYER), RESTRICTED, hidden.not_converted)


def _rate_of_withheld(rows: Mapping[str, ComparedRow], cohort_of: Callable[[str], CohortRevenue]) -> None:
    """Add what conversion explains of revenue that came without its source, to the sources that AppsFlyer names."""
    for name in WITHHELD:
        if name not in rows or not any(part.code == "restricted" for part in rows[name].parts):
            continue
        most = abs(cohort_of(name).rated_amount) * USUAL_RATE
        for source, row in rows.items():
            if source not in WITHHELD and CENT <= -left(row, APPSFLYER) <= most:
                most += left(row, APPSFLYER)
                add(row, "rate", left(row, APPSFLYER), name, cohort_of(name).rated)


def _withheld_beside_rate(
    rows: Mapping[str, ComparedRow], cohort_of: Callable[[str], CohortRevenue], withholding: Collection[str]
) -> None:
    """Add what came without its source and no source lacks to one whose conversion hides that it lacks it.

    Its own revenue was converted into more, or what it lacks is no more than conversion may make.
    """
    named = largest(
        (row for source, row in rows.items() if source not in WITHHELD),
        lambda row: abs(cohort_of(row.key.media_source).rated_amount),
    )
    named.sort(key=lambda row: row.key.media_source.lower() not in withholding)
    for name in (name for name in WITHHELD if name in rows):
        for row in named:
            gain, cohort = left(rows[name], APPSFLYER), cohort_of(row.key.media_source)
            rated = [part.n for part in row.parts if part.code == "rate"]
            if is_of(gain, row.appsflyer or 0) and _may_be_rate(sum(rated) + gain, cohort):
                add(rows[name], "restricted", gain)
                add(row, "restricted", -gain)
                add(row, "rate", gain, "", 0 if rated else cohort.rated or cohort.paid)
                row.parts[:] = [part for part in row.parts if part.n]


def _add_rate(row: ComparedRow, cohort: CohortRevenue, *, is_usual: bool) -> None:
    """Add what conversion explains of the revenue of the installs of a day and source.

    That is up to a usual share of the amount that was converted; else up to all of it, and all that has no rate.
    """
    if not is_usual and cohort.not_converted and _lacks(row):
        add(row, "rate", left(row, APPSFLYER), "", cohort.not_converted)
    elif _is_rate(row, cohort, USUAL_RATE if is_usual else 1.0):
        add(row, "rate", left(row, APPSFLYER), "", cohort.rated or cohort.paid)


def _lacks(row: ComparedRow) -> bool:
    """Whether a row lacks what AppsFlyer has: payments, or refunds where it has more of these."""
    return left(row, APPSFLYER) <= -CENT or is_of(-left(row, APPSFLYER), row.appsflyer or 0)


def _is_rate(row: ComparedRow, cohort: CohortRevenue, share: float = USUAL_RATE) -> bool:
    """Whether conversion can make what is left of a row."""
    return abs(left(row, APPSFLYER)) >= CENT and _may_be_rate(left(row, APPSFLYER), cohort, share)


def _may_be_rate(n: int, cohort: CohortRevenue, share: float = USUAL_RATE) -> bool:
    """Whether conversion can make as much: up to a share of what the rate table has converted, and half a cent of each
    event, which AppsFlyer converts to dollars and back.
    """
    return abs(n) <= abs(cohort.rated_amount) * share + cohort.paid * CENT / 2
